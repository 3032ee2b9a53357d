"""ImageNet reduced to 32 x 32 (Chrabaszcz et al. 2017, arXiv:1707.08819), as npz files."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.classification.labeled import LabeledImages, StoredImages
from tinyscope.errors import DataError
from tinyscope.formats.files import split_names

PATTERNS = {"train": "train_data_batch_*.npz", "val": "val_data.npz"}
CLASSES = 1000


def imagenet32(path: Path, split: str = "train") -> LabeledImages:
    """Arrays `data` (n, 3 * side * side) uint8 and `labels` (n,) from 1 on, in npz files.

    Nothing in a file is unpickled. Sets of other sides (64, 16) are read the same way. Classes are
    called by their numbers in the set's own order, "1" to "1000".

    Args:
        path: The folder of train_data_batch_1.npz and on, and val_data.npz.
        split: `train` or `val`.

    Raises:
        DataError: A file is missing, damaged or pickled.
    """
    files = files_of(path, split)
    if not files:
        raise DataError(
            f"image set {path}: no {PATTERNS[_own(split)]}; give the folder of the npz files"
        )
    labels = [_array(file, "labels").reshape(-1).astype(np.int64) - 1 for file in files]
    for file, own in zip(files, labels, strict=True):
        if not len(own) or own.min() < 0 or own.max() >= CLASSES:
            raise DataError(
                f"{file}: labels must be 1 to {CLASSES}; it is of another set, fetch it again"
            )
    ends = np.cumsum([len(own) for own in labels])
    pixels: NDArray[np.uint8] | None = None
    for file, own, end in zip(files, labels, ends.tolist(), strict=True):
        data = _array(file, "data")
        side = round((data.shape[-1] / 3) ** 0.5) if data.ndim == 2 else 0
        if data.dtype != np.uint8 or data.shape != (len(own), 3 * side * side):
            raise DataError(
                f"{file}: data are {data.shape} {data.dtype}, must be ({len(own)}, 3 * side * "
                "side) uint8; it is of another set, fetch it again"
            )
        if pixels is None:  # at once, as the whole set takes 4 GB
            pixels = np.empty((ends[-1], 3, side, side), dtype=np.uint8)
        if pixels.shape[-1] != side:
            raise DataError(
                f"{file}: images are {side} pixels wide, those of {files[0].name} "
                f"{pixels.shape[-1]}; keep sets of different sizes in different folders"
            )
        pixels[end - len(own) : end] = data.reshape(-1, 3, side, side)
    assert pixels is not None
    names = tuple(str(number) for number in range(1, CLASSES + 1))
    return StoredImages(pixels, np.concatenate(labels), names, _called(files, ends))


def files_of(path: Path, split: str) -> list[Path]:
    """The files of a split that are there, in the order of their numbers."""
    return sorted(path.glob(PATTERNS[_own(split)]), key=lambda file: (len(file.name), file.name))


def _own(split: str) -> str:
    return "train" if split in split_names("train") else "val"


def _called(files: list[Path], ends: NDArray[np.int64]) -> Callable[[int], str]:
    def called(row: int) -> str:
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{files[file]}, image {row - (int(ends[file - 1]) if file else 0)}"

    return called


def _array(file: Path, name: str) -> NDArray[np.generic]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found: NDArray[np.generic] = arrays[name]
    except KeyError as error:
        raise DataError(
            f"{file}: holds no array {name!r}; fetch the npz files of the set"
        ) from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"{file}: is damaged, or holds objects that only code could restore ({error}); use "
            "npz files of plain arrays"
        ) from error
    return found
