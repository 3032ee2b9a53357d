"""The part of a detector that decides which prior answers for which object before any weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from tinyscope.detectors.matching import assign_batch, standing
from tinyscope.detectors.parts import Assigner, PriorMaker
from tinyscope.detectors.two_stage import TwoStageDetector
from tinyscope.detectors.video import image_detector
from tinyscope.ops.boxes import box_areas
from tinyscope.types import Priors, Size, Target


@dataclass(frozen=True)
class Assigned:
    """What the priors of a batch answer for, image by image.

    `rows` are of the target without its ignored ones. `taking_part` says which priors each image
    has; None means all.
    """

    priors: Priors
    rows: tuple[Int64[Tensor, "p"], ...]
    taking_part: tuple[Bool[Tensor, "p"] | None, ...]


@dataclass(frozen=True)
class AssigningStage:
    """Priors and assigner of a one-stage detector, or of the first stage of another.

    The second stage's priors are proposals, which only weights can make.

    Args:
        priors: Of levels of given sizes.
        assigner: Priors and boxes to rows of the boxes.
        strides: Of the levels, pixels.
        divisor: Multiple that the sides of a batch are padded to.
        ignore_threshold, overhang, own_padding: As of the detector.
        first_of_two: Whether the detector has a second stage.
    """

    priors: PriorMaker
    assigner: Assigner
    strides: tuple[int, ...]
    divisor: int
    ignore_threshold: float
    overhang: float | None = None
    own_padding: int | None = None
    first_of_two: bool = False

    @classmethod
    def of(cls, detector: Any, divisor: int) -> "AssigningStage":
        """That of a detector, which may lie on the meta device; of videos, the inner one's."""
        detector = image_detector(detector)
        two = isinstance(detector, TwoStageDetector)
        stage = detector.rpn if two else detector
        return cls(
            stage.priors,
            stage.assigner,
            tuple(detector.neck.strides),
            divisor,
            stage.ignore_threshold,
            stage.overhang,
            stage.own_padding,
            two,
        )

    @property
    def sides(self) -> tuple[tuple[float, ...], ...]:
        """Sides of the priors of a cell of every level, square roots of areas, pixels.

        Those of one area, as of several ratios, are named once.
        """
        one = self.priors([(1, 1)] * len(self.strides), torch.device("cpu"))
        sides = box_areas(one.boxes).sqrt()
        return tuple(
            tuple(sorted({round(side, 1) for side in sides[one.levels == level].tolist()}))
            for level in range(len(self.strides))
        )

    @torch.no_grad()
    def __call__(self, targets: Sequence[Target], sizes: Sequence[Size]) -> Assigned:
        """The assignment of a batch, whose images have `sizes` before they are padded to one."""
        height, width = (
            -(-max(lengths) // self.divisor) * self.divisor for lengths in zip(*sizes, strict=True)
        )
        cells = [(-(-height // stride), -(-width // stride)) for stride in self.strides]
        priors = self.priors(cells, torch.device("cpu"))
        chosen = standing(priors, sizes, overhang=self.overhang, divisor=self.own_padding)
        rows = assign_batch(
            priors,
            targets,
            self.assigner,
            ignore_threshold=self.ignore_threshold,
            chosen=chosen,
        )
        parts = (None,) * len(sizes) if chosen is None else tuple(chosen)
        return Assigned(priors, tuple(rows), parts)
