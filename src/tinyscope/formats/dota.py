"""DOTA: aerial images with turned boxes, a text file per image (arXiv:1711.10398, 2102.12219).

A line is `x1 y1 x2 y2 x3 y3 x4 y4 category difficult`; lines `imagesource:...` and `gsd:...` may
stand before them. Objects are taken as the upright boxes around their four corners.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.files import image_files, read_text
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations

NAMES = (
    "plane",
    "baseball-diamond",
    "bridge",
    "ground-track-field",
    "small-vehicle",
    "large-vehicle",
    "ship",
    "tennis-court",
    "basketball-court",
    "storage-tank",
    "soccer-ball-field",
    "roundabout",
    "harbor",
    "swimming-pool",
    "helicopter",
    "container-crane",
    "airport",
    "helipad",
)
"""Of version 2.0; 1.0 has the first 15, 1.5 the first 16."""

_LABELS = ("labelTxt", "labelTxt-v2.0", "labelTxt-v1.5", "labelTxt-v1.0")
_HEADERS = ("imagesource", "gsd")
_CORNERS = 8
_LABEL_OF = {name: float(label) for label, name in enumerate(NAMES)}


def read_annotations(path: Path, split: str = "train", labels: str | None = None) -> Annotations:
    """A split; images in alphabetical order.

    Args:
        path: The folder with the splits' folders, or a split's own.
        split: `train` or `val`, or another folder's name.
        labels: Folder of the text files in that of the split; found if left out.

    Raises:
        DataError: A folder or file is missing, or a line cannot be right; it is named.
    """
    folder = path / split if (path / split / "images").is_dir() else path
    texts = _labels_folder(folder, split, labels)
    files = list(image_files(folder / "images"))
    if not files:
        raise DataError(f"DOTA: {folder / 'images'} holds no images; check the folder")
    sizes = np.array([image_size(folder / "images" / file) for file in files], dtype=np.int32)
    rows = [_rows(texts / Path(file).with_suffix(".txt")) for file in files]
    inside = [_inside(row, size) for row, size in zip(rows, sizes, strict=True)]
    kept = [row[within] for row, within in zip(rows, inside, strict=True)]
    table = np.concatenate(kept)
    annotations = assemble(
        folder / "images",
        NAMES,
        files,
        sizes,
        [len(row) for row in kept],
        table[:, :4],
        table[:, 4].astype(np.int64),
        table[:, 5] > 0,
    )
    left_out = int((~np.concatenate(inside)).sum())
    note = f"{left_out} rows without area or wholly outside of their image are left out"
    return annotations.noted(note) if left_out else annotations


def _labels_folder(folder: Path, split: str, labels: str | None) -> Path:
    names = _LABELS if labels is None else (labels,)
    found = next((folder / name for name in names if (folder / name).is_dir()), None)
    if found is None or not (folder / "images").is_dir():
        raise DataError(
            f"DOTA: no split {split} in {folder}; looked for images and {', '.join(names)} in it; "
            "name the folder of the text files with the option labels"
        )
    return found


def _inside(rows: NDArray[np.float64], size: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Rows that have an area, and some of it in the image."""
    low, high = rows[:, :2], rows[:, 2:4]
    within: NDArray[np.bool_] = np.all((low < high) & (high > 0) & (low < size[::-1]), axis=1)
    return within


def _rows(file: Path) -> NDArray[np.float64]:
    """The objects of a file (n, 6): x1 y1 x2 y2, label, difficult."""
    table = [
        _row(file, number, line.split())
        for number, line in enumerate(read_text(file).splitlines(), 1)
        if line.strip() and line.partition(":")[0].strip().lower() not in _HEADERS
    ]
    return np.array(table, dtype=np.float64).reshape(len(table), 6)


def _row(file: Path, number: int, words: list[str]) -> tuple[float, ...]:
    try:
        corners = [float(word) for word in words[:_CORNERS]]
        # Version 1 has lines that do not say whether they are difficult.
        category, difficult = words[_CORNERS], float((words[_CORNERS + 1 :] or ["0"])[0])
        x, y = corners[::2], corners[1::2]
        if not np.isfinite(corners).all():
            raise ValueError("not finite")
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{file}, line {number}: {' '.join(words)!r} is not x1 y1 x2 y2 x3 y3 x4 y4 category "
            "difficult; correct it"
        ) from error
    if category not in _LABEL_OF:
        raise DataError(
            f"{file}, line {number}: {category!r} is no category of DOTA ({', '.join(NAMES)}); "
            "correct it"
        )
    return min(x), min(y), max(x), max(y), _LABEL_OF[category], difficult
