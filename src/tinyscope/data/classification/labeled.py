"""Sets of images with one label each: decoded in memory, or in files that are read when asked for.

Both give images in groups of one size, so that a stored set is cut and mirrored as one tensor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from tinyscope.types import Size

MEMORY_LIMIT = 2 * 2**30
"""Bytes of decoded images up to which a set of files is kept in memory."""


@runtime_checkable
class LabeledImages(Protocol):
    """A set of images of `names` classes; `labels` are (n,) int64.

    `split` is what the set itself calls its part: CIFAR's is `test` where `val` was asked for.
    """

    @property
    def split(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    def take(self, rows: NDArray[np.int64]) -> list[UInt8[Tensor, "_ 3 _ _"]]:
        """The images of the rows, in order, in groups of one size."""

    def file(self, row: int) -> str:
        """What an error calls the image."""

    def known_sizes(self) -> Mapping[Size, int]:
        """The sizes that are known without reading files, each with a row that has it."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class StoredImages:
    """Decoded images of one size; worker processes share the memory."""

    pixels: UInt8[np.ndarray, "n 3 h w"]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    called: Callable[[int], str]
    split: str

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> list[UInt8[Tensor, "_ 3 _ _"]]:
        return [torch.from_numpy(self.pixels[rows])]

    def file(self, row: int) -> str:
        return self.called(row)

    def known_sizes(self) -> Mapping[Size, int]:
        return {(self.pixels.shape[2], self.pixels.shape[3]): 0}


@dataclass(frozen=True)
class ImageFiles:
    """Images that are read one by one; `read` takes one of `files`."""

    files: Sequence[str]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    read: Callable[[str], UInt8[Tensor, "3 h w"]]
    split: str
    sizes: Mapping[Size, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> list[UInt8[Tensor, "_ 3 _ _"]]:
        return [self.read(self.files[row])[None] for row in rows.tolist()]

    def file(self, row: int) -> str:
        return self.files[row]

    def known_sizes(self) -> Mapping[Size, int]:
        return self.sizes


def kept(images: ImageFiles, limit: int = MEMORY_LIMIT) -> StoredImages | ImageFiles:
    """The set decoded, where its images are of one size and take at most `limit` bytes.

    Sets of small images are read to the end, so that the sizes of all of them are known.

    Raises:
        DataError: A file cannot be read.
    """
    first = images.read(images.files[0])
    if first.numel() * len(images) > limit:
        return images
    pixels = np.empty((len(images), *first.shape), dtype=np.uint8)
    sizes: dict[Size, int] = {}
    for row, file in enumerate(images.files):
        image = images.read(file)
        sizes.setdefault((image.shape[1], image.shape[2]), row)
        if image.shape == first.shape:
            pixels[row] = image.numpy()
    if len(sizes) > 1:
        return replace(images, sizes=sizes)
    return StoredImages(pixels, images.labels, images.names, images.file, images.split)
