"""A 3x3 convolution over maps of several sizes, all enlarged to the finest and laid side by side.

It is linear, so it is the sum of a convolution for each map. Where a map is enlarged by whole
numbers, each of its cells adds a fixed patch to the result, and a transposed convolution of the
small map does the same with less arithmetic and without the enlarged map: enlarged by s, a cell
costs (s + 2)**2 products instead of 9 * s**2.
"""

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
            formula says it; for who counts the operations of the published form.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.channels, self.direct = channels, False
        convolution = nn.Conv2d(levels * channels, channels, 3, padding=1)
        assert convolution.bias is not None
        self.weight, self.bias = convolution.weight, convolution.bias
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, maps: Sequence[Float[Tensor, "b c _ _"]]) -> Float[Tensor, "b c h w"]:
        """Maps (b, channels, h_i, w_i), fine to coarse, to one of the finest size."""
        size = maps[0].shape[-2:]
        if self.direct:
            enlarged = [maps[0], *(functional.interpolate(x, size) for x in maps[1:])]
            return functional.conv2d(torch.cat(enlarged, dim=1), self.weight, self.bias, padding=1)
        first, *others = torch.split(self.weight, self.channels, dim=1)
        joined = functional.conv2d(maps[0], first, self.bias, padding=1)
        for x, weight in zip(maps[1:], others, strict=True):
            joined += convolve_enlarged(x, weight, (size[0], size[1]))
        return joined


def convolve_enlarged(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "d c 3 3"], size: tuple[int, int]
) -> Float[Tensor, "b d _ _"]:
    """A 3x3 convolution, zeros around, of a map enlarged to `size` by its nearest cells."""
    rows, columns = size[0] // x.shape[-2], size[1] // x.shape[-1]
    if size != (rows * x.shape[-2], columns * x.shape[-1]):
        return functional.conv2d(functional.interpolate(x, size), weight, padding=1)
    patch = _spread(_spread(weight, rows, 2), columns, 3).transpose(0, 1)
    return functional.conv_transpose2d(x, patch, stride=(rows, columns), padding=1)


def _spread(weight: Tensor, factor: int, dim: int) -> Tensor:
    """What a cell repeated `factor` times adds to the outputs from one before to one behind it.

    An output is taken from the cell through all taps that fall into it: where a cell begins,
    that before it falls into the cell before.
    """
    before, here, after = weight.unbind(dim)
    if factor == 1:
        return torch.stack([after, here, before], dim)
    inside = [before + here + after] * (factor - 2)
    return torch.stack([after, here + after, *inside, before + here, before], dim)
