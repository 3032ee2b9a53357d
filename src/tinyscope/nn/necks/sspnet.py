"""Scale selection pyramid: attention says which level an object belongs to, and gates the sums.

Hong et al. 2021, "SSPNet: Scale Selection Pyramid Network for Tiny Person Detection From UAV
Images", arXiv:2107.01548.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks.attention_loss import attention_loss, dice_loss, mined_weights
from tinyscope.nn.necks.attention_targets import Painting, attention_targets, covered
from tinyscope.nn.necks.context_attention import ContextAttention
from tinyscope.nn.necks.fpn import out_strides
from tinyscope.ops.distributed import shared_count
from tinyscope.types import Pyramid, Size, Target

STRIDES = (4, 8, 16, 32)
WEIGHTS: dict[Painting, float] = {"hard": 0.01, "soft": 0.0001, "soft_asymmetric": 0.0001}
"""Of the cross-entropy with each kind of maps, as published."""


@dataclass(frozen=True)
class AttentionPyramid(Pyramid):
    """A pyramid with the attention (b, 1, h_i, w_i) of `attention_strides`, and its logits.

    The pyramid may end before or beyond these.
    """

    attention: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]
    attention_strides: tuple[int, ...] = STRIDES


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
        target: What its attention is to show of objects: "hard" maps, 1 where their size is that of
            the level and -1 elsewhere; "soft" ones, how central a cell is in objects of the
            level's size (as published with bottom-heavy backbones), or "soft_asymmetric" ones (a
            later release of SSPNet), which end one pixel early.
        weight: Of the cross-entropy with these maps; None: as published, 0.01 with hard maps,
            0.0001 with soft ones.
        ignored: Whether background in ignored regions is left out of the supervision, or is
            "background" as published.

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
        target: Painting = "hard",
        weight: NonNegativeFloat | None = None,
        ignored: Literal["left_out", "background"] = "left_out",
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
        self.target, self.ignored = target, ignored
        self.weight = WEIGHTS[target] if weight is None else weight
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

    def chains(self, before: Sequence[Sequence[Kernel]]) -> tuple[tuple[Kernel, ...], ...]:
        """The kernels from the image to each level, from those to the backbone's levels.

        Along a level's own way: attention, which gathers the context of all levels, and what
        coarser levels hand down reach farther still.
        """
        chains = [(*chain, Kernel(1, 1), Kernel(3, 1)) for chain in before][: len(self.smooth)]
        while len(chains) < len(self.strides):
            chains.append((*chains[-1], Kernel(1, 2)))
        return tuple(chains)

    def loss(self, pyramid: Pyramid, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Named losses () of the attention, summed over the four levels.

        `attention` is the weighted cross-entropy, by the cells that weigh anything in all
        processes; `attention_dice` the mean over the images.

        Args:
            pyramid: As `forward` returned it.
            targets: Of the images; boxes in their pixels.
        """
        assert isinstance(pyramid, AttentionPyramid)
        logits = [x[:, 0].float() for x in pyramid.logits]  # (b, h_i, w_i)
        sizes = [(x.shape[-2], x.shape[-1]) for x in logits]
        maps, left_out = self.maps(targets, sizes)
        sums, counts, dice = [], [], []
        for x, wanted, spared in zip(logits, maps, left_out, strict=True):
            attention = x.sigmoid()
            weights = mined_weights(attention.detach(), wanted, spared)
            sums.append(attention_loss(x, wanted, weights))
            counts.append((weights > 0).sum())
            dice.append(dice_loss(attention, wanted).mean())
        entropy = (torch.stack(sums) / shared_count(torch.stack(counts))).sum()
        return {
            "attention": self.weight * entropy,
            "attention_dice": torch.stack(dice).sum(),
        }

    def maps(
        self, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What each level is to show, and the cells that are left out, (b, h_i, w_i) each."""
        # Cells of maps that do not halve evenly reach beyond the images, so the canvas does too.
        canvas = (STRIDES[-1] * sizes[-1][0], STRIDES[-1] * sizes[-1][1])
        whole = [(canvas[0] // stride, canvas[1] // stride) for stride in STRIDES]
        maps = attention_targets([t.boxes[~t.ignore] for t in targets], canvas, whole, self.target)
        regions = [t.boxes[t.ignore & (self.ignored == "left_out")] for t in targets]
        left_out = covered(regions, canvas, whole)
        return (
            [x[:, :h, :w] for x, (h, w) in zip(maps, sizes, strict=True)],
            [x[:, :h, :w] for x, (h, w) in zip(left_out, sizes, strict=True)],
        )
