"""What judges a reconstruction besides its voxels: fixed random convolutions, and critics that learn along.

Both autoencoders are trained before such judges, the VAE of Text2CT and the VQ-GAN of
LesionDiffusion; their critics differ, how critics are trained and asked does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .turns import Turn

_FEATURE_WIDTHS = (8, 16, 32)


class RandomFeatures(nn.Module):
    """Fixed random convolutions at three scales: small structures change their answers more than they change a mean."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(seed)
        for level, (before, after) in enumerate(pairwise((1, *_FEATURE_WIDTHS))):
            kernel = torch.randn(after, before, 3, 3, 3, generator=made)
            self.register_buffer(f"kernel_{level}", kernel / kernel.flatten(1).norm(dim=1)[:, None, None, None, None])

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """By how much the answers to two images differ, all scales alike."""
        pairs = zip(self._answers(made), self._answers(wanted), strict=True)
        return torch.stack([(a - b).abs().mean() for a, b in pairs]).mean()

    def _answers(self, image: Tensor) -> Iterator[Tensor]:
        for level in range(len(_FEATURE_WIDTHS)):
            image = functional.leaky_relu(functional.conv3d(image, self.get_buffer(f"kernel_{level}"), padding=1), 0.2)
            yield image
            image = functional.avg_pool3d(image, 2)


class CriticsTurn(Turn):
    """The turn of one critic or several: from a step on, at a rate of their own. They are no result: no average."""

    averaged = False

    def __init__(self, begin: int, learning_rate: float) -> None:
        super().__init__()
        self.begin = begin
        self.learning_rate = learning_rate

    def active(self, step: int) -> bool:
        return step >= self.begin


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """A critic's loss: CTs above 1, reconstructions below -1."""
    return (functional.relu(1 - real.float()) + functional.relu(1 + fake.float())).mean() / 2


def fixed(network: nn.Module) -> dict[str, Tensor]:
    """A critic's numbers as they are, to be asked without being changed."""
    return {name: parameter.detach() for name, parameter in network.named_parameters()}
