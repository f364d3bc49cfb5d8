"""How a run shall use its machine: kinds of number, swaps, and how to decode, chosen before it starts.

What a run will need is estimated from the sizes of the networks and of the latent, and is
refused in a sentence when it cannot fit, before a byte of it is taken.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch

from ..engines.text2ct.config import ModelSizes, UNetSizes
from ..engines.text2ct.windows import blending_bytes, window_of
from ..errors import BadInput, Unavailable
from ..geometry import times
from ..memory import available_bytes
from .compiled import compiler_problem
from .slabs import decoding_bytes, whole_bytes
from .unet import Speed

_LIVE_WIDTHS = 13  # full-size tensors of the first level's width that are alive at the widest place, measured
_SPARE = 600_000_000  # the interpreter, the libraries, and what they keep back
_LEAST_WORK, _MOST_WORK = 400_000_000, 1_500_000_000
KINDS: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WISHES_VARIABLE = "TEXT2CT_SPEED"


@dataclass(frozen=True)
class Wishes:
    """What whoever owns the machine wants tried beyond the usual; none of it changes a result beyond rounding."""

    compiled: bool = False
    graphs: bool = False


def wishes(environment: Mapping[str, str] = os.environ) -> Wishes:
    """Those named in TEXT2CT_SPEED, for example "compiled,graphs"."""
    words = {word.strip() for word in environment.get(WISHES_VARIABLE, "").split(",")} - {""}
    known = [field.name for field in fields(Wishes)]
    if unknown := sorted(words.difference(known)):
        raise BadInput(f"{WISHES_VARIABLE} names '{unknown[0]}', which is unknown; it may hold {' and '.join(known)}, "
                       "with a comma between them.")
    return Wishes(**{name: name in words for name in known})


@dataclass(frozen=True)
class Plan:
    """`flow` is the kind of number of the UNet, `coder` that of the VAE; the latent is always float32.

    `notes` say which wishes could not be met.
    """

    device: torch.device
    flow: torch.dtype
    coder: torch.dtype
    speed: Speed = field(default_factory=Speed)
    one_batch: bool = True
    decode_at_once: bool = False
    work_bytes: int = _MOST_WORK
    hold_bytes: int = 0
    peak_bytes: int = 0
    compiled: bool = False
    graphs: bool = False
    notes: tuple[str, ...] = ()

    def said(self) -> str:
        """For the account: where, in what kinds of number, and what of it was compiled."""
        return f"{str(self.flow).removeprefix('torch.')} on {self.device.type}{', compiled' if self.compiled else ''}"


def chosen_device(name: str) -> torch.device:
    """The device asked for, or the best there is; a sentence when it is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    kind, _, number = name.partition(":")
    if not there.get(kind, False):
        raise Unavailable(f"The device {name} is not there, or this PyTorch was built without it; "
                          "use --device cpu, or install a PyTorch that knows it.")
    if kind == "cuda" and number and not (number.isdigit() and int(number) < torch.cuda.device_count()):
        raise Unavailable(f"There is no device {name}; this machine has {torch.cuda.device_count()} of that kind.")
    return torch.device(name)


def planned(device: torch.device, sizes: ModelSizes, latent_shape: Sequence[int], guided: bool = True,
            free: int | None = None, flow: torch.dtype | None = None, wished: Wishes = Wishes(),
            as_published_decode: bool = False) -> Plan:
    """The plan for a latent of this size on this device. While it is decoded the UNet stays where it is."""
    free = free_bytes(device) if free is None else free
    flow = flow or _flow_kind(device)
    coder = torch.float16 if device.type == "cuda" else torch.float32
    pair, single = (_SPARE + unet_bytes(sizes.unet, latent_shape, flow, batch) for batch in (2, 1))
    one_batch = guided and (free is None or pair <= free)
    walk = pair if one_batch else single
    shape, stays = tuple(latent_shape), _SPARE + _weight_bytes(sizes.unet, flow)
    if as_published_decode:
        shape, stays = window_of(shape), stays + blending_bytes(shape, sizes.vae.factor, coder.itemsize)
    at_once = whole_bytes(sizes.vae, shape, coder.itemsize)
    least = decoding_bytes(sizes.vae, shape, coder.itemsize, _LEAST_WORK)
    needed = max(walk, stays + min(least, at_once))
    if free is not None and needed > free:
        raise Unavailable(f"A latent of {times(latent_shape)} needs about {needed / 1e9:.1f} GB on {device.type}, and "
                          f"{free / 1e9:.1f} GB are free; close other programs or ask for a smaller grid.")
    left = None if free is None else free - stays
    room = _MOST_WORK if left is None else max(_LEAST_WORK, min(_MOST_WORK, (left - least) // 2))
    decode_at_once = at_once <= max(least, 4 * _MOST_WORK if left is None else left // 2)
    decode = decoding_bytes(sizes.vae, shape, coder.itemsize, room)
    hold = 0 if left is None or decode_at_once else (left - decode) * 3 // 4
    plan = Plan(device, flow, coder, Speed(channels_last=device.type != "mps"), one_batch, decode_at_once, room, hold,
                max(walk, stays + (at_once if decode_at_once else decode + hold)))
    return as_wished(plan, wished)


def as_wished(plan: Plan, wished: Wishes) -> Plan:
    """The plan with what can be done of the wishes, and a note for each that cannot."""
    notes: list[str] = []
    if wished.graphs and plan.device.type != "cuda":
        notes.append(f"CUDA graphs were wished for and need an NVIDIA GPU; on {plan.device.type} steps run without.")
    problem = compiler_problem(plan.device) if wished.compiled else ""
    if problem:
        notes.append(f"torch.compile was wished for and does not work here ({problem}); the network runs uncompiled.")
    return replace(plan, compiled=wished.compiled and not problem,
                   graphs=wished.graphs and plan.device.type == "cuda", notes=tuple(notes))


def unet_bytes(sizes: UNetSizes, latent_shape: Sequence[int], kind: torch.dtype, batch: int) -> int:
    """Weights and the tensors alive at the widest place of one evaluation."""
    alive = math.prod(latent_shape) * sizes.channels[0] * _LIVE_WIDTHS * batch
    return _weight_bytes(sizes, kind) + alive * kind.itemsize


def _weight_bytes(sizes: UNetSizes, kind: torch.dtype) -> int:
    """The UNet's weights, from its widths."""
    return sum(27 * 24 * width**2 for width in sizes.channels) * kind.itemsize


def free_bytes(device: torch.device) -> int | None:
    """Bytes a run may take on the device, what this process holds there included; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + torch.cuda.memory_reserved(device)
    return available_bytes()


def _flow_kind(device: torch.device) -> torch.dtype:
    """bfloat16 where the machine multiplies it faster than float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    """AVX-512 BF16 or AMX, and a PyTorch with the kernels for it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    named = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(check()) for check in (getattr(torch.cpu, name, None) for name in named) if check is not None)
