"""What makes LMNet and LINet fast: half-length numbers where the machine multiplies them faster, channels last.

The sampler, the latent and the mask stay float32; only the inside of the network
changes. Its output then differs by about one part in a hundred, so a run that must
match the published numbers is left alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Quick(nn.Module):
    """A network in another kind of number; what goes in and comes out is float32."""

    def __init__(self, net: nn.Module, kind: torch.dtype) -> None:
        super().__init__()
        self.net = net.to(dtype=kind, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.kind = kind

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        x = x.to(self.kind, memory_format=torch.channels_last_3d)
        done: Tensor = self.net(x, t, None if context is None else context.to(self.kind))
        return done.float().contiguous()


def quickened(net: nn.Module, kind: torch.dtype) -> nn.Module:
    """The network as it is for float32, else in the shorter kind."""
    return net if kind == torch.float32 else Quick(net, kind)


def kind_for(device: torch.device, exact: bool) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, unless the run must be exact."""
    if exact:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and native() else torch.float32
