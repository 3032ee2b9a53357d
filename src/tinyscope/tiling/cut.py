"""Cuts images of any size into windows of one size."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.types import Size


def grid_windows(size: Size, tile: Size, overlap: int) -> NDArray[np.int64]:
    """Windows of a regular grid that together cover every pixel of an image.

    Neighbours overlap by `overlap` pixels; the last row and column are shifted back to end at
    the border, so that they overlap more and no window is smaller than the others. Where the
    tile is longer than the image, the window is as long as the image.

    Args:
        size: (height, width) of the image.
        tile: (height, width) of a window.
        overlap: Pixels that neighbours share; at least the length of the longest object, or an
            object between two windows is whole in neither.

    Returns:
        (n, 4) windows x1 y1 x2 y2, right and bottom exclusive; rows outer, columns inner.

    Raises:
        ValueError: A length is not positive, or the overlap is negative or not below the tile.
    """
    if min(*size, *tile) <= 0:
        raise ValueError(f"image {size} and tile {tile} (height, width) must be at least 1 px")
    if not 0 <= overlap < min(tile):
        raise ValueError(f"overlap {overlap} must be from 0 to below the tile's sides {tile}")
    top, left = (_starts(*lengths, overlap) for lengths in zip(size, tile, strict=True))
    y1, x1 = (starts.ravel() for starts in np.meshgrid(top, left, indexing="ij"))
    height, width = min(size[0], tile[0]), min(size[1], tile[1])
    return np.stack([x1, y1, x1 + width, y1 + height], axis=1)


def _starts(length: int, tile: int, overlap: int) -> NDArray[np.int64]:
    if length <= tile:
        return np.zeros(1, np.int64)
    stride = tile - overlap
    count = -(-(length - overlap) // stride)
    return np.minimum(np.arange(count, dtype=np.int64) * stride, length - tile)
