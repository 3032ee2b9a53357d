"""VisDrone-DET: a text file per image (arXiv:2001.06303; github.com/VisDrone/VisDrone-Dataset).

A line is `x,y,width,height,score,category,truncation,occlusion`. Category 0 are regions to be
ignored and 11 other objects; rows whose score is 0 are not to be scored either. All these are
ignored here. Rows without area, of which the published files have some, are left out and counted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.boxes import corners
from tinyscope.formats.files import image_files, read_text
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations

Classes = Literal["all", "person"]
"""All ten classes, or `pedestrian` and `people` as `person`, whose others are background."""

NAMES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
)
"""Of categories 1 to 10."""

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "train": ("VisDrone2019-DET-train",),
    "val": ("VisDrone2019-DET-val",),
    "test": ("VisDrone2019-DET-test-dev", "VisDrone2019-DET-test_dev"),
}

_COLUMNS = 8
_REGION, _OTHERS = 0, 11
_PERSONS = (1, 2)


def read_annotations(path: Path, split: str = "train", classes: Classes = "all") -> Annotations:
    """A split; images in alphabetical order.

    Args:
        path: The folder with the splits' folders, or a split's own with images/ and annotations/.
        split: `train`, `val` or `test` (test-dev).
        classes: Which classes are objects.

    Raises:
        DataError: A folder or file is missing, or a line cannot be right; it is named.
    """
    folder = find_split(path, split)
    files = list(image_files(folder / "images"))
    if not files:
        raise DataError(f"VisDrone: {folder / 'images'} holds no images; check the folder")
    sizes = np.array([image_size(folder / "images" / file) for file in files], dtype=np.int32)
    rows = [
        _rows(folder / "annotations" / Path(file).with_suffix(".txt"), size)
        for file, size in zip(files, sizes, strict=True)
    ]
    flat = [(row[:, 2:4] <= 0).any(axis=1) for row in rows]
    kept = [row[~without] for row, without in zip(rows, flat, strict=True)]
    if classes == "person":
        kept = [row[np.isin(row[:, 5], (_REGION, *_PERSONS))] for row in kept]
    table = np.concatenate(kept)
    category, left_out = table[:, 5], int(np.concatenate(flat).sum())
    ignore = np.isin(category, (_REGION, _OTHERS)) | (table[:, 4] == 0)
    every_class = np.where(np.isin(category, (_REGION, _OTHERS)), 0, category - 1)
    annotations = assemble(
        folder / "images",
        NAMES if classes == "all" else ("person",),
        files,
        sizes,
        [len(row) for row in kept],
        corners(table[:, :4].astype(np.float64)),
        every_class if classes == "all" else np.zeros_like(every_class),
        ignore,
    )
    note = f"{left_out} rows without width or height are left out"
    return annotations.noted(note) if left_out else annotations


def find_split(path: Path, split: str) -> Path:
    """The folder of a split.

    Raises:
        DataError: There is none.
    """
    names = FOLDERS.get(split, (split,))
    places = [path, *(path / name for name in names)]
    for place in places:
        if (place / "images").is_dir() and (place / "annotations").is_dir():
            return place
    raise DataError(
        f"VisDrone: no split {split} in {path}; looked for images/ and annotations/ in it and in "
        f"{', '.join(names)}"
    )


def _rows(file: Path, size: NDArray[np.int32]) -> NDArray[np.int64]:
    """The lines of a file (n, 8), checked."""
    lines = [line.strip().rstrip(",") for line in read_text(file).splitlines()]
    numbers = [number for number, line in enumerate(lines, 1) if line]
    try:
        rows = [list(map(int, lines[number - 1].split(","))) for number in numbers]
        table = np.array(rows, dtype=np.int64).reshape(len(rows), _COLUMNS)
    except ValueError as error:
        number = next(n for n in numbers if not _is_row(lines[n - 1]))
        raise DataError(
            f"{file}, line {number}: {lines[number - 1]!r} is not x,y,width,height,score,category,"
            "truncation,occlusion in whole numbers; correct it"
        ) from error
    x, y, width, height = table[:, :4].T
    outside = (x >= size[1]) | (y >= size[0]) | (x + width <= 0) | (y + height <= 0)
    outside &= (width > 0) & (height > 0)
    unknown = (table[:, 5] < _REGION) | (table[:, 5] > _OTHERS)
    for wrong, problem in (
        (unknown, "its category is none of 0 to 11; correct it"),
        (outside, f"its box lies outside the image of {size[1]} x {size[0]} pixels; correct it"),
    ):
        if wrong.any():
            number = numbers[int(wrong.argmax())]
            raise DataError(f"{file}, line {number}: {lines[number - 1]!r}: {problem}")
    return table


def _is_row(line: str) -> bool:
    values = line.split(",")
    return len(values) == _COLUMNS and all(v.strip().lstrip("-").isdigit() for v in values)
