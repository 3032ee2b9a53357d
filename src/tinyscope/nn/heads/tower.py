"""What dense heads share: towers of convolutions, and maps laid out as rows of priors."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

HeadNorm = Literal["none", "group"]


def tower(channels: int, depth: int, norm: HeadNorm) -> nn.Sequential:
    """`depth` times 3x3 convolution, norm, ReLU at constant channels; weights N(0, 0.01)."""
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts.append(nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none"))
        if norm == "group":
            parts.append(nn.GroupNorm(math.gcd(32, channels), channels))
        parts.append(nn.ReLU(inplace=True))
    stack = nn.Sequential(*parts)
    for module in stack:
        if isinstance(module, nn.Conv2d):
            init_convolution(module)
    return stack


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
