"""Detections that several windows made of one object lose score instead of being dropped."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveFloat

from tinyscope.catalog import Share
from tinyscope.ops.suppress import decay_scores
from tinyscope.tiling.found import Found
from tinyscope.tiling.seams import best_first, seam_pairs
from tinyscope.types import Detections


@dataclass(frozen=True)
class SoftNmsMerge:
    """Soft suppression (arXiv:1704.04503) among one class's detections of different windows.

    For crowds, where two windows may each have found another one of two objects that overlap:
    both stay, the lesser with a lower score. Not for counting.

    Args:
        sigma: Scores are multiplied by exp(-IoU^2 / sigma). Smaller than within a window (0.5):
            two windows that show the same object agree far more than two objects overlap.
        score_threshold: Detections whose score falls below are dropped.
        covered: Share of a cut box from which it is a part of a whole one, and dropped.
        touch: A box this close to an inner border of its window counts as cut, pixels.
    """

    undecided: ClassVar[bool] = False
    within_windows: ClassVar[bool] = False

    sigma: PositiveFloat = 0.1
    score_threshold: Share = 0.05
    covered: Share = 0.6
    touch: NonNegativeFloat = 2.0

    def __post_init__(self) -> None:
        if self.sigma <= 0:
            raise ValueError(f"sigma must be above 0, got {self.sigma}")

    def __call__(self, found: Found) -> Detections:
        """What was found in the image, best first by the new scores."""
        alone, shared, _, (first, second, iou) = seam_pairs(found, 0.0, self.covered, self.touch)
        factor = torch.exp(-(iou**2) / self.sigma)
        scores = decay_scores(first, second, factor, shared.scores, self.score_threshold)
        merged = best_first(alone, replace(shared, scores=scores))
        return merged[merged.scores >= self.score_threshold].detections()
