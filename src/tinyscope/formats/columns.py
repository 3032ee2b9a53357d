"""Columns of COCO rows that mean something: ids, references, sizes, paths and boxes, checked."""

from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.rows import Rows


def rows_of(content: dict[str, Any], key: str, name: str, path: Path) -> Rows:
    """The list of objects under `key`."""
    if not isinstance(content.get(key), list):
        raise DataError(
            f"{path}: no list {key!r}; a COCO file has images, annotations and categories "
            f"(found: {', '.join(content) or 'nothing'})"
        )
    rows = Rows(content[key], f"{path}: {name}")
    if wrong := [i for i, row in enumerate(rows.rows) if not isinstance(row, dict)]:
        rows.refuse(wrong[0], f"expected an object, got {rows.rows[wrong[0]]!r}")
    return rows


def unique_ids(rows: Rows) -> NDArray[np.int64]:
    """The ids, of which none may occur twice."""
    ids = rows.integers("id")
    _, first = np.unique(ids, return_index=True)
    if len(first) < len(ids):
        again = np.ones(len(ids), dtype=np.bool_)
        again[first] = False
        row = int(again.argmax())
        rows.refuse(row, f"the id {ids[row]} is used twice; give each row its own")
    return ids


def class_names(categories: Rows) -> tuple[str, ...]:
    """The names, of which none may occur twice: results are given by name."""
    names = tuple(map(str, categories.values("name")))
    if twice := [i for i, name in enumerate(names) if name in names[:i]]:
        categories.refuse(twice[0], f"the name {names[twice[0]]!r} is used twice; rename one")
    return names


def positions(rows: Rows, key: str, ids: NDArray[np.int64], kind: str) -> NDArray[np.int64]:
    """Where in `ids` stands what the rows refer to."""
    wanted = rows.integers(key)
    order = np.argsort(ids)
    places = np.searchsorted(ids, wanted, sorter=order)
    found = order[np.minimum(places, len(ids) - 1)]
    if (wrong := ids[found] != wanted).any():
        row = int(wrong.argmax())
        rows.refuse(
            row,
            f"{key} {wanted[row]} is no {kind} of the data set "
            f"({len(ids)} ids, {ids.min()} to {ids.max()}); correct it or remove the row",
        )
    return found.astype(np.int64, copy=False)


def image_sizes(pictures: Rows) -> NDArray[np.int32]:
    """(height, width) of each image, 0 0 where one of them is not given."""
    sizes = np.zeros((len(pictures), 2), dtype=np.int32)
    for number, row in enumerate(pictures.rows):
        height, width = row.get("height"), row.get("width")
        if height is None or width is None:
            continue
        if not (_is_length(height) and _is_length(width)):
            pictures.refuse(
                number, f"height and width must be whole pixels above 0, got {height!r}, {width!r}"
            )
        sizes[number] = height, width
    return sizes


def image_windows(pictures: Rows, sizes: NDArray[np.int32]) -> NDArray[np.int64] | None:
    """The `corner` x1 y1 x2 y2 of images that are parts of their files; None where none is."""
    if not pictures.mentions("corner"):
        return None
    windows = np.zeros((len(pictures), 4), dtype=np.int64)
    for number, corner in enumerate(pictures.values("corner")):
        if not (isinstance(corner, list) and len(corner) == 4 and all(map(_is_place, corner))):
            pictures.refuse(
                number, f"corner must be four whole pixels [x1, y1, x2, y2], got {corner!r}"
            )
        windows[number] = corner
    sides = windows[:, [3, 2]] - windows[:, [1, 0]]
    wrong = (sides <= 0).any(axis=1) | ((sides != sizes).any(axis=1) & (sizes > 0).all(axis=1))
    if wrong.any():
        row = int(wrong.argmax())
        height, width = sizes[row]
        pictures.refuse(
            row,
            f"corner {windows[row].tolist()} (x1, y1, x2, y2; right and bottom exclusive) is not "
            f"as large as the image, {width} x {height} pixels; correct one of them",
        )
    return windows


def image_files(pictures: Rows) -> NDArray[np.character]:
    names = []
    for number, name in enumerate(pictures.values("file_name")):
        if not isinstance(name, str) or not name:
            pictures.refuse(number, f"file_name must be a path, got {name!r}")
        # Read as a Windows path everywhere: "\\" separates there, and "C:" must not get through.
        path = PureWindowsPath(name)
        if path.anchor or ".." in path.parts:
            pictures.refuse(
                number,
                f"file_name {name!r} leaves the folder of images; "
                "give a path below that folder, without '..' and without a root",
            )
        names.append(path.as_posix())
    return np.array(names, dtype=np.str_)


def check_boxes(rows: Rows, boxes: NDArray[np.float64], sizes: NDArray[np.int32]) -> None:
    """Refuses boxes (n, 4; x, y, width, height) without area or wholly outside their image."""
    if (wrong := (boxes[:, 2:] <= 0).any(axis=1)).any():
        row = int(wrong.argmax())
        rows.refuse(
            row,
            f"box {boxes[row].tolist()} (x, y, width, height) has a side that is zero or "
            "negative; remove the row or correct the box",
        )
    x, y = boxes[:, 0], boxes[:, 1]
    height, width = sizes[:, 0], sizes[:, 1]
    outside = (x >= width) | (y >= height) | (x + boxes[:, 2] <= 0) | (y + boxes[:, 3] <= 0)
    if (wrong := outside & (height > 0)).any():
        row = int(wrong.argmax())
        rows.refuse(
            row,
            f"box {boxes[row].tolist()} (x, y, width, height) lies outside its image of "
            f"{width[row]} x {height[row]} pixels; correct the box or the size of the image",
        )


def stated_areas(rows: Rows, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The areas that the rows state, width times height where they state none."""
    areas = boxes[:, 2] * boxes[:, 3]
    stated = np.array([row.get("area") is not None for row in rows.rows], dtype=np.bool_)
    places = np.flatnonzero(stated)
    part = Rows([rows.rows[i] for i in places.tolist()], rows.name)
    areas[places] = part.numbers("area")
    if (wrong := areas < 0).any():
        row = int(wrong.argmax())
        rows.refuse(row, f"area {areas[row]} is negative; remove the key or correct it")
    return areas


def _is_place(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 2**31 and value == int(value)


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < 2**31 and value == int(value)
