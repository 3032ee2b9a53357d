"""Region proposal head: object or not, and four deltas, per anchor (arXiv:1506.01497)."""

from collections.abc import Sequence

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.heads.classify import count_of, positives
from tinyscope.nn.heads.retina import prior_box_loss
from tinyscope.nn.heads.tower import init_convolution, rows
from tinyscope.ops.distributed import shared_count
from tinyscope.ops.losses import BoxLoss
from tinyscope.types import Coder, DenseOutputs, Matches, Priors, Pyramid


class RpnHead(nn.Module):
    """One 3x3 convolution shared by all levels, then a logit and four deltas for every anchor.

    Args:
        channels: Of the pyramid; supplied by the neck.
        priors_per_cell: Anchors per cell; supplied by the priors.
        box_loss: On deltas (l1, smooth_l1) or on decoded boxes (giou, diou).
        beta: Of smooth_l1.
        count_floor: Positives of an image, and its background priors, count as at least so many
            when losses are divided by their number. mmdetection takes 1.
    """

    def __init__(
        self,
        channels: int,
        priors_per_cell: int,
        *,
        box_loss: BoxLoss = "l1",
        beta: PositiveFloat = 1 / 9,
        count_floor: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.box_loss, self.beta, self.count_floor = box_loss, beta, count_floor
        self.shared = init_convolution(nn.Conv2d(channels, channels, 3, padding=1))
        self.objectness = init_convolution(nn.Conv2d(channels, priors_per_cell, 1))
        self.box = init_convolution(nn.Conv2d(channels, priors_per_cell * 4, 1))

    def forward(self, pyramid: Pyramid) -> DenseOutputs:
        """Pyramid to logits (b, p, 1) and deltas (b, p, 4)."""
        shared = [functional.relu(self.shared(x), inplace=True) for x in pyramid.levels]
        return DenseOutputs(
            pyramid,
            rows([self.objectness(x) for x in shared], 1),
            rows([self.box(x) for x in shared], 4),
        )

    def loss(
        self, outputs: DenseOutputs, matches: Sequence[Matches], priors: Priors, coder: Coder
    ) -> dict[str, Tensor]:
        """Named losses (), both normalized by the sampled priors of all processes."""
        image, prior, _, boxes = positives(matches)
        background_image = torch.cat(
            [torch.full_like(m.negative, i) for i, m in enumerate(matches)]
        )
        background = torch.cat([m.negative for m in matches])
        logits = torch.cat(
            [outputs.logits[image, prior, 0], outputs.logits[background_image, background, 0]]
        )
        targets = (torch.arange(len(logits), device=logits.device) < len(prior)).float()
        sampled = [rows for m in matches for rows in (m.positive, m.negative)]
        count = shared_count(count_of(sampled, self.count_floor))
        objectness = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        box = prior_box_loss(
            outputs.deltas[image, prior], priors[prior], boxes, coder, self.box_loss, self.beta
        )
        return {"objectness": objectness / count, "proposal_box": box.sum() / count}
