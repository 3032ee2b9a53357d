"""Lures: places that stand out from their surroundings as objects do and are none.

Tiny objects have little shape, so what else is small and stands out is what a detector takes for
one. Such places are few, and windows that lie anywhere rarely show them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tinyscope.data.images import ImageCache
from tinyscope.data.pixels import pixels
from tinyscope.formats.tables import Annotations

FAINTEST = 0.1
"""Share of the objects that stand out less than any lure."""

PER_IMAGE = 64
"""Lures of an image at most, those that stand out most."""

AROUND = 5
"""Side of the surroundings of a spot, in sides of the spot."""

NOISE = 2.0
"""Gray values that are added to how much the surroundings vary."""


@dataclass(frozen=True)
class Lures:
    """Positions (n,) of images, and boxes (n, 4) of the median object's size in them."""

    images: NDArray[np.int64]
    boxes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class _Seen:
    """Of one image: its peaks (x, y) with their heights, and the heights of its objects."""

    peaks: Int64[Tensor, "n 2"]
    heights: Float[Tensor, "n"]
    of_objects: Float[Tensor, "m"]


def find_lures(annotations: Annotations) -> Lures:
    """The lures of a data set; without objects there are none.

    How much a place stands out is the gray value of a spot, half as long as the median object,
    less that of its surroundings, in standard deviations of the latter. Lures are peaks of it
    that exceed the faintest of the objects, or valleys where most objects are dark, outside of
    objects and ignored regions. Every image is read once.

    Raises:
        DataError: An image cannot be read.
    """
    objects = annotations.boxes[~annotations.ignore]
    if not len(objects):
        return Lures(np.zeros(0, dtype=np.int64), np.zeros((0, 4), dtype=np.float32))
    side = float(np.median(objects[:, 2:] - objects[:, :2]))
    read = ImageCache()
    seen = [_look(annotations, i, read, 2 * round(side / 4) + 1) for i in range(len(annotations))]
    of_objects = torch.cat([x.of_objects for x in seen])
    sign = 1 if of_objects.median() >= 0 else -1
    faintest = torch.quantile(sign * of_objects, FAINTEST)
    kept = [x.peaks[sign * x.heights > faintest.clamp(min=0)] for x in seen]
    images = np.repeat(np.arange(len(kept)), [len(x) for x in kept])
    centers = torch.cat(kept).numpy() + 0.5
    boxes = np.concatenate([centers - side / 2, centers + side / 2], axis=1)
    return Lures(images, boxes.astype(np.float32))


def standing_out(gray: Float[Tensor, "h w"], spot: int) -> Float[Tensor, "h w"]:
    """How much a spot around each pixel differs from its surroundings, in their deviations."""
    mean = _blurred(gray, AROUND * spot)
    variance = _blurred(gray.square(), AROUND * spot) - mean.square()
    return (_blurred(gray, spot) - mean) / (variance.clamp(min=0).sqrt() + NOISE)


def _look(annotations: Annotations, image: int, read: ImageCache, spot: int) -> _Seen:
    relief = standing_out(pixels(annotations, image, read).float().mean(dim=0), spot)
    rows = annotations.rows(image)
    boxes = torch.from_numpy(annotations.boxes[rows]).float()
    ignored = torch.from_numpy(annotations.ignore[rows])
    found = [_peaks(relief, boxes, spot), _peaks(-relief, boxes, spot)]
    return _Seen(
        torch.cat([peaks for peaks, _ in found]),
        torch.cat([found[0][1], -found[1][1]]),
        _heights(relief, boxes[~ignored], spot),
    )


def _peaks(
    relief: Tensor, boxes: Float[Tensor, "m 4"], spot: int
) -> tuple[Int64[Tensor, "n 2"], Float[Tensor, "n"]]:
    """The highest peaks (x, y) farther than a spot from all boxes, and their heights."""
    highest = _highest(relief, 3 * spot)
    y, x = torch.nonzero((relief == highest) & (relief > 0), as_tuple=True)
    free = ~_near(torch.stack([x, y], dim=1) + 0.5, boxes, spot)
    x, y = x[free], y[free]
    heights, order = relief[y, x].sort(descending=True, stable=True)
    order = order[:PER_IMAGE]
    return torch.stack([x[order], y[order]], dim=1), heights[:PER_IMAGE]


def _near(points: Float[Tensor, "n 2"], boxes: Float[Tensor, "m 4"], by: int) -> Bool[Tensor, "n"]:
    """Which points lie in a box that is wider by so many pixels at each side."""
    above = (points[:, None] >= boxes[:, :2] - by) & (points[:, None] <= boxes[:, 2:] + by)
    return above.all(dim=2).any(dim=1)


def _heights(relief: Tensor, boxes: Float[Tensor, "m 4"], spot: int) -> Float[Tensor, "m"]:
    """How much the most outstanding spot about the center of each box does, or minus if dark."""
    height, width = relief.shape
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).long().unbind(dim=1)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    high, low = _highest(relief, spot)[y, x], -_highest(-relief, spot)[y, x]
    return torch.where(high >= -low, high, low)


def _highest(relief: Tensor, side: int) -> Tensor:
    """The highest value in a square of an odd side about each pixel."""
    x = functional.max_pool2d(relief[None, None], (1, side), 1, (0, side // 2))
    return functional.max_pool2d(x, (side, 1), 1, (side // 2, 0))[0, 0]


def _blurred(gray: Tensor, side: int) -> Tensor:
    """Means over squares of an odd side, with borders continued."""
    x = functional.pad(gray[None, None], (side // 2,) * 4, mode="replicate")
    x = functional.avg_pool2d(x, (1, side), stride=1)
    return functional.avg_pool2d(x, (side, 1), stride=1)[0, 0]
