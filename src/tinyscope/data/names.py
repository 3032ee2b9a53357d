"""That the sets which a run uses speak of the same classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations


def same_names(train: Annotations, val: Annotations) -> None:
    """Checks that labels mean the same classes in both sets.

    Raises:
        DataError: One set has a class that the other lacks, or they stand in another order.
    """
    if train.names == val.names:
        return
    only_train = [name for name in train.names if name not in val.names]
    only_val = [name for name in val.names if name not in train.names]
    difference = (
        f"only in train: {', '.join(only_train) or 'none'}; only in val: "
        f"{', '.join(only_val) or 'none'}"
        if only_train or only_val
        else f"their order differs: {', '.join(train.names)} and {', '.join(val.names)}"
    )
    raise DataError(
        f"the training and validation sets name other classes ({difference}); set data.names to "
        "all classes in one order, or correct the annotations"
    )


def with_names(annotations: Annotations, names: Sequence[str]) -> Annotations:
    """The same objects with labels that count through `names`.

    A class that the file does not have gets the next free category id.

    Raises:
        DataError: `names` lacks a class of the set, or holds one twice.
    """
    names = tuple(names)
    if len(set(names)) < len(names):
        raise DataError(f"class names must differ from each other, got {', '.join(names)}")
    if lacking := [name for name in annotations.names if name not in names]:
        raise DataError(
            f"the data set has classes that the names lack: {', '.join(lacking)}; given were "
            f"{', '.join(names)}; add them, or take their objects out of the annotations"
        )
    id_of = dict(zip(annotations.names, annotations.category_ids, strict=True))
    free = max(annotations.category_ids, default=0) + 1
    for name in names:
        if name not in id_of:
            id_of[name], free = free, free + 1
    position = np.array([names.index(name) for name in annotations.names], dtype=np.int64)
    return replace(
        annotations,
        names=names,
        category_ids=tuple(id_of[name] for name in names),
        labels=position[annotations.labels],
    )


def shared_images(train: Annotations, val: Annotations) -> int:
    """How many image files both sets hold; scores on images that were trained on mean little."""
    paths = {str(train.path(i).resolve()) for i in range(len(train))}
    return sum(str(val.path(i).resolve()) in paths for i in range(len(val)))
