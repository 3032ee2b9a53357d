"""Several splits of a data set as one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations


def join(parts: Sequence[Annotations]) -> Annotations:
    """The images of all parts, in order; ids are numbered anew from 1.

    Args:
        parts: At least one; of the same root and classes.

    Raises:
        DataError: The parts differ in their classes, or two of them hold the same image.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        if part.names != first.names:
            raise DataError(
                f"splits to be joined have different classes: {', '.join(first.names)}, and "
                f"{', '.join(part.names)}; give all files the same categories"
            )
        if part.root != first.root:
            raise DataError(
                f"splits to be joined lie in different folders, {first.root} and {part.root}; "
                "write file names relative to one folder"
            )
    files = np.concatenate([part.files for part in parts])
    names, counts = np.unique(files, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{first.root}: {names[counts > 1][0]} is in more than one of the splits to be "
            f"joined ({int((counts > 1).sum())} such images); an image may be in one of them"
        )
    boxes = np.concatenate([part.boxes for part in parts])
    ends = np.cumsum([len(part.boxes) for part in parts])
    starts = [0, *ends[:-1].tolist()]
    offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=True)]
    return replace(
        first,
        image_ids=np.arange(1, len(files) + 1),
        files=files,
        sizes=np.concatenate([part.sizes for part in parts]),
        offsets=np.concatenate([[0], *offsets]),
        boxes=boxes,
        labels=np.concatenate([part.labels for part in parts]),
        areas=np.concatenate([part.areas for part in parts]),
        ignore=np.concatenate([part.ignore for part in parts]),
        crowd=np.concatenate([part.crowd for part in parts]),
        annotation_ids=np.arange(1, len(boxes) + 1),
    )
