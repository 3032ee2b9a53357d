"""Views of a map from close by and from afar, side by side (arXiv:1606.00915)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class AtrousPyramid(nn.Module):
    """Views of one map side by side: the cell, neighborhoods of it, the whole map.

    Args:
        channels: Of the map.
        view_channels: That come from each view.
        dilations: Of the neighborhoods' 3x3 convolutions.
    """

    def __init__(self, channels: int, view_channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.cell = nn.Conv2d(channels, view_channels, 1)
        self.wide = nn.ModuleList(
            nn.Conv2d(channels, view_channels, 3, padding=d, dilation=d) for d in dilations
        )
        self.whole = nn.Conv2d(channels, view_channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b _ h w"]:
        """(b, channels, h, w) to (b, (2 + dilations) * view_channels, h, w)."""
        mean = self.whole(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        views = [self.cell(x), *(convolution(x) for convolution in self.wide), mean]
        return functional.relu(torch.cat(views, dim=1), inplace=True)
