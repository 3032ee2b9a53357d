"""Counts of objects per image and per window, over columns."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.formats.tables import Annotations


def objects_per_image(annotations: Annotations) -> NDArray[np.int64]:
    """Objects of every image; ignored ones do not count."""
    counted = np.concatenate([[0], np.cumsum(~annotations.ignore)])
    return np.diff(counted[annotations.offsets])


def image_of_rows(annotations: Annotations) -> NDArray[np.int64]:
    """Position of the image that each row belongs to."""
    return np.repeat(np.arange(len(annotations)), np.diff(annotations.offsets))


def centers(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) points x, y."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def objects_per_window(
    windows: NDArray[np.integer], points: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How many points lie in each window of a grid.

    Args:
        windows: (n, 4) xyxy; all combinations of some columns and some rows, in any order. A
            column that starts later ends no earlier.
        points: (m, 2) x, y.

    Returns:
        (n,) counts. Costs n + m, not n * m: on each axis the windows that hold a point follow
        each other, so a point adds 1 to a rectangle of windows.
    """
    first, last, place = [], [], []
    sides = []
    for axis in (0, 1):
        starts, inverse = np.unique(windows[:, axis], return_inverse=True)
        ends = np.zeros_like(starts)
        ends[inverse] = windows[:, axis + 2]
        first.append(np.searchsorted(ends, points[:, axis], side="right"))
        last.append(np.searchsorted(starts, points[:, axis], side="right"))
        place.append(inverse)
        sides.append(len(starts))
    held = (first[0] < last[0]) & (first[1] < last[1])
    (x1, y1), (x2, y2) = (f[held] for f in first), (n[held] for n in last)
    steps = np.zeros((sides[1] + 1, sides[0] + 1), dtype=np.int64)
    np.add.at(steps, (y1, x1), 1)
    np.add.at(steps, (y2, x2), 1)
    np.subtract.at(steps, (y1, x2), 1)
    np.subtract.at(steps, (y2, x1), 1)
    counts = steps.cumsum(axis=0).cumsum(axis=1)
    result: NDArray[np.int64] = counts[place[1], place[0]]
    return result
