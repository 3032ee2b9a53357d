"""A 3x3 convolution over maps of several sizes, all enlarged to the finest and laid side by side."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class JoinedConvolution(nn.Module):
    """One 3x3 convolution with bias over `levels` maps of `channels`, enlarged to the finest.

    Enlarging repeats the nearest cell, so sizes need not halve evenly.

    Args:
        channels: Of every map, and of what comes out.
        levels: Number of maps.

    Attributes:
        direct: Whether the enlarged maps are made and joined before they are convolved, as the
            formula says it; what counts the operations of the published form sets it.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.direct = True
        convolution = nn.Conv2d(levels * channels, channels, 3, padding=1)
        assert convolution.bias is not None
        self.weight, self.bias = convolution.weight, convolution.bias
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, maps: Sequence[Float[Tensor, "b c _ _"]]) -> Float[Tensor, "b c h w"]:
        """Maps (b, channels, h_i, w_i), fine to coarse, to one of the finest size."""
        size = maps[0].shape[-2:]
        enlarged = [maps[0], *(functional.interpolate(x, size) for x in maps[1:])]
        return functional.conv2d(torch.cat(enlarged, dim=1), self.weight, self.bias, padding=1)
