"""The pyramid of HRNet: all levels side by side in one fine map, which is then averaged down.

Sun et al. 2019, "High-Resolution Representations for Labeling Pixels and Regions",
arXiv:1904.04514.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks.fpn import out_strides
from tinyscope.types import Pyramid


class HRFPN(nn.Module):
    """Levels of a backbone to a pyramid of equal channels, every level made from the finest.

    Args:
        in_channels: Of the backbone's levels, fine to coarse.
        in_strides: Of the same.
        channels: Of every level that comes out.
        coarsest: Stride of the coarsest level that comes out, which may lie beyond the backbone's
            or before it; None means the backbone's last.

    Raises:
        SettingsError: The strides do not double, or `coarsest` cannot be reached.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        channels: PositiveInt = 256,
        coarsest: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.strides = out_strides(tuple(in_strides), coarsest)
        self.reduce = nn.Conv2d(sum(in_channels), channels, 1)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in self.strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Caffe2's "xavier": uniform, with the variance 1 / fan_in.
                nn.init.kaiming_uniform_(module.weight, a=1)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]]) -> Pyramid:
        """Levels (b, in_channels[i], h / 2**i, w / 2**i) to a pyramid of `channels`.

        The finest level (b, _, h, w) must have sides that halve evenly, as those of an HRNet do.
        """
        size = levels[0].shape[-2:]
        enlarged = [
            functional.interpolate(x, size, mode="bilinear", align_corners=False)
            for x in levels[1:]
        ]
        merged = self.reduce(torch.cat([levels[0], *enlarged], dim=1))  # (b, channels, h, w)
        maps = [merged]
        while len(maps) < len(self.strides):
            maps.append(functional.avg_pool2d(maps[-1], 2))
        out = [smooth(x) for smooth, x in zip(self.smooth, maps, strict=True)]
        return Pyramid(tuple(out), self.strides)

    def chains(self, before: Sequence[Sequence[Kernel]]) -> tuple[tuple[Kernel, ...], ...]:
        """The kernels from the image to each level, from those to the backbone's levels.

        Along the way of the finest level, which all come from; coarser ones, enlarged onto it,
        reach farther still.
        """
        merged = (*before[0], Kernel(1, 1))
        return tuple((*merged, *[Kernel(2, 2)] * i, Kernel(3, 1)) for i in range(len(self.strides)))
