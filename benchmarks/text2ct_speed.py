"""Seconds, memory and share of the machine's peak for Text2CT at full published size, with random weights.

    python benchmarks/text2ct_speed.py                      # one guided UNet evaluation, plain beside fast
    python benchmarks/text2ct_speed.py --work compiled      # the same, compiled beside not (compiling takes minutes)
    python benchmarks/text2ct_speed.py --work decode        # latent to voxels, in slabs
    python benchmarks/text2ct_speed.py --work preview       # what previews cost, at a moderate size
    python benchmarks/text2ct_speed.py --work preview --only one --latent 128 128 32   # and at full size, estimated
    python benchmarks/text2ct_speed.py --work volume --device cuda   # a whole volume, warm, 30 steps

Every row runs in a process of its own, so that its peak memory is its own. "CPU s" counts
the processor's seconds: on a shared machine it is the number to compare. Matrix rates are
measured in the same run; FLOPs are counted by PyTorch on the meta device. "floor s" is the
FLOPs at the matrix rate of the row's kind of number, "near" the floor's share of the row.
Previews and volumes run as an engine would plan them; their kind of number and "plan GB" are the plan's.
The first row needs 8 to 10 GB at full size: it holds the attention's whole matrix of scores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))
KINDS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Row:
    """One thing to be measured; the kind of number is AS_PLANNED where the machine decides it."""

    work: str
    name: str
    kind: str


Job = tuple[Callable[[], Any], float, Any]  # what is timed, its FLOPs, and the plan that it runs by, if any
EXPLICIT, FUSED = "plain: two calls, explicit attention", "plain with fused attention"
AS_PLANNED = "as planned"
WITHOUT, WITH, STEP, PREVIEW = "steps without previews", "steps, a preview each 5", "one step", "one preview"
ROWS = (
    Row("unet", EXPLICIT, "float32"),
    Row("unet", FUSED, "float32"),
    Row("unet", "fast", "float32"),
    Row("unet", "fast", "bfloat16"),
    Row("compiled", "fast", "bfloat16"),
    Row("compiled", "fast, compiled", "bfloat16"),
    Row("decode", "in slabs", "float32"),
    Row("decode", "in slabs", "float16"),
    Row("decode", "one call", "float32"),
    Row("decode", "one call", "float16"),
    *(Row("preview", name, AS_PLANNED) for name in (WITHOUT, WITH, STEP, PREVIEW)),
    Row("volume", "30 steps, guided, warm", AS_PLANNED),
    Row("volume", "10 steps, guided, warm", AS_PLANNED),
)
FULL, MODERATE = (128, 128, 32), (64, 64, 32)
PREVIEW_EVERY, STEPS_WATCHED = 5, 10


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", choices=("unet", "compiled", "decode", "preview", "volume"), default="unet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latent", type=int, nargs=3, help="default: 128 128 32, and 64 64 32 for previews")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--work-bytes", type=int, default=1_200_000_000, help="memory for a tile of the slab decode")
    parser.add_argument("--hold-bytes", type=int, default=0, help="memory for states held between its passes")
    parser.add_argument("--tiles", type=int, default=0, help="do only so many tiles of each pass: the memory is that "
                        "of a whole run, the seconds are scaled up")
    parser.add_argument("--only", help="run rows whose name and kind contain this, for example 'float32'")
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.latent = tuple(args.latent or (MODERATE if args.work == "preview" else FULL))
    if args.row is not None:
        print(json.dumps(measured(ROWS[args.row], args)))
        return 0
    print(f"{platform.processor() or platform.machine()}, {args.threads} thread(s), {args.device}, "
          f"latent {' x '.join(map(str, args.latent))}, {time.strftime('%Y-%m-%d')}")
    known = rates(args.device, args.threads)
    for kind, rate in known.items():
        print(f"matrix rate, {kind}: {rate / 1e9:.0f} GFLOP/s")
    seen = table(args, known)
    for line in comparisons(seen):
        print(line)
    return 0


def table(args: argparse.Namespace, known: dict[str, float]) -> dict[str, float]:
    """Print a line for each row as it is measured; the seconds by name and kind."""
    print(f"{'':<38}{'kind':<10}{'wall s':>9}{'CPU s':>9}{'TFLOP':>8}{'GFLOP/s':>9}{'floor s':>9}{'near':>6}"
          f"{'peak GB':>9}{'plan GB':>9}")
    found = {}
    for number, row in enumerate(ROWS):
        half_on_cpu = args.device == "cpu" and row.kind == "float16"
        if row.work != args.work or half_on_cpu or (args.only or "") not in f"{row.name} {row.kind}":
            continue
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--row", str(number)],
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"{row.name:<38}{row.kind:<10} failed")
            continue
        seen = json.loads(done.stdout.splitlines()[-1])
        kind = seen["kind"]
        seconds = found[f"{row.name} {kind}"] = seen["cpu"] if args.device == "cpu" else seen["wall"]
        floor = seen["flop"] / known.get(kind, math.inf)
        planned = f"{seen['planned'] / 1e9:.2f}" if seen["planned"] else "-"
        print(f"{row.name:<38}{kind:<10}{seen['wall']:>9.2f}{seen['cpu']:>9.2f}{seen['flop'] / 1e12:>8.2f}"
              f"{seen['flop'] / seconds / 1e9:>9.0f}{floor:>9.2f}{floor / seconds:>6.0%}{seen['peak'] / 1e9:>9.2f}"
              f"{planned:>9}", flush=True)
    return found


def comparisons(seconds: dict[str, float]) -> list[str]:
    """What the rows mean beside each other, as far as they were measured."""
    said = []
    for plain in (EXPLICIT, FUSED):
        base = seconds.get(f"{plain} float32")
        said += [f"{name}: {value / base:.2f} of '{plain}'" for name, value in seconds.items()
                 if base and name.startswith("fast")]
    fast, quick = (seconds.get(f"{name} bfloat16") for name in ("fast", "fast, compiled"))
    if fast and quick:
        said.append(f"compiled: {quick / fast:.2f} of 'fast'")
    named = {name.rpartition(" ")[0]: value for name, value in seconds.items()}
    bare, watched, step, preview = (named.get(name) for name in (WITHOUT, WITH, STEP, PREVIEW))
    if bare and watched:
        said.append(f"previews take {(watched - bare) / watched:.1%} of the time of {STEPS_WATCHED} steps (measured)")
    if step and preview:
        said.append(f"a preview each {PREVIEW_EVERY} steps takes {preview / (preview + PREVIEW_EVERY * step):.1%} "
                    "of the time (estimated from one of each)")
    return said


def measured(row: Row, args: argparse.Namespace) -> dict[str, Any]:
    """Build, run once to warm up where that is cheap, then time."""
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    jobs = {"unet": unet_job, "compiled": unet_job, "decode": decode_job, "preview": preview_job,
            "volume": volume_job}
    job, flop, plan = jobs[row.work](row, args)
    if args.device != "cpu" or "compiled" in row.name:
        job()
        finish(args.device)
    best: tuple[float, float] = (math.inf, math.inf)
    for _ in range(args.repeat):
        left_out = sampled_tiles(args.tiles) if args.tiles else [0.0, 0.0]
        wall, cpu = time.perf_counter(), time.process_time()
        job()
        finish(args.device)
        best = min(best, (time.perf_counter() - wall + left_out[0], time.process_time() - cpu + left_out[1]))
    kind, planned = (str(plan.flow).removeprefix("torch."), plan.peak_bytes) if plan else (row.kind, 0)
    return {"wall": best[0], "cpu": best[1], "flop": flop, "peak": peak(args.device), "kind": kind,
            "planned": planned}


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak(device: str) -> float:
    """Bytes: of the device, else of this process."""
    import torch

    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated())
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def unet_job(row: Row, args: argparse.Namespace) -> Job:
    """One guided evaluation of the velocity."""
    import torch

    from text2ct.engines.text2ct.attention import Attention, fused_attention
    from text2ct.engines.text2ct.config import PUBLISHED
    from text2ct.engines.text2ct.pipeline import Sampler, velocity
    from text2ct.engines.text2ct.unet import UNet
    from text2ct.speed.compiled import compiled
    from text2ct.speed.plan import Plan
    from text2ct.speed.unet import PLAIN, Speed, quickened

    kind = getattr(torch, row.kind)
    fast = row.name.startswith("fast")
    speed = Speed() if fast else PLAIN
    unet = filled(UNet(PUBLISHED.unet)).to(device=args.device, dtype=kind)
    if fast:
        quickened(unet, speed)
    if "compiled" in row.name:
        compiled(unet)
    if row.name == FUSED:
        for module in unet.modules():
            if isinstance(module, Attention):
                module.kernel = fused_attention
    plan = Plan(torch.device(args.device), kind, torch.float32, speed, one_batch=fast)
    field = velocity(unet, plan, Sampler(), torch.randn(1, 1, 768) / 28, (0.75, 0.75, 3.0))
    x = torch.randn(1, 4, *args.latent, device=args.device)
    return lambda: field(x, 500.0), 2 * unet_flop(args.latent), None


def decode_job(row: Row, args: argparse.Namespace) -> Job:
    """A latent to voxels."""
    import torch

    from text2ct.engines.text2ct.config import PUBLISHED
    from text2ct.engines.text2ct.vae import VAE
    from text2ct.speed.norms import steadied
    from text2ct.speed.slabs import decoded_in_slabs

    kind = getattr(torch, row.kind)
    vae = filled(VAE(PUBLISHED.vae)).to(device=args.device, dtype=kind)
    steadied(vae)
    vae.to(memory_format=torch.channels_last_3d)
    z = torch.randn(1, 4, *args.latent, device=args.device, dtype=kind)
    flop = decode_flop(args.latent)
    if row.name == "in slabs":
        return lambda: decoded_in_slabs(vae, z, args.work_bytes, hold_bytes=args.hold_bytes), flop, None

    def once() -> Any:
        with torch.inference_mode():
            return vae.decode(z)

    return once, flop, None


def sampled_tiles(count: int) -> list[float]:
    """From now on the slab decode does `count` tiles a pass; returns the seconds that the others would have taken."""
    import torch

    from text2ct.speed import slabs

    whole_plan, whole_level = slabs._plan, slabs._through
    shares: list[float] = []
    left_out = [0.0, 0.0]

    def plan(*given: Any) -> Any:
        tiles = whole_plan(*given)
        few = max(2, count)  # a single tile would pass for a whole level
        some = [tiles[i * len(tiles) // few] for i in range(few)] if len(tiles) > few else tiles
        shares.append(len(tiles) / len(some) - 1)
        return some

    def level(*given: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        done = whole_level(*given)
        share = shares.pop(0)
        left_out[0] += (time.perf_counter() - wall) * share
        left_out[1] += (time.process_time() - cpu) * share
        return done

    # memory that a whole run would write to is written to here as well
    torch.Tensor.new_empty = lambda like, *shape: like.new_full(*shape, 0.5)  # type: ignore[method-assign,assignment]
    slabs._plan, slabs._through = plan, level
    return left_out


def volume_job(row: Row, args: argparse.Namespace) -> Job:
    """Noise to HU: all steps and the decode."""
    from text2ct.engines.text2ct import pipeline

    sampler = pipeline.Sampler(steps=int(row.name.split()[0]))
    networks, plan, field = placed(sampler, args)

    def job() -> Any:
        start = pipeline.noise(0, 4, args.latent).to(plan.device)
        latent = pipeline.walked(field, start, sampler.schedule(args.latent), sampler.solver)
        return pipeline.decoded(networks, plan, sampler, latent)

    return job, 2 * sampler.steps * unet_flop(args.latent) + decode_flop(args.latent), plan


def preview_job(row: Row, args: argparse.Namespace) -> Job:
    """Guided steps with and without previews; one of each."""
    from text2ct.engines.text2ct import pipeline

    sampler = pipeline.Sampler(steps=STEPS_WATCHED)
    networks, plan, field = placed(sampler, args)
    start = pipeline.noise(0, 4, args.latent).to(plan.device)
    schedule = sampler.schedule(args.latent)
    steps = {PREVIEW: 0, STEP: 1}.get(row.name, len(schedule))

    def after(state: Any, clean: Any) -> None:
        if row.name == WITH and state.done % PREVIEW_EVERY == 0:
            pipeline.preview(networks, plan, clean)

    def job() -> Any:
        if row.name == PREVIEW:
            return pipeline.preview(networks, plan, start)
        return pipeline.walked(field, start, schedule[:steps], sampler.solver, None, after)

    previews = {PREVIEW: 1, WITH: len(schedule) // PREVIEW_EVERY}.get(row.name, 0)
    coarse = [n // pipeline.PREVIEW_COARSENING for n in args.latent]
    return job, 2 * steps * unet_flop(args.latent) + previews * decode_flop(coarse), plan


def placed(sampler: Any, args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Networks of published size with random weights as an engine has them, the plan, and the velocity."""
    import torch

    from text2ct.engines.text2ct import pipeline
    from text2ct.engines.text2ct.config import PUBLISHED
    from text2ct.engines.text2ct.text import TextTower
    from text2ct.engines.text2ct.unet import UNet
    from text2ct.engines.text2ct.vae import VAE
    from text2ct.engines.text2ct.weights import Networks
    from text2ct.speed.plan import planned

    plan = planned(torch.device(args.device), PUBLISHED, args.latent)
    with torch.device("meta"):
        tower = TextTower(PUBLISHED.text)
    networks = Networks(PUBLISHED, tower, filled(UNet(PUBLISHED.unet)), filled(VAE(PUBLISHED.vae)), 1.0287)
    pipeline.placed(networks, plan)
    context = torch.randn(1, 1, 768) / 28
    return networks, plan, pipeline.velocity(networks.unet, plan, sampler, context, (0.75, 0.75, 3.0))


