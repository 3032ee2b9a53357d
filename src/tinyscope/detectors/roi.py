"""Second stage of two-stage detectors: proposals to classes and better boxes (arXiv:1612.03144)."""

from collections.abc import Sequence

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torchvision.ops import roi_align

from tinyscope.catalog import Share
from tinyscope.detectors.matching import match
from tinyscope.detectors.parts import Assigner, RoiHead, Sampler
from tinyscope.ops.boxes import box_areas, clip_boxes
from tinyscope.ops.suppress import nms_per_class
from tinyscope.types import Coder, Detections, Matches, Priors, Pyramid, Size, Target


class RoiStage(nn.Module):
    """Pools each proposal from the level of its size, classifies it and moves its sides.

    Args:
        head: Pooled features (r, c, pool, pool) to class logits and deltas; owns their loss.
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
        limit: PositiveInt | None = 1000,
        ignore_threshold: Share = 0.5,
    ) -> None:
        super().__init__()
        self.head, self.assigner, self.sampler, self.coder = head, assigner, sampler, coder
        self.pool, self.sampling, self.aligned = pool, sampling, aligned
        self.finest, self.levels = finest, levels
        self.add_objects, self.ignore_threshold = add_objects, ignore_threshold
        self.score_threshold, self.nms, self.limit = score_threshold, nms, limit

    def loss(
        self, pyramid: Pyramid, proposals: Sequence[Tensor], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Named losses () of a batch; `proposals` are boxes (n, 4) of each image."""
        chosen, labels, encoded = [], [], []
        for boxes, target in zip(proposals, targets, strict=True):
            if self.add_objects:
                boxes = torch.cat([boxes, target.boxes[~target.ignore]])
            priors = Priors.of_boxes(boxes)
            matches = match(
                priors, target, self.assigner, self.sampler, ignore_threshold=self.ignore_threshold
            )
            chosen.append(torch.cat([boxes[matches.positive], boxes[matches.negative]]))
            labels.append(self._labels(matches))
            encoded.append(self.coder.encode(priors[matches.positive], matches.boxes))
        logits, deltas = self.head(self.features(pyramid, chosen))
        with torch.autocast(logits.device.type, enabled=False):
            return self.head.loss(logits, deltas, torch.cat(labels), torch.cat(encoded))

    def _labels(self, matches: Matches) -> Tensor:
        background = torch.full_like(matches.negative, self.head.classes)
        return torch.cat([matches.labels, background])

    @torch.no_grad()
    def detect(
        self,
        pyramid: Pyramid,
        proposals: Sequence[Tensor],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """Detections of each image, best first; of scores above the stage's threshold or that."""
        floor = self.score_threshold if score_threshold is None else score_threshold
        logits, deltas = self.head(self.features(pyramid, proposals))
        counts = [len(boxes) for boxes in proposals]
        parts = zip(
            proposals,
            torch.split(logits.softmax(dim=1), counts),
            torch.split(deltas, counts),
            sizes,
            strict=True,
        )
        return [self._detect(*part, floor) for part in parts]

    def _detect(
        self, proposals: Tensor, scores: Tensor, deltas: Tensor, size: Size, floor: float
    ) -> Detections:
        row, labels = (scores[:, :-1] > floor).nonzero(as_tuple=True)
        chosen = self.head.class_deltas(deltas[row], labels)
        boxes = self.coder.decode(Priors.of_boxes(proposals[row]), chosen)
        boxes, found = clip_boxes(boxes, size), scores[row, labels]
        kept = nms_per_class(boxes, found, labels, self.nms, self.limit)
        return Detections(boxes[kept], found[kept], labels[kept])

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
