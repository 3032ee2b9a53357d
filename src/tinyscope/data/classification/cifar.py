"""CIFAR-10 and CIFAR-100 in their binary form (Krizhevsky 2009): labels and planes of 32 x 32."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.classification.labeled import LabeledImages, StoredImages
from tinyscope.data.classification.splits import fixed_split, known_split
from tinyscope.errors import DataError
from tinyscope.formats.files import read_text

SIDE = 32
PLANES = 3 * SIDE * SIDE
CIFAR10_FILES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
CIFAR100_FILES = {"train": ("train.bin",), "test": ("test.bin",)}
FOLDERS = ("", "cifar-10-batches-bin", "cifar-100-binary")
"""Where the files lie below a folder that a user points at."""


def cifar10(path: Path, split: str = "train") -> LabeledImages:
    """CIFAR-10 from data_batch_1.bin to data_batch_5.bin, test_batch.bin and batches.meta.txt.

    Args:
        path: The folder of the files, or the one that holds cifar-10-batches-bin.
        split: `train`, or `test` for its 10,000 images (`val` is the same).

    Raises:
        DataError: A file is missing or damaged, or the set has no such split.
    """
    return _read(path, CIFAR10_FILES, split, "batches.meta.txt", (10,), 0)


def cifar100(path: Path, split: str = "train", coarse: bool = False) -> LabeledImages:
    """CIFAR-100 from train.bin, test.bin, fine_label_names.txt and coarse_label_names.txt.

    Args:
        path: The folder of the files, or the one that holds cifar-100-binary.
        split: `train`, or `test` for its 10,000 images (`val` is the same).
        coarse: Take the 20 classes of classes.

    Raises:
        DataError: A file is missing or damaged, or the set has no such split.
    """
    names = "coarse_label_names.txt" if coarse else "fine_label_names.txt"
    return _read(path, CIFAR100_FILES, split, names, (20, 100), 0 if coarse else 1)


def files_of(path: Path, files: Mapping[str, tuple[str, ...]], split: str) -> list[Path]:
    """The files of a split that are there, of the first folder that has any."""
    own = known_split(split, tuple(files))
    names = files[own] if own else ()
    for folder in FOLDERS:
        if found := [path / folder / name for name in names if (path / folder / name).is_file()]:
            return found
    return []


def _read(
    path: Path,
    files: Mapping[str, tuple[str, ...]],
    split: str,
    names_file: str,
    classes: Sequence[int],
    column: int,
) -> LabeledImages:
    """Records of a label per entry of `classes` (how many there are), then the pixels."""
    own = fixed_split(split, tuple(files), path)
    found = files_of(path, files, split)
    present = {file.name for file in found}
    if missing := [name for name in files[own] if name not in present]:
        where = found[0].parent if found else path
        raise DataError(
            f"image set {where}: no {', '.join(missing)}; give the folder of the whole binary "
            "version of the set (the Python version is pickled and not read)"
        )
    count = classes[column]
    names = tuple(read_text(found[0].parent / names_file).split())
    if len(names) != count:
        raise DataError(
            f"{found[0].parent / names_file}: names {len(names)} classes, the set has {count}; "
            "fetch it again"
        )
    records = [_records(file, len(classes) + PLANES, column, count) for file in found]
    labels = np.concatenate([r[:, column] for r in records]).astype(np.int64)
    pixels = np.concatenate([r[:, len(classes) :] for r in records])
    ends = np.cumsum([len(r) for r in records])

    def called(row: int) -> str:
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{found[file]}, image {row - (ends[file] - len(records[file]))}"

    return StoredImages(pixels.reshape(-1, 3, SIDE, SIDE), labels, names, called, own)


def _records(file: Path, length: int, column: int, count: int) -> NDArray[np.uint8]:
    values = np.fromfile(file, dtype=np.uint8)
    if not len(values) or len(values) % length:
        raise DataError(
            f"{file}: {len(values)} bytes are no whole number of records of {length}; it is cut "
            "off or of another set; fetch it again"
        )
    records = values.reshape(-1, length)
    if (highest := int(records[:, column].max())) >= count:
        raise DataError(
            f"{file}: has a label {highest}, the set has the classes 0 to {count - 1}; it is of "
            "another set or damaged; fetch it again"
        )
    return records
