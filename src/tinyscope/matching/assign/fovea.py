"""Assignment of the points in the middle of an object (Fovea, arXiv:1904.03797)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from tinyscope.errors import SettingsError
from tinyscope.matching.assign.nearest import give_nearest
from tinyscope.types import BACKGROUND, Priors

PAIRS = 1 << 23
"""Pairs of point and object held at once; more objects are taken in turns."""


@dataclass(frozen=True)
class FoveaAssigner:
    """A point answers for the smallest object in whose middle it lies, on all levels of its size.

    The middle of an object is its box with sides times `sigma`, borders included; of a middle that
    lies beyond a level's outermost points, these. Of equally large objects the last gets the point.

    Args:
        strides: Of the levels, pixels; supplied by the neck. An image may have no prior of some.
        sigma: Share of an object's sides that is its middle.
        ranges: Of each level the smallest and the largest side (square root of the area, pixels)
            of its objects, both included. None: from one to eight strides of the level, where the
            finest level takes all below, the coarsest all above.
        nearest: An object that got no point takes the nearest one of its levels that is free.
            Published Fovea has no such rule, and the middle of a tiny object, 3 px long, more
            often than not lies between points of stride 4.

    Raises:
        SettingsError: `ranges` has another number of levels than the neck, or a pair is crossed.
    """

    strides: tuple[int, ...]
    sigma: Annotated[float, Field(gt=0, le=1)] = 0.4
    ranges: tuple[tuple[NonNegativeFloat, PositiveFloat], ...] | None = None
    nearest: bool = True

    def __post_init__(self) -> None:
        for low, high in self.ranges or ():
            if low > high:
                raise SettingsError(f"ranges has ({low}, {high}); the smaller side stands first")
        if self.ranges is not None and len(self.ranges) != len(self.strides):
            raise SettingsError(
                f"ranges has {len(self.ranges)} pairs, but the neck has {len(self.strides)} levels "
                f"(strides {(*self.strides,)}); give a pair for each"
            )

    def __call__(self, priors: Priors, boxes: Float[Tensor, "n 4"]) -> Int64[Tensor, "p"]:
        """Rows of `boxes`, or BACKGROUND."""
        if not len(priors) or not len(boxes):
            return torch.full((len(priors),), BACKGROUND, dtype=torch.int64, device=boxes.device)
        low, high = self._ranges(boxes)
        sides = _sides(boxes)
        counts = torch.bincount(priors.levels, minlength=len(self.strides)).tolist()
        # From large to small, so that the last that holds a point gets it.
        order = sides.argsort(descending=True, stable=True)
        levels = []
        for level, points in enumerate(torch.split(priors.centers, counts)):
            if not len(points):
                continue
            rows = order[(sides[order] >= low[level]) & (sides[order] <= high[level])]
            last = _last_around(points, self._middles(boxes[rows], points))
            levels.append(torch.cat([rows, rows.new_tensor([BACKGROUND])])[last])
        assigned = torch.cat(levels)
        return (
            give_nearest(priors, boxes, assigned, self._fits, PAIRS) if self.nearest else assigned
        )

    def _ranges(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest side of each level (levels,), pixels, of the type of `boxes`."""
        if self.ranges is not None:
            low, high = boxes.new_tensor(self.ranges).unbind(dim=1)
            return low, high
        low = boxes.new_tensor(self.strides)
        high = 8 * low
        low[0], high[-1] = 0, torch.inf
        return low, high

    def _fits(self, priors: Priors, boxes: Float[Tensor, "n 4"]) -> Bool[Tensor, "n p"]:
        """Is the box of a size that the point's level takes."""
        low, high = self._ranges(boxes)
        sides = _sides(boxes)[:, None]
        return (sides >= low[priors.levels]) & (sides <= high[priors.levels])

    def _middles(
        self, boxes: Float[Tensor, "n 4"], points: Float[Tensor, "p 2"]
    ) -> Float[Tensor, "n 4"]:
        """Of each box, no part of it beyond the outermost points."""
        corner, half = boxes[:, :2], (boxes[:, 2:] - boxes[:, :2]) / 2
        ends = [corner + (1 - self.sigma) * half, corner + (1 + self.sigma) * half]
        return torch.cat([end.clamp(*torch.aminmax(points, dim=0)) for end in ends], dim=1)


def _sides(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n"]:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()


def _last_around(points: Float[Tensor, "p 2"], boxes: Float[Tensor, "n 4"]) -> Int64[Tensor, "p"]:
    """The last of the boxes that hold each point, borders included; -1 for none."""
    last = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    if not len(boxes):
        return last
    x, y = points.unbind(dim=1)
    row = torch.arange(len(boxes), device=points.device)
    step = max(1, PAIRS // len(points))
    for some, rows in zip(torch.split(boxes, step), torch.split(row, step), strict=True):
        left, top, right, bottom = some[..., None].unbind(dim=1)
        holds = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)  # (n, p)
        last = last.maximum(torch.where(holds, rows[:, None], -1).amax(dim=0))
    return last
