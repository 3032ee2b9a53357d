"""Assignment of points near centers of objects (FCOS with center sampling, arXiv:1904.01355)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import PositiveFloat
from torch import Tensor

from tinyscope.matching.assign.nearest import give_nearest
from tinyscope.types import BACKGROUND, Priors

PAIRS = 1 << 23
"""Pairs of point and object held at once; more objects are taken in turns."""


@dataclass(frozen=True)
class CenterAssigner:
    """A point answers for the smallest object whose center is near, on the level of its size.

    Args:
        strides: Of the levels, pixels; supplied by the neck. An image may have no prior of some.
        radius: How far from an object's center its points lie, in strides per axis.
        range_factor: A level takes objects whose longest distance from the point to a side lies
            between half and all of range_factor * stride, both ends included; the finest level
            takes all below, the coarsest all above.
        inside: Only points inside the object; published FCOS does so, but an object smaller than
            a stride may then hold no point at all.
        nearest: An object that got no point takes the nearest one of its level that is free.
    """

    strides: tuple[int, ...]
    radius: PositiveFloat = 1.5
    range_factor: PositiveFloat = 4.0
    inside: bool = True
    nearest: bool = True

    def __call__(self, priors: Priors, boxes: Float[Tensor, "n 4"]) -> Int64[Tensor, "p"]:
        """Rows of `boxes`, or BACKGROUND."""
        count = len(priors)
        assigned = torch.full((count,), BACKGROUND, dtype=torch.int64, device=boxes.device)
        smallest = boxes.new_full((count,), torch.inf)
        if not count or not len(boxes):
            return assigned
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        step = max(1, PAIRS // count)
        for start in range(0, len(boxes), step):
            near = self._near(priors, boxes[start : start + step])
            area = areas[start : start + step, None].where(near, torch.inf)
            least, index = area.min(dim=0)
            better = least < smallest
            smallest = torch.where(better, least, smallest)
            assigned = torch.where(better, index + start, assigned)
        if not self.nearest:
            return assigned
        return give_nearest(priors, boxes, assigned, self._fits, PAIRS)

    def _near(self, priors: Priors, boxes: Tensor) -> Tensor:
        """(n, p): may the point answer for the box."""
        x, y = priors.centers.unbind(dim=1)
        left, top = x - boxes[:, None, 0], y - boxes[:, None, 1]
        right, bottom = boxes[:, None, 2] - x, boxes[:, None, 3] - y
        longest = torch.maximum(torch.maximum(left, right), torch.maximum(top, bottom))
        low, high = self._ranges(priors)
        near = (longest >= low) & (longest <= high)
        reach = self.radius * priors.strides
        near &= (left - right).abs() < 2 * reach  # distance of the centers along x, twice
        near &= (top - bottom).abs() < 2 * reach
        if self.inside:
            near &= torch.minimum(torch.minimum(left, right), torch.minimum(top, bottom)) > 0
        return near

    def _ranges(self, priors: Priors) -> tuple[Tensor, Tensor]:
        """Shortest and longest distance that each point takes (p,), pixels."""
        high = self.range_factor * priors.strides
        low = (high / 2).masked_fill(priors.levels == 0, -1.0)
        return low, high.masked_fill(priors.levels == len(self.strides) - 1, torch.inf)

    def _fits(self, priors: Priors, boxes: Tensor) -> Tensor:
        """(n, p): is the box of a size that the point's level takes."""
        low, high = self._ranges(priors)
        half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
        return (half >= low) & (half <= high)
