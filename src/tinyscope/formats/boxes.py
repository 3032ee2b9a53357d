"""Corners to widths and heights, without the rounding that adding them up has left."""

import numpy as np
from numpy.typing import NDArray

_DECIMALS = 9


def corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 4) of x, y, width, height to x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def widths_and_heights(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sides (n, 2) of boxes x1, y1, x2, y2 as a file of x, y, width, height states them.

    x2 was rounded when it was made as x + width, so x2 - x1 can miss the width by that rounding,
    and an IoU that is exactly a threshold would fall on the wrong side of it. Where a decimal of
    9 places lies within the rounding it is taken for the width.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    decimal = np.round(sides, _DECIMALS)
    rounding = np.spacing(np.maximum(np.abs(boxes[:, :2]), np.abs(boxes[:, 2:])))
    stated: NDArray[np.float64] = np.where(np.abs(decimal - sides) <= rounding, decimal, sides)
    return stated
