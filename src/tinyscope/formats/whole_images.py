"""The images that tiles were cut from, where a file of tiles lists them as well."""

from pathlib import Path

import numpy as np

from tinyscope.formats.columns import (
    class_names,
    image_files,
    image_sizes,
    rows_of,
    unique_ids,
)
from tinyscope.formats.rows import read_object
from tinyscope.formats.tables import Annotations

KEY = "old_images"


def read_whole_images(path: Path) -> Annotations | None:
    """The `old_images` of a COCO file of tiles and its classes, without objects.

    The objects of such a file are those of the tiles; what a seam cuts is in it twice or not at
    all, so it does not say what is in the whole images.

    Returns:
        None where the file lists no whole images.

    Raises:
        DataError: The file is missing or malformed.
    """
    content = read_object(path)
    if KEY not in content:
        return None
    pictures = rows_of(content, KEY, "whole image", path)
    categories = rows_of(content, "categories", "category", path)
    nothing = np.zeros(0)
    return Annotations(
        root=path.parent,
        names=class_names(categories),
        category_ids=tuple(int(i) for i in unique_ids(categories)),
        image_ids=unique_ids(pictures),
        files=image_files(pictures),
        sizes=image_sizes(pictures),
        offsets=np.zeros(len(pictures) + 1, dtype=np.int64),
        boxes=np.zeros((0, 4)),
        labels=nothing.astype(np.int64),
        areas=nothing,
        ignore=nothing.astype(np.bool_),
        crowd=nothing.astype(np.bool_),
        annotation_ids=nothing.astype(np.int64),
        source=path,
    )
