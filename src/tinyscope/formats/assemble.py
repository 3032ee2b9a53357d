"""Columns to `Annotations`, for formats that have no ids of their own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyscope.formats.tables import Annotations


def assemble(
    root: Path,
    names: Sequence[str],
    files: Sequence[str],
    sizes: NDArray[np.int32],
    counts: Sequence[int],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    ignore: NDArray[np.bool_] | None = None,
) -> Annotations:
    """Numbers images, categories and annotations from 1, in the order given.

    Args:
        root: Folder that `files` are relative to.
        names: Of the classes.
        files: Of the images (i,).
        sizes: (height, width) of the images (i, 2).
        counts: Boxes of each image (i,).
        boxes: xyxy (n, 4), grouped by image.
        labels: (n,)
        ignore: (n,), none by default.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    return Annotations(
        root=root,
        names=tuple(names),
        category_ids=tuple(range(1, len(names) + 1)),
        image_ids=np.arange(1, len(files) + 1, dtype=np.int64),
        files=np.array(files, dtype=np.str_),
        sizes=sizes.reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]),
        boxes=boxes,
        labels=labels,
        areas=sides[:, 0] * sides[:, 1],
        ignore=np.zeros(len(boxes), dtype=np.bool_) if ignore is None else ignore,
        crowd=np.zeros(len(boxes), dtype=np.bool_),
        annotation_ids=np.arange(1, len(boxes) + 1, dtype=np.int64),
    )
