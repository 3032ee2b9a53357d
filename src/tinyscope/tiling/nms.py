"""Of detections that several windows made of one object, the best remains."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import NonNegativeFloat

from tinyscope.catalog import Share
from tinyscope.ops.suppress import greedy
from tinyscope.tiling.found import Found
from tinyscope.tiling.seams import best_first, seam_pairs
from tinyscope.types import Detections


@dataclass(frozen=True)
class NmsMerge:
    """Suppression among detections of one class that are from different windows.

    Within a window the detector has decided already, so close neighbors that it told apart
    stay. A small object that lies on a larger one stays as well: the measure is the IoU. Only
    for a box that ends at the border of its window it is the share of the box that the other
    window's whole one covers, and the whole one wins whatever the scores.

    Args:
        iou_threshold: Above this two detections are of one object. Lower than within a window:
            one pixel of difference between two windows takes half of the IoU of a 4 px object.
        covered: Share of a cut box from which it is a part of a whole one.
        touch: A box this close to an inner border of its window counts as cut, pixels.
    """

    undecided: ClassVar[bool] = False
    within_windows: ClassVar[bool] = False

    iou_threshold: Share = 0.3
    covered: Share = 0.6
    touch: NonNegativeFloat = 2.0

    def __post_init__(self) -> None:
        for name in ("iou_threshold", "covered"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")

    def __call__(self, found: Found) -> Detections:
        """What was found in the image, best first."""
        alone, shared, ranks, (first, second, _) = seam_pairs(
            found, self.iou_threshold, self.covered, self.touch
        )
        kept = greedy(first, second, ranks)
        return best_first(alone, shared[kept]).detections()