def filled(network: Any) -> Any:
    """Random numbers of a size that keeps activations near one."""
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 0
            parameter.normal_(0 if fan else 1, fan**-0.5 if fan else 0.02)
    return network.eval().requires_grad_(False)


def unet_flop(latent: Sequence[int]) -> float:
    """Of one evaluation, without guidance, with attention to the report as published."""
    import torch

    from text2ct.engines.text2ct.config import PUBLISHED
    from text2ct.engines.text2ct.unet import UNet

    with torch.device("meta"):
        unet, one = UNet(PUBLISHED.unet), torch.ones(1)
        return _counted(lambda: unet(torch.empty(1, 4, *latent), one, torch.empty(1, 1, 768), torch.empty(1, 3),
                                     torch.ones(1, dtype=torch.long)))


def decode_flop(latent: Sequence[int]) -> float:
    """Of one call on the whole latent."""
    import torch

    from text2ct.engines.text2ct.config import PUBLISHED
    from text2ct.engines.text2ct.vae import VAE

    with torch.device("meta"):
        vae = VAE(PUBLISHED.vae)
        return _counted(lambda: vae.decode(torch.empty(1, 4, *latent)))


def _counted(call: Callable[[], Any]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def rates(device: str, threads: int) -> dict[str, float]:
    """The best of a few square matrix products, per kind of number."""
    import torch

    torch.set_num_threads(threads)
    size = 2048 if device == "cpu" else 8192
    clock = time.process_time if device == "cpu" else time.perf_counter
    found = {}
    for name in KINDS[:2]:
        a = torch.randn(size, size, device=device).to(getattr(torch, name))
        best = math.inf
        for _ in range(4):
            start = clock()
            a @ a
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            best = min(best, clock() - start)
        found[name] = 2 * size**3 / best
    return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
