"""ImageNet reduced to 32 x 32 (Chrabaszcz et al. 2017, arXiv:1707.08819), as npz files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.classification.labeled import LabeledImages, StoredImages
from tinyscope.data.classification.splits import fixed_split, known_split
from tinyscope.errors import DataError

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
        DataError: A file is missing, damaged or pickled, or the set has no such split.
    """
    name = fixed_split(split, tuple(PATTERNS), path)
    files = files_of(path, split)
    if not files:
        raise DataError(f"image set {path}: no {PATTERNS[name]}; give the folder of the npz files")
    if name == "train":
        _check_numbers(files)
    labels = [_labels(file) for file in files]
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
    return StoredImages(pixels, np.concatenate(labels), names, _called(files, ends), name)


def files_of(path: Path, split: str) -> list[Path]:
    """The files of a split that are there, in the order of their numbers."""
    own = known_split(split, tuple(PATTERNS))
    found = path.glob(PATTERNS[own]) if own else ()
    return sorted(found, key=lambda file: (len(file.name), file.name))


def _check_numbers(files: list[Path]) -> None:
    """That no file is missing between the first and the last."""
    wanted = [f"train_data_batch_{number}.npz" for number in range(1, len(files) + 1)]
    for file, name in zip(files, wanted, strict=True):
        if file.name != name:
            raise DataError(
                f"image set {file.parent}: no {name}, but {file.name}; files must be numbered from "
                "1 on without a gap: fetch what is missing, and take out what is not of the set"
            )


def _called(files: list[Path], ends: NDArray[np.int64]) -> Callable[[int], str]:
    def called(row: int) -> str:
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{files[file]}, image {row - (int(ends[file - 1]) if file else 0)}"

    return called


def _labels(file: Path) -> NDArray[np.int64]:
    """The labels of a file, from 0 on."""
    found = _array(file, "labels").reshape(-1)
    # Fractions would be cut off, and trained on.
    if not np.issubdtype(found.dtype, np.integer):
        raise DataError(
            f"{file}: labels are {found.dtype}, must be whole numbers from 1 to {CLASSES}; save "
            "them with an integer type"
        )
    if not len(found) or found.min() < 1 or found.max() > CLASSES:
        raise DataError(
            f"{file}: labels must be 1 to {CLASSES}; it is of another set, fetch it again"
        )
    return found.astype(np.int64) - 1


def _array(file: Path, name: str) -> NDArray[np.generic]:
    try:
        # Opened here, as numpy leaves a file open that turns out to be damaged.
        with file.open("rb") as opened:
            arrays = np.load(opened, allow_pickle=False)
            # One array by a wrong name comes as it is.
            held = name in arrays if isinstance(arrays, np.lib.npyio.NpzFile) else False
            found: NDArray[np.generic] | None = arrays[name] if held else None
    except MemoryError:
        raise
    except Exception as error:  # damaged files make numpy and zlib raise nearly anything
        raise DataError(
            f"{file}: is damaged, or holds objects that only code could restore ({error}); use "
            "npz files of plain arrays"
        ) from error
    if found is None:
        raise DataError(f"{file}: holds no array {name!r}; fetch the npz files of the set")
    return found
