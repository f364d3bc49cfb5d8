"""What a step of LMNet and LINet costs at full size, plain beside fast, and what fewer steps cost in accuracy.

    python benchmarks/lesiondiffusion.py steps [--plain] [--linet SIZE]     random weights; --plain takes 10 GB
    python benchmarks/lesiondiffusion.py solvers CASE                       networks of a recorded case

Each measurement runs in a process of its own, so that its peak memory is its own. Times
are processor seconds of one thread: they hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "backend"), str(ROOT / "tests" / "parity")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    steps = commands.add_parser("steps")
    steps.add_argument("--plain", action="store_true", help="also attention as a whole matrix: 10 GB, a minute")
    steps.add_argument("--linet", type=int, default=64, metavar="SIZE", help="edge of the latent (published: 64)")
    commands.add_parser("solvers").add_argument("case", type=Path)
    one = commands.add_parser("one")
    one.add_argument("job", type=json.loads)
    args = parser.parse_args()
    if args.command == "one":
        print(json.dumps(_one(**args.job)))
    elif args.command == "steps":
        _steps(args.plain, args.linet)
    else:
        _solvers(args.case)
    return 0


def _steps(plain: bool, size: int) -> None:
    """The table of one step of each network in each way."""
    mask = [64, 152, 152]
    jobs = [("lmnet", mask, way) for way in (*(("plain",) if plain else ()), "fused", "fused bfloat16")]
    jobs += [("linet", [size] * 3, way) for way in ("fused", "fused bfloat16")]
    print(f"{'network':<8}{'crop':<16}{'way':<18}{'seconds':>9}{'peak GB':>9}")
    for network, crop, way in jobs:
        job = json.dumps({"network": network, "crop": crop, "way": way})
        done = subprocess.run([sys.executable, __file__, "one", job], capture_output=True, text=True, check=True)
        found, shape = json.loads(done.stdout.splitlines()[-1]), "x".join(map(str, crop))
        print(f"{network:<8}{shape:<16}{way:<18}{found['seconds']:>9.1f}{found['gb']:>9.2f}", flush=True)


def _one(network: str, crop: list[int], way: str) -> dict[str, float]:
    """One step in this process: its processor seconds, and the peak memory of the process."""
    import resource

    from text2ct.engines.lesiondiffusion import unet, widths
    from text2ct.speed.lesion import quickened

    torch.set_num_threads(1)
    shapes = widths.unet_shapes(widths.LMNET if network == "lmnet" else widths.LINET)
    attend = unet.plain_attention if way == "plain" else unet.fused_attention
    net = unet.UNet(shapes, 32, attend).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.02)
    fast = quickened(net, torch.bfloat16 if "bfloat16" in way else torch.float32)
    x, context = torch.randn(1, net.in_channels, *crop), torch.randn(1, 7, 512)
    with torch.inference_mode():
        if way != "plain":
            fast(x[..., :16, :16, :16], torch.tensor([500]), context)
        start = time.process_time()
        fast(x, torch.tensor([500]), context)
    return {"seconds": time.process_time() - start, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def _solvers(case: Path) -> None:
    """How far masks and latents of few steps are from those of many, along the same path without noise."""
    from lesiondiffusion_files import Folder

    from text2ct.engines.lesiondiffusion.sampling import Sampler, sample_latent, sample_mask

    torch.set_num_threads(1)
    folder = Folder(case)
    lm, li = folder.arrays("lmnet.npz"), folder.arrays("linet.npz")
    lmnet, linet = folder.unet("lmnet"), folder.unet("linet")
    runs = {
        "LMNet": lambda sampler: sample_mask(
            lmnet, lm.tensor("cond"), lm.tensor("context"), sampler, _still()),
        "LINet": lambda sampler: sample_latent(
            linet, li.tensor("x0"), li.tensor("mask"), li.tensor("context"), sampler, _still())}
    print(f"{'network':<8}{'sampler':<18}{'relative error':>15}{'mask Dice':>11}")
    for network, run in runs.items():
        truth = run(Sampler("ddim", 500, 0.0))
        for sampler in (*(Sampler("ddim", n, 0.0) for n in (10, 20, 50, 200)),
                        *(Sampler("dpm++2m", n) for n in (10, 20, 30, 50))):
            done = run(sampler)
            error = float((done - truth).norm() / truth.norm())
            a, b = done > 0.5, truth > 0.5
            dice = 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)
            print(f"{network:<8}{sampler.name:<18}{error:>15.4f}" + (f"{dice:>11.3f}" if network == "LMNet" else ""))


def _still():  # type: ignore[no-untyped-def]
    """The same start for every sampler; what they draw afterwards has no weight."""
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(*shape, generator=generator)


if __name__ == "__main__":
    sys.exit(main())
