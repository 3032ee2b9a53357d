"""Attention maps from all levels of a pyramid at once: where objects of which size may be.

Hong et al. 2021, "SSPNet: Scale Selection Pyramid Network for Tiny Person Detection From UAV
Images", arXiv:2107.01548 (context attention module). Its published code dilates by 1, 2, 5, 1.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.necks.atrous import AtrousPyramid
from tinyscope.nn.necks.joined import JoinedConvolution

LEVELS = 4
DILATIONS = (2, 5)
"""Of the two views of a neighborhood."""


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
        self.views = AtrousPyramid(channels, channels // 4, DILATIONS)
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
