"""Whether windows show all of an image."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.types import Size


def uncovered(windows: NDArray[np.int64], size: Size) -> tuple[int, int, int, int] | None:
    """The first part of an image that no window shows, None where they show all.

    Args:
        windows: (n, 4) x1 y1 x2 y2, right and bottom exclusive; they may reach out of the image.
        size: (height, width) of the image.

    Returns:
        x1 y1 x2 y2 of a rectangle without a window, the uppermost and of these the left one.
    """
    height, width = size
    inside = np.clip(windows, 0, [width, height, width, height])
    # Lines along the borders of windows divide the image into cells that are seen whole or not.
    x = np.unique(np.concatenate([[0, width], inside[:, 0], inside[:, 2]]))
    y = np.unique(np.concatenate([[0, height], inside[:, 1], inside[:, 3]]))
    left, right = (np.searchsorted(x, inside[:, i]) for i in (0, 2))
    top, bottom = (np.searchsorted(y, inside[:, i]) for i in (1, 3))
    # Windows are entered at their corners; sums along both axes count them in every cell.
    count = np.zeros((len(y), len(x)), dtype=np.int64)
    for rows, columns, sign in (
        (top, left, 1),
        (bottom, right, 1),
        (top, right, -1),
        (bottom, left, -1),
    ):
        np.add.at(count, (rows, columns), sign)
    seen = count.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    missing = np.argwhere(seen <= 0)
    if not len(missing):
        return None
    row, column = missing[0].tolist()
    return int(x[column]), int(y[row]), int(x[column + 1]), int(y[row + 1])
