"""Assignment by overlap (Faster R-CNN, arXiv:1506.01497; RetinaNet, arXiv:1708.02002)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.ops.boxes import overlaps
from tinyscope.types import BACKGROUND, IGNORED, Priors

PAIRS = 1 << 24
"""Overlaps held at once (64 MB); more objects are taken in turns."""


@dataclass(frozen=True)
class MaxIouAssigner:
    """A prior answers for the object that it overlaps most, if it overlaps it enough.

    Args:
        positive: IoU from which a prior is positive.
        negative: IoU below which a prior is background; between the two it is ignored.
        rescue: Objects also get the priors that overlap them most, all that tie, where their IoU
            is at least `rescue` and above 0, whatever else these answer for; the later object
            wins. None: no such rescue.
    """

    positive: Share = 0.5
    negative: Share = 0.4
    rescue: Share | None = 0.0

    def __post_init__(self) -> None:
        if self.negative > self.positive:
            raise ValueError(f"negative {self.negative} must not be above positive {self.positive}")

    def __call__(self, priors: Priors, boxes: Float[Tensor, "n 4"]) -> Int64[Tensor, "p"]:
        """Rows of `boxes`, BACKGROUND or IGNORED."""
        count = len(priors)
        best = priors.boxes.new_zeros(count)
        row = torch.full((count,), -1, dtype=torch.int64, device=best.device)
        rescued = torch.full_like(row, -1)
        step = max(1, PAIRS // max(1, count))
        for start in range(0, len(boxes) if count else 0, step):
            iou = overlaps(boxes[start : start + step], priors.boxes)
            top, index = iou.max(dim=0)
            better = top > best  # strict: of equal objects the first wins
            best = torch.where(better, top, best)
            row = torch.where(better, index + start, row)
            if self.rescue is not None:
                rescued = torch.maximum(rescued, _rescued(iou, self.rescue, start))
        assigned = torch.full_like(row, IGNORED)
        assigned[best < self.negative] = BACKGROUND
        assigned = torch.where((best >= self.positive) & (row >= 0), row, assigned)
        return torch.where(rescued >= 0, rescued, assigned)


def _rescued(iou: Tensor, floor: float, start: int) -> Tensor:
    """The last object for which each prior is (one of) the best, -1 for none."""
    most = iou.amax(dim=1, keepdim=True)
    ties = (iou == most) & (most > 0) & (most >= floor)  # (n, p)
    objects, priors = ties.nonzero(as_tuple=True)
    rows = torch.full((iou.shape[1],), -1, dtype=torch.int64, device=iou.device)
    return rows.scatter_reduce(0, priors, objects + start, "amax")
