"""Windows that hold a given object, or lie anywhere."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.cut import Frame
from tinyscope.types import Size


def aimed_frame(
    random: np.random.Generator, box: NDArray[np.floating], tile: Size, size: Size
) -> Frame:
    """A window of (height, width) `tile`, within the image, that holds the box at a random place.

    An object longer than the window is held at a random part of it. Where the image is
    smaller than the window, so is the frame.
    """
    x1, x2 = _aimed_range(random, float(box[0]), float(box[2]), tile[1], size[1])
    y1, y2 = _aimed_range(random, float(box[1]), float(box[3]), tile[0], size[0])
    return x1, y1, x2, y2


def free_frame(random: np.random.Generator, tile: Size, size: Size) -> Frame:
    """A window of (height, width) `tile` anywhere in the image."""
    height, width = size
    x1 = int(random.integers(max(0, width - tile[1]) + 1))
    y1 = int(random.integers(max(0, height - tile[0]) + 1))
    return x1, y1, min(width, x1 + tile[1]), min(height, y1 + tile[0])


def _aimed_range(
    random: np.random.Generator, start: float, end: float, side: int, length: int
) -> tuple[int, int]:
    last = max(0, length - side)
    bounds = sorted((int(np.ceil(end)) - side, int(np.floor(start))))
    low, high = (min(max(b, 0), last) for b in bounds)
    first = int(random.integers(low, high + 1))
    return first, min(length, first + side)
