"""Lures: places that stand out from their surroundings as objects do and are none.

Tiny objects have little shape, so what else is small and stands out is what a detector takes for
one. Such places are few, and windows that lie anywhere rarely show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tinyscope.data.images import ImageCache
from tinyscope.data.pixels import pixels
from tinyscope.errors import DataError
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
    """The lures of a data set that has objects.

    How much a place stands out is the gray value of a spot, half as long as the median object,
    less that of its surroundings, in standard deviations of the latter. Lures are peaks of it
    that exceed the faintest of the objects, or valleys where the objects are dark, outside of
    objects and ignored regions. Every image is read once.

    Raises:
        DataError: An image cannot be read, many objects are brighter and many darker than what
            surrounds them, or there are no lures.
    """
    objects = annotations.boxes[~annotations.ignore]
    side = float(np.median(objects[:, 2:] - objects[:, :2]))
    read = ImageCache() if annotations.windows is not None else ImageCache(0)  # tiles share files
    seen = [_look(annotations, i, read, 2 * round(side / 4) + 1) for i in range(len(annotations))]
    of_objects = torch.cat([x.of_objects for x in seen])
    sign = 1 if of_objects.median() >= 0 else -1
    faintest = float(np.quantile(sign * of_objects.numpy(), FAINTEST))
    if faintest <= 0:
        raise DataError(
            f"lures: of the objects at {annotations.root}, many are brighter and many are darker "
            "than what surrounds them, so that no place stands out as they do; set it to 0"
        )
    kept = [x.peaks[sign * x.heights > faintest] for x in seen]
    if not any(len(x) for x in kept):
        raise DataError(
            f"lures: in the images at {annotations.root} nothing stands out as objects do without "
            "being one; set it to 0"
        )
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
    gray = pixels(annotations, image, read).mean(dim=0, dtype=torch.float32)
    relief = standing_out(gray, spot)
    rows = annotations.rows(image)
    boxes = torch.from_numpy(annotations.boxes[rows]).float()
    ignored = torch.from_numpy(annotations.ignore[rows])
    free = ~_covered(boxes, gray.shape, spot)
    found = [_peaks(relief, free, spot), _peaks(-relief, free, spot)]
    return _Seen(
        torch.cat([peaks for peaks, _ in found]),
        torch.cat([found[0][1], -found[1][1]]),
        _heights(relief, boxes[~ignored], spot),
    )


def _peaks(
    relief: Float[Tensor, "h w"], free: Bool[Tensor, "h w"], spot: int
) -> tuple[Int64[Tensor, "n 2"], Float[Tensor, "n"]]:
    """The highest peaks (x, y) at free pixels, and their heights."""
    peak = (relief == _highest(relief, 3 * spot)) & (relief > 0)
    y, x = torch.nonzero(peak & free, as_tuple=True)
    order = relief[y, x].argsort(descending=True, stable=True)[:PER_IMAGE]
    x, y = x[order], y[order]
    return torch.stack([x, y], dim=1), relief[y, x]


def _covered(boxes: Float[Tensor, "m 4"], size: Sequence[int], by: int) -> Bool[Tensor, "h w"]:
    """Which pixels have their middle in a box, or at most so many pixels beside one."""
    height, width = size
    x1, y1 = (boxes[:, :2] - by - 0.5).ceil().long().unbind(dim=1)
    x2, y2 = ((boxes[:, 2:] + by - 0.5).floor().long() + 1).unbind(dim=1)
    x1, x2, y1, y2 = (
        x1.clamp(0, width),
        x2.clamp(0, width),
        y1.clamp(0, height),
        y2.clamp(0, height),
    )
    # Each box adds 1 from its first corner on and takes it away beyond the others.
    steps = torch.zeros(height + 1, width + 1, dtype=torch.int32)
    for y, x, step in ((y1, x1, 1), (y1, x2, -1), (y2, x1, -1), (y2, x2, 1)):
        steps.index_put_((y, x), torch.tensor(step, dtype=torch.int32), accumulate=True)
    return steps.cumsum(0).cumsum(1)[:height, :width] > 0


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
