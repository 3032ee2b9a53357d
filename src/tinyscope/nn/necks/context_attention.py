"""Attention maps from all levels of a pyramid at once: where objects of which size may be.

Hong et al. 2021, "SSPNet: Scale Selection Pyramid Network for Tiny Person Detection From UAV
Images", arXiv:2107.01548 (context attention module). Its published code dilates by 1, 2, 5, 1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.necks.joined import JoinedConvolution

LEVELS = 4
DILATIONS = (2, 5)
"""Of the two 3x3 branches; the two beside them are 1x1."""


class AtrousPyramid(nn.Module):
    """Four views of one map side by side: the cell, its neighborhood, a wider one, the whole map.

    Args:
        channels: In and out; a quarter of them comes from each view.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.cell = nn.Conv2d(channels, quarter, 1)
        self.wide = nn.ModuleList(
            nn.Conv2d(channels, quarter, 3, padding=d, dilation=d) for d in DILATIONS
        )
        self.whole = nn.Conv2d(channels, quarter, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """(b, channels, h, w) to the same shape."""
        mean = self.whole(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        views = [self.cell(x), *(convolution(x) for convolution in self.wide), mean]
        return functional.relu(torch.cat(views, dim=1), inplace=True)


class ContextAttention(nn.Module):
    """Attention logits of four levels from all of them.

    The context of all levels is gathered at the finest size and then halved level by level,
    rounding up, by convolutions with nothing between them.

    Args:
        channels: Of every level; divisible by 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = JoinedConvolution(channels, LEVELS)
        self.views = AtrousPyramid(channels)
        self.blend = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.down = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 1 if i == 0 else 2, 1) for i in range(LEVELS)
        )
        self.attend = nn.ModuleList(nn.Conv2d(channels, 1, 3, padding=1) for _ in range(LEVELS))

    def forward(self, levels: Sequence[Float[Tensor, "b c _ _"]]) -> list[Tensor]:
        """Levels (b, channels, h_i, w_i), fine to coarse, to logits (b, 1, h_i, w_i)."""
        x = self.blend(self.views(self.join(levels)))  # (b, channels, h_0, w_0)
        x = functional.relu(self.norm(x), inplace=True)
        logits = []
        for down, attend in zip(self.down, self.attend, strict=True):
            x = down(x)
            logits.append(attend(x))
        return logits
