"""Levels with equal channels and nothing handed from one to another."""

from collections.abc import Sequence

from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.blocks import Kernel
from tinyscope.types import Pyramid


class ChannelMapper(nn.Module):
    """A 3x3 convolution with a ReLU for each level, as MMTracking's detectors on one level have it.

    Args:
        in_channels: Of the backbone's levels, fine to coarse.
        in_strides: Of the same.
        channels: Of every level that comes out.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        channels: PositiveInt = 256,
    ) -> None:
        super().__init__()
        self.channels, self.strides = channels, tuple(in_strides)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, channels, 3, padding=1) for before in in_channels
        )
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            nn.init.xavier_uniform_(convolution.weight)
            nn.init.zeros_(convolution.bias)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]]) -> Pyramid:
        """Levels (b, in_channels[i], h_i, w_i), fine to coarse, to a pyramid of `channels`."""
        pairs = zip(self.convolutions, levels, strict=True)
        return Pyramid(tuple(functional.relu(f(x), inplace=True) for f, x in pairs), self.strides)

    def chains(self, before: Sequence[Sequence[Kernel]]) -> tuple[tuple[Kernel, ...], ...]:
        """The kernels from the image to each level, from those to the backbone's levels."""
        return tuple((*chain, Kernel(3, 1)) for chain in before)
