"""Scale selection pyramid: attention says which level an object belongs to, and gates the sums.

Hong et al. 2021, "SSPNet: Scale Selection Pyramid Network for Tiny Person Detection From UAV
Images", arXiv:2107.01548.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.necks.context_attention import ContextAttention
from tinyscope.nn.necks.fpn import out_strides
from tinyscope.types import Pyramid

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class AttentionPyramid(Pyramid):
    """A pyramid with the attention (b, 1, h_i, w_i) of strides 4, 8, 16, 32, and its logits.

    The pyramid may end before or beyond these.
    """

    attention: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]


class SSPNet(nn.Module):
    """Levels of a backbone to a pyramid of equal channels, weighed by attention.

    A level is multiplied by 1 + its attention before the sums and again at the end; what a coarse
    level adds to the next finer one is multiplied by the attention of both.

    Args:
        in_channels: Of the backbone's levels, fine to coarse.
        in_strides: Of the same; 4, 8, 16, 32.
        channels: Of every level that comes out; divisible by 4.
        coarsest: Stride of the coarsest level that comes out; None means 32. Beyond, every second
            cell of the last level makes the next.

    Raises:
        SettingsError: The backbone's strides are others, `channels` cannot be divided by 4, or
            `coarsest` cannot be reached.
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
        if tuple(in_strides) != STRIDES:
            raise SettingsError(
                f"a neck sspnet joins exactly four levels of strides {STRIDES}, the sizes of "
                f"objects that its attention looks for, but the backbone's are {(*in_strides,)}; "
                "choose a backbone of these strides, or the neck fpn"
            )
        if channels % 4:
            raise SettingsError(
                f"channels {channels} of a neck sspnet: its four views of the context share them, "
                f"so they must be divisible by 4, such as {channels + 4 - channels % 4}"
            )
        self.channels = channels
        self.strides = out_strides(STRIDES, coarsest)
        self.lateral = nn.ModuleList(nn.Conv2d(n, channels, 1) for n in in_channels)
        self.context = ContextAttention(channels)
        self.smooth = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in self.strides[: len(STRIDES)]
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]]) -> AttentionPyramid:
        """Levels (b, in_channels[i], h_i, w_i), fine to coarse, to a pyramid of `channels`.

        Sides are those of a backbone that rounds up when it halves.
        """
        merged = [lateral(x) for lateral, x in zip(self.lateral, levels, strict=True)]
        logits = self.context(merged)
        attention = [x.sigmoid() for x in logits]
        merged = [(1 + a) * x for a, x in zip(attention, merged, strict=True)]
        for i in reversed(range(len(merged) - 1)):
            # Gated by the coarse attention while it is still small.
            coarse = functional.interpolate(attention[i + 1] * merged[i + 1], merged[i].shape[-2:])
            merged[i] = merged[i] + attention[i] * coarse
        # Without strict: where the pyramid ends early, the coarse maps have no convolution.
        out = [
            (1 + a) * smooth(x)
            for smooth, a, x in zip(self.smooth, attention, merged, strict=False)
        ]
        while len(out) < len(self.strides):
            out.append(functional.max_pool2d(out[-1], 1, 2))
        return AttentionPyramid(tuple(out), self.strides, tuple(attention), tuple(logits))
