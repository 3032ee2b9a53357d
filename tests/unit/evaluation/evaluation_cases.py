"""Small tables for the tests of evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.formats.coco import MARKS
from tinyscope.formats.tables import Annotations, DetectionTable


def truth_of(
    rows: Sequence[tuple[int, int, Sequence[float]]],
    images: int = 1,
    names: Sequence[str] = ("boat",),
    **columns: Any,
) -> Annotations:
    """Rows of (image, label, x1 y1 x2 y2); columns such as `crowd` in the order of the rows.

    Columns that are no fields of `Annotations` are marks.
    """
    order = sorted(range(len(rows)), key=lambda i: rows[i][0])
    image = np.array([rows[i][0] for i in order], dtype=np.int64)
    boxes = np.array([rows[i][2] for i in order], dtype=np.float64).reshape(-1, 4)
    none = np.zeros(len(rows), dtype=np.bool_)
    given = {k: np.array(v)[order] for k, v in columns.items()}
    crowd = given.get("crowd", none)
    return Annotations(
        root=Path(),
        names=tuple(names),
        category_ids=tuple(range(1, len(names) + 1)),
        image_ids=np.arange(images, dtype=np.int64) + 1,
        files=np.array([f"{i}.png" for i in range(images)], dtype=np.str_),
        sizes=np.zeros((images, 2), dtype=np.int32),
        offsets=np.searchsorted(image, np.arange(images + 1)).astype(np.int64),
        boxes=boxes,
        labels=np.array([rows[i][1] for i in order], dtype=np.int64),
        areas=given.get("areas", (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)),
        ignore=given.get("ignore", none) | crowd,
        crowd=crowd,
        annotation_ids=given.get("ids", np.arange(len(rows), dtype=np.int64) + 1),
        marks={key: given[key] for key in MARKS if key in given},
    )


def found_of(rows: Sequence[tuple[int, int, Sequence[float], float]]) -> DetectionTable:
    """Rows of (image, label, x1 y1 x2 y2, score)."""
    return DetectionTable(
        images=np.array([r[0] for r in rows], dtype=np.int64),
        boxes=np.array([r[2] for r in rows], dtype=np.float64).reshape(-1, 4),
        scores=np.array([r[3] for r in rows], dtype=np.float64),
        labels=np.array([r[1] for r in rows], dtype=np.int64),
    )
