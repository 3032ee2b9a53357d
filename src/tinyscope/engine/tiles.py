"""Windows of an image as batches for a model, copied as little as possible."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from tinyscope.data.images import BACKDROP
from tinyscope.data.resize import scaled_size
from tinyscope.types import Size


class TileBatches:
    """Batches of windows of one size.

    Windows that follow each other evenly in a row are handed out as a view of the image, if
    nothing has to be padded; a model must not write into it. Other windows are copied into a
    buffer that the next batch uses again.

    Args:
        batch: Most windows at once.
        divisor: Multiple that sides are padded to, at the right and bottom.
        views: Whether views are worth smaller batches at the ends of rows.
    """

    def __init__(self, batch: int, divisor: int, *, views: bool) -> None:
        self.batch, self.divisor, self.views = batch, divisor, views
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._filled: Size = (0, 0)

    def __call__(self, image: Tensor, windows: NDArray[np.int64]) -> Iterator[Tensor]:
        """Pixels (b, 3, h, w) uint8 of all windows, in their order.

        Args:
            image: (3, h, w) uint8.
            windows: (n, 4) x1 y1 x2 y2, all of one size.
        """
        x1, y1, x2, y2 = windows[0].tolist()
        size = (y2 - y1, x2 - x1)
        padded = (-size[0] % self.divisor, -size[1] % self.divisor) != (0, 0)
        if self.views and not padded:
            for part in _even_parts(windows, self.batch):
                yield _view(image, part, size)
            return
        for start in range(0, len(windows), self.batch):
            yield self._copy(image, windows[start : start + self.batch].tolist(), size)

    def _copy(self, image: Tensor, windows: list[list[int]], size: Size) -> Tensor:
        height, width = (-(-side // self.divisor) * self.divisor for side in size)
        # In the order of the image's memory, so that whole rows are moved.
        interleaved = image.stride(0) == 1
        memory = torch.channels_last if interleaved else torch.contiguous_format
        shape = (max(len(windows), min(self.batch, len(self._buffer))), 3, height, width)
        if (
            tuple(self._buffer.shape) != shape
            or self._filled != size
            or not self._buffer.is_contiguous(memory_format=memory)
        ):
            self._buffer = torch.empty(shape, dtype=torch.uint8, memory_format=memory)
            self._filled = size
            fill = torch.tensor(BACKDROP, dtype=torch.uint8)[:, None, None]
            self._buffer[:, :, size[0] :] = fill
            self._buffer[:, :, : size[0], size[1] :] = fill
        tiles = self._buffer[: len(windows)]
        for tile, (x1, y1, x2, y2) in zip(tiles, windows, strict=True):
            tile[:, : size[0], : size[1]] = image[:, y1:y2, x1:x2]
        return tiles


def enlarged(tiles: Tensor, size: Size, zoom: float, divisor: int) -> tuple[Tensor, Size]:
    """Tiles as they are shown at an enlargement, padded at the right and bottom.

    Args:
        tiles: (b, 3, h, w) uint8, padded or not.
        size: Of them before padding.
        zoom: Below 1 they shrink.
        divisor: Multiple that sides are padded to.

    Returns:
        Pixels, and their size before padding: that of the tiles times `zoom`, rounded.
    """
    seen = scaled_size(size, zoom)
    if seen != size:
        tiles = _resized(tiles[..., : size[0], : size[1]], seen)
    rows, columns = (-(-side // divisor) * divisor for side in seen)
    if tiles.shape[-2:] == (rows, columns):
        return tiles, seen
    fill = torch.tensor(BACKDROP, dtype=torch.uint8, device=tiles.device)[:, None, None]
    padded = fill.expand(len(tiles), 3, rows, columns).clone()
    padded[..., : seen[0], : seen[1]] = tiles[..., : seen[0], : seen[1]]
    return padded, seen


def _resized(tiles: Tensor, size: Size) -> Tensor:
    # Torch's kernel for bytes fails or errs where a side becomes a single pixel.
    single = min(size) == 1
    shown: Tensor = resize(tiles.float() if single else tiles, list(size), antialias=True)
    return shown.round().to(torch.uint8) if single else shown


def _even_parts(windows: NDArray[np.int64], limit: int) -> Iterator[NDArray[np.int64]]:
    """Runs of at most `limit` windows of one row at one distance, from left to right."""
    steps = np.diff(windows[:, :2], axis=0)
    start = 0
    while start < len(windows):
        end = start + 1
        while (
            end < min(start + limit, len(windows))
            and steps[end - 1, 1] == 0
            and steps[end - 1, 0] >= 0
            and steps[end - 1, 0] == steps[start, 0]
        ):
            end += 1
        yield windows[start:end]
        start = end


def _view(image: Tensor, windows: NDArray[np.int64], size: Size) -> Tensor:
    x, y = windows[0, :2].tolist()
    step = int(windows[1, 0]) - x if len(windows) > 1 else 0
    plane, row, column = image.stride()
    return image.as_strided(
        (len(windows), 3, *size),
        (step * column, plane, row, column),
        image.storage_offset() + y * row + x * column,
    )
