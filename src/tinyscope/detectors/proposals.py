"""First stage of two-stage detectors: which regions may hold an object (arXiv:1506.01497)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from tinyscope.catalog import Share
from tinyscope.detectors.matching import match_batch, standing
from tinyscope.detectors.parts import Assigner, DenseHead, PriorMaker, Sampler
from tinyscope.detectors.select import level_spans
from tinyscope.ops.boxes import clip_boxes
from tinyscope.ops.suppress import nms_per_class
from tinyscope.types import Coder, DenseOutputs, Priors, Pyramid, Size, Target


@dataclass(frozen=True)
class ProposalLimits:
    """How many proposals survive.

    `before` per level and `after` per image, before and after suppression; `across` is the IoU
    above which the lesser of two goes whatever their levels, in a second suppression, if any.
    """

    before: int
    after: int
    across: float | None = None


@dataclass(frozen=True)
class Proposals:
    """Regions of one image that may hold an object, best first; `scores` in [0, 1]."""

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Tensor) -> "Proposals":
        return Proposals(self.boxes[rows], self.scores[rows])


class ProposalStage(nn.Module):
    """A head that scores priors as object or not, and the proposals made from it.

    Args:
        head: Pyramid to `DenseOutputs` with one logit per prior; owns their loss.
        priors: What the head predicts from.
        assigner: Which prior answers for which object.
        sampler: Which priors take part in the loss.
        coder: Deltas to boxes.
        train_before: Best priors per level that suppression sees, in training.
        train_after: Proposals per image that are kept, in training.
        test_before: The same at test time.
        test_after: The same at test time.
        nms: IoU above which the lesser of two proposals of a level goes.
        test_nms_across: IoU above which the lesser of two proposals of any levels goes, in a
            second suppression at test time; none by default. TOV_mmdetection has one (of 0.7)
            where it tests in tiles.
        min_side: Proposals with a shorter side are dropped, pixels.
        keep_empty: Those of which nothing is left in the image are proposals, too, unless
            `min_side` drops them. Those of mmdetection up to 2.13 are.
        ignore_threshold: Background priors of which an ignored region covers more than this
            take no part in the loss.
        overhang: Priors that reach farther out of the unpadded image than this take no part in
            assignment and loss, pixels. None: however far they reach.
        own_padding: Priors of cells beyond the image as it is when padded on its own to multiples
            of this take no part either. None: those in all of the batch's padding do.
    """

    head: DenseHead
    priors: PriorMaker
    assigner: Assigner
    sampler: Sampler
    coder: Coder

    def __init__(
        self,
        head: DenseHead,
        priors: PriorMaker,
        assigner: Assigner,
        sampler: Sampler,
        coder: Coder,
        *,
        train_before: PositiveInt = 2000,
        train_after: PositiveInt = 2000,
        test_before: PositiveInt = 2000,
        test_after: PositiveInt = 2000,
        nms: Share = 0.7,
        test_nms_across: Share | None = None,
        min_side: NonNegativeFloat = 0.0,
        keep_empty: bool = False,
        ignore_threshold: Share = 0.5,
        overhang: NonNegativeFloat | None = None,
        own_padding: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.head, self.priors, self.assigner, self.sampler = head, priors, assigner, sampler
        self.coder, self.nms = coder, nms
        self.min_side, self.keep_empty = min_side, keep_empty
        self.train_limits = ProposalLimits(train_before, train_after)
        self.test_limits = ProposalLimits(test_before, test_after, test_nms_across)
        self.ignore_threshold = ignore_threshold
        self.overhang, self.own_padding = overhang, own_padding

    def forward(self, pyramid: Pyramid) -> DenseOutputs:
        return self.head(pyramid)

    def loss(
        self, outputs: DenseOutputs, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]:
        """Named losses () of a batch, whose images have `sizes` before padding."""
        priors = self._priors(outputs)
        matches = match_batch(
            priors,
            targets,
            self.assigner,
            self.sampler,
            ignore_threshold=self.ignore_threshold,
            chosen=standing(priors, sizes, overhang=self.overhang, divisor=self.own_padding),
        )
        return self.head.loss(outputs, matches, priors, self.coder)

    @torch.no_grad()
    def propose(
        self, outputs: DenseOutputs, sizes: Sequence[Size], limits: ProposalLimits
    ) -> list[Proposals]:
        """Those of each image, cut at the borders of the unpadded image."""
        priors = self._priors(outputs)
        spans = level_spans(priors.levels)
        return [
            self._propose(outputs.logits[i, :, 0], outputs.deltas[i], size, priors, spans, limits)
            for i, size in enumerate(sizes)
        ]

    def _propose(
        self,
        logits: Tensor,
        deltas: Tensor,
        size: Size,
        priors: Priors,
        spans: Sequence[slice],
        limits: ProposalLimits,
    ) -> Proposals:
        best = torch.cat(
            [
                logits[span].topk(min(limits.before, span.stop - span.start)).indices + span.start
                for span in spans
            ]
        )
        boxes = clip_boxes(self.coder.decode(priors[best], deltas[best]), size)
        sides = boxes[:, 2:] - boxes[:, :2]
        large = sides >= self.min_side
        if not self.keep_empty:
            large &= sides > 0
        boxes, best = boxes[large.all(dim=1)], best[large.all(dim=1)]
        scores = logits[best].sigmoid()
        kept = nms_per_class(boxes, scores, priors.levels[best], self.nms, limits.after)
        found = Proposals(boxes[kept], scores[kept])
        if limits.across is None:
            return found
        return found[across_levels(found.boxes, found.scores, limits.across)]

    def _priors(self, outputs: DenseOutputs) -> Priors:
        return self.priors(outputs.pyramid.sizes, outputs.logits.device)


def across_levels(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n"], iou_threshold: float
) -> Int64[Tensor, "m"]:
    """Rows of proposals that remain when each drops lesser ones of any level, best first.

    Args:
        boxes: xyxy, pixels; cut at the borders of the image.
        scores: Higher is better.
        iou_threshold: Above this the lesser of two goes.
    """
    one = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    return nms_per_class(boxes, scores, one, iou_threshold)
