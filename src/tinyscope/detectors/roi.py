"""Second stage of two-stage detectors: proposals to classes and better boxes (arXiv:1612.03144)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torchvision.ops import roi_align

from tinyscope.catalog import Share
from tinyscope.detectors.matching import match
from tinyscope.detectors.parts import Assigner, RoiHead, Sampler
from tinyscope.detectors.proposals import Proposals
from tinyscope.detectors.suppression import Decay, Suppression
from tinyscope.ops.boxes import box_areas, clip_boxes
from tinyscope.types import Coder, Detections, Priors, Pyramid, Size, Target


@dataclass(frozen=True)
class Chosen:
    """The proposals of one image that a stage learns from, positives first.

    `labels` are classes, the number of classes for background; `encoded` are the targets of the
    positives' deltas; `objects` marks the target's own boxes among the proposals.
    """

    proposals: Proposals
    labels: Int64[Tensor, "n"]
    encoded: Float[Tensor, "m 4"]
    objects: Bool[Tensor, "n"]


@dataclass(frozen=True)
class Verdict:
    """What a second stage says of the proposals of one image.

    `scores` are of the k classes and the background, which is last; `boxes` are one for all
    classes (c = 1) or one per class (c = k), cut at the borders of the image.
    """

    scores: Float[Tensor, "n k1"]
    boxes: Float[Tensor, "n c 4"]


class RoiStage(nn.Module):
    """Pools each proposal from the level of its size, classifies it and moves its sides.

    Args:
        head: Pooled features (r, c, pool, pool) to logits and deltas; owns their meaning and loss.
        assigner: Which proposal answers for which object.
        sampler: Which proposals take part in the loss.
        coder: Deltas to boxes.
        pool: Cells per side of the pooled features; supplied by the builder to the head.
        sampling: Samples per cell and axis; 0 takes one per cell of the level.
        aligned: Samples lie where the proposal is; False puts them half a cell of the level to the
            lower right, as torchvision's detectors were trained.
        finest: Side in pixels from which a proposal goes to the second level; every doubling
            goes one level further.
        levels: Finest levels of the pyramid that are pooled from.
        add_objects: The objects themselves are proposals too, in training.
        score_threshold: Scores at or below are no detections.
        nms: IoU above which the lesser of two detections of a class goes.
        decay: Whether its score decays instead, and how (Soft-NMS).
        decay_floor: Detections whose score decays below this are dropped.
        limit: Detections per image; None: as many as there are.
        ignore_threshold: Background proposals of which an ignored region covers more than this
            take no part in the loss.
    """

    head: RoiHead
    assigner: Assigner
    sampler: Sampler
    coder: Coder

    def __init__(
        self,
        head: RoiHead,
        assigner: Assigner,
        sampler: Sampler,
        coder: Coder,
        *,
        pool: PositiveInt = 7,
        sampling: NonNegativeInt = 2,
        aligned: bool = True,
        finest: PositiveFloat = 112.0,
        levels: PositiveInt = 4,
        add_objects: bool = True,
        score_threshold: Share = 0.05,
        nms: Share = 0.5,
        decay: Decay = "none",
        decay_floor: Share = 0.05,
        limit: PositiveInt | None = 1000,
        ignore_threshold: Share = 0.5,
    ) -> None:
        super().__init__()
        self.head, self.assigner, self.sampler, self.coder = head, assigner, sampler, coder
        self.pool, self.sampling, self.aligned = pool, sampling, aligned
        self.finest, self.levels = finest, levels
        self.add_objects, self.ignore_threshold = add_objects, ignore_threshold
        self.score_threshold = score_threshold
        self.suppress = Suppression(nms, decay, decay_floor, limit)

    @property
    def stages(self) -> "Sequence[RoiStage]":
        """The stages that classify one after the other: this one."""
        return (self,)

    def forward(self, pyramid: Pyramid, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw outputs for boxes (n, 4) of each image: the head's logits (r, w) and deltas
        (r, k or 1, 4)."""
        logits, deltas = self.head(self.features(pyramid, boxes))
        return logits, deltas

    def loss(
        self,
        pyramid: Pyramid,
        proposals: Sequence[Proposals],
        targets: Sequence[Target],
        sizes: Sequence[Size],
    ) -> dict[str, Tensor]:
        """Named losses () of a batch; `sizes` of the images do not matter to a single stage."""
        chosen = self.choose(proposals, targets)
        logits, deltas = self(pyramid, [c.proposals.boxes for c in chosen])
        return self.loss_of(chosen, logits, deltas)

    def choose(self, proposals: Sequence[Proposals], targets: Sequence[Target]) -> list[Chosen]:
        """Assigns and samples, image by image."""
        return [self._choose(p, t) for p, t in zip(proposals, targets, strict=True)]

    def _choose(self, proposed: Proposals, target: Target) -> Chosen:
        boxes, scores = proposed.boxes, proposed.scores
        if self.add_objects:
            objects = target.boxes[~target.ignore]
            boxes = torch.cat([boxes, objects])
            scores = torch.cat([scores, scores.new_ones(len(objects))])
        priors = Priors.of_boxes(boxes)
        matches = match(
            priors,
            target,
            self.assigner,
            self.sampler,
            ignore_threshold=self.ignore_threshold,
            scores=scores,
        )
        rows = torch.cat([matches.positive, matches.negative])
        background = torch.full_like(matches.negative, self.head.classes)
        return Chosen(
            Proposals(boxes[rows], scores[rows]),
            torch.cat([matches.labels, background]),
            self.coder.encode(priors[matches.positive], matches.boxes),
            rows >= len(proposed),
        )

    def loss_of(
        self, chosen: Sequence[Chosen], logits: Tensor, deltas: Tensor
    ) -> dict[str, Tensor]:
        """Named losses () of the raw outputs for what was chosen."""
        labels = torch.cat([c.labels for c in chosen])
        with torch.autocast(logits.device.type, enabled=False):
            return self.head.loss(logits, deltas, labels, torch.cat([c.encoded for c in chosen]))

    @torch.no_grad()
    def classify(
        self, pyramid: Pyramid, proposals: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Verdict]:
        """What the stage says of the proposals (n, 4) of each image."""
        logits, deltas = self(pyramid, proposals)
        return self.verdicts(proposals, self.head.scores(logits), deltas, sizes)

    def verdicts(
        self,
        proposals: Sequence[Tensor],
        scores: Float[Tensor, "r k1"],
        deltas: Float[Tensor, "r d 4"],
        sizes: Sequence[Size],
    ) -> list[Verdict]:
        """Scores and moved boxes, image by image."""
        counts = [len(boxes) for boxes in proposals]
        parts = zip(
            proposals, torch.split(scores, counts), torch.split(deltas, counts), sizes, strict=True
        )
        return [
            Verdict(score, self._moved(boxes, moves, size)) for boxes, score, moves, size in parts
        ]

    def _moved(self, boxes: Tensor, deltas: Tensor, size: Size) -> Tensor:
        """Boxes (n, 4) by deltas (n, c, 4) to (n, c, 4)."""
        priors = Priors.of_boxes(boxes.repeat_interleave(deltas.shape[1], dim=0))
        moved = clip_boxes(self.coder.decode(priors, deltas.flatten(0, 1)), size)
        return moved.view_as(deltas)

    def refine(
        self,
        boxes: Float[Tensor, "n 4"],
        deltas: Float[Tensor, "n d 4"],
        labels: Int64[Tensor, "n"],
        size: Size,
    ) -> Float[Tensor, "n 4"]:
        """Boxes of one image moved as the stage says for their labels, for a stage after it."""
        return self._moved(boxes, self.head.class_deltas(deltas, labels)[:, None], size)[:, 0]

    def select(self, verdict: Verdict, score_threshold: float | None = None) -> Detections:
        """Detections of an image, best first; of scores above the stage's threshold or that."""
        floor = self.score_threshold if score_threshold is None else score_threshold
        row, labels = (verdict.scores[:, :-1] > floor).nonzero(as_tuple=True)
        column = labels if verdict.boxes.shape[1] > 1 else torch.zeros_like(labels)
        return self.suppress(verdict.boxes[row, column], verdict.scores[row, labels], labels)

    def features(self, pyramid: Pyramid, proposals: Sequence[Tensor]) -> Tensor:
        """Pooled features (r, c, pool, pool) of all proposals, image by image."""
        maps = pyramid.levels[: self.levels]
        boxes = torch.cat(list(proposals))
        image = torch.cat([torch.full_like(b[:, :1], i) for i, b in enumerate(proposals)])
        rois = torch.cat([image, boxes], dim=1)
        level = self._level(boxes, len(maps))
        rows = [(level == i).nonzero()[:, 0] for i in range(len(maps))]
        # float32: in half precision a proposal's corner would lie up to pixels away.
        parts = [
            roi_align(x.float(), rois[r], self.pool, 1 / stride, self.sampling, self.aligned)
            for r, x, stride in zip(rows, maps, pyramid.strides, strict=False)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _level(self, boxes: Tensor, count: int) -> Tensor:
        """Level that each box is pooled from (r,)."""
        # Twice the side that still goes to the finest level is the first of the second.
        level = torch.floor(torch.log2(box_areas(boxes).sqrt() * 2 / self.finest + 1e-6))
        return level.clamp(0, count - 1).long()
