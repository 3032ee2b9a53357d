"""Every window answers for its core alone; the cores of a grid divide the image."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import NonNegativeFloat
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.ops.near import Near
from tinyscope.ops.suppress import greedy, overlapping
from tinyscope.tiling.found import Found, neighbors
from tinyscope.types import Detections, Size


@dataclass(frozen=True)
class OwnershipMerge:
    """A detection counts if its center lies in the core of the window that it is from.

    Cores meet in the middle of what two windows share. Nothing is compared but the detections
    beside the lines where cores meet: there two windows may see one center on either side, so
    that both or neither would own it.

    Args:
        slack: Cores are enlarged by this on every side, pixels.
        iou_threshold: Above this two detections of one class, whose windows' cores share the
            center thanks to `slack`, are of one object.
        touch: A box this close to an inner border of its window counts as cut, pixels; `slack`
            is not for these.
    """

    undecided: ClassVar[bool] = False
    within_windows: ClassVar[bool] = False

    slack: NonNegativeFloat = 4.0
    iou_threshold: Share = 0.3
    touch: NonNegativeFloat = 2.0

    def __post_init__(self) -> None:
        if self.slack < 0:
            raise ValueError(f"slack must not be negative, got {self.slack}")

    def __call__(self, found: Found) -> Detections:
        """What was found in the image, best first."""
        core = _in_core(found, 0.0)
        around = _in_core(found, self.slack) & ~found.cut(self.touch)
        owned = found[core | around].ordered()
        beside = (~_in_core(owned, -self.slack)).nonzero()[:, 0]
        near = Near.of(owned.boxes[beside], owned.labels[beside], min_ratio=self.iou_threshold)
        pairs = overlapping(near, owned.boxes[beside], self.iou_threshold)
        first, second = beside[pairs[0]], beside[pairs[1]]
        other = owned.from_other_windows(first, second)
        kept = greedy(first[other], second[other], owned.scores)
        return owned[kept].detections()


def _in_core(found: Found, slack: float) -> Bool[Tensor, "n"]:
    low, high = (ends[found.tiles] for ends in cores(found.windows, found.size))
    centers = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    return ((centers >= low - slack) & (centers < high + slack)).all(dim=1)


def cores(
    windows: Int64[Tensor, "t 4"], size: Size
) -> tuple[Float[Tensor, "t 2"], Float[Tensor, "t 2"]]:
    """(x, y) where the core of each window of an image of `size` begins and ends.

    At the image's border it does not end: a center may lie outside. A window that reaches the
    border ends nevertheless where a later one starts (`clipped` cuts such slivers).
    """
    height, width = size
    before, after = neighbors(windows, size)
    low = (windows[:, :2] + torch.maximum(before, windows[:, :2])) / 2
    high = (windows[:, 2:] + torch.minimum(after, windows[:, 2:])) / 2
    low = torch.where(windows[:, :2] <= 0, -torch.inf, low)
    high = torch.where(after >= windows.new_tensor([width, height]), torch.inf, high)
    return low, high
