"""Cuts images of any size into windows of one size."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.tiling import Tiling
from tinyscope.types import Size


def grid_windows(size: Size, tile: Size, overlap: int, rule: Tiling = "flush") -> NDArray[np.int64]:
    """Windows of a regular grid that together cover every pixel of an image.

    Neighbors overlap by `overlap` pixels. Where the tile is longer than the image, the window is
    as long as the image. The rules differ in what becomes of windows that reach out of it:

    - `flush`: the last row and column are shifted back to end at the border, so that they overlap
      more and no window is smaller than the others (the tile files of TinyPerson, with overlaps
      of 50 and 30).
    - `runtime`: the same windows, by the name under which they are cut while testing in
      TOV_mmdetection (with an overlap of 100); the two count windows by different formulas, which
      agree for all lengths.
    - `clipped`: a window starts at every stride within the image and is cut at the border, so
      that the last ones may be slivers that lie wholly in those before; columns outer, rows
      inner (SeaPerson, VisDrone).
    - `trimmed`: as many windows as `flush`, cut at the border instead of shifted.

    Args:
        size: (height, width) of the image.
        tile: (height, width) of a window.
        overlap: Pixels that neighbors share; at least the length of the longest object, or an
            object between two windows is whole in neither.
        rule: What happens at the border, and in which order windows stand.

    Returns:
        (n, 4) windows x1 y1 x2 y2, right and bottom exclusive; rows outer, columns inner, but for
        `clipped`.

    Raises:
        ValueError: A length is not positive, or the overlap is negative or not below the tile.

    Source: docs/datasets.md names who cuts by which rule.
    """
    if min(*size, *tile) <= 0:
        raise ValueError(f"image {size} and tile {tile} (height, width) must be at least 1 px")
    if not 0 <= overlap < min(tile):
        raise ValueError(f"overlap {overlap} must be from 0 to below the tile's sides {tile}")
    (top, bottom), (left, right) = (
        _ranges(*lengths, overlap, rule) for lengths in zip(size, tile, strict=True)
    )
    if rule == "clipped":
        column, row = np.divmod(np.arange(len(top) * len(left)), len(top))
    else:
        row, column = np.divmod(np.arange(len(top) * len(left)), len(left))
    return np.stack([left[column], top[row], right[column], bottom[row]], axis=1)


def _ranges(
    length: int, tile: int, overlap: int, rule: Tiling
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the windows of one axis start and end."""
    stride = tile - overlap
    needed = length if rule == "clipped" else max(1, length - overlap)
    count = -(-needed // stride)
    starts = np.arange(count, dtype=np.int64) * stride
    if rule in ("flush", "runtime"):
        starts = np.minimum(starts, max(0, length - tile))
    return starts, np.minimum(starts + tile, length)
