"""What dense heads share: towers of convolutions, and maps laid out as rows of priors."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError

HeadNorm = Literal["none", "group", "batch"]
"""Norm of a tower: none (biases instead), group norm, or batch norm with statistics per level."""


class Tower(nn.Module):
    """`depth` times 3x3 convolution, norm, ReLU at constant channels, shared by all levels.

    Weights start as N(0, 0.01).

    Args:
        channels: In and out.
        depth: Number of convolutions.
        norm: After each of them.
        levels: Number of levels. Batch norm keeps statistics and weights for each, since maps of
            different levels are distributed differently; it takes a third of the time that group
            norm does on a processor.
    """

    def __init__(self, channels: int, depth: int, norm: HeadNorm, levels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            init_convolution(nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none"))
            for _ in range(depth)
        )
        self.norms = nn.ModuleList(
            _norms(channels, norm, levels) for _ in range(depth if norm != "none" else 0)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Maps (b, channels, h_i, w_i), fine to coarse, to the same."""
        return [self._level(x, i) for i, x in enumerate(levels)]

    def _level(self, x: Tensor, level: int) -> Tensor:
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if len(self.norms):
                norms = self.norms[i]
                assert isinstance(norms, nn.ModuleList)
                x = norms[level if len(norms) > 1 else 0](x)
            x = functional.relu(x, inplace=True)
        return x


def require_one_prior(head: str, priors_per_cell: int) -> None:
    """For heads of points.

    Raises:
        SettingsError: Cells have several priors.
    """
    if priors_per_cell != 1:
        raise SettingsError(
            f"a head {head} predicts from one prior per cell, but the priors are "
            f"{priors_per_cell} per cell; choose priors such as points, or the head retina"
        )


def _norms(channels: int, norm: HeadNorm, levels: int) -> nn.ModuleList:
    if norm == "batch":
        return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels))
    return nn.ModuleList([nn.GroupNorm(math.gcd(32, channels), channels)])


def init_convolution(convolution: nn.Conv2d, std: float = 0.01, bias: float = 0.0) -> nn.Conv2d:
    """Normal weights and a constant bias, as dense heads start."""
    nn.init.normal_(convolution.weight, std=std)
    if convolution.bias is not None:
        nn.init.constant_(convolution.bias, bias)
    return convolution


def prior_bias(probability: float) -> float:
    """Bias at which every prior starts with this score (arXiv:1708.02002)."""
    return -math.log((1 - probability) / probability)


def rows(maps: Sequence[Tensor], width: int) -> Tensor:
    """Maps (b, a * width, h_i, w_i) of all levels to (b, p, width) float32, in order of priors."""
    return torch.cat(
        [x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, width).float() for x in maps], dim=1
    )
