"""A detector on a data set to numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tinyscope.data.names import with_names
from tinyscope.engine.detector import load_trained
from tinyscope.engine.images import check_size, read_ahead
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.sources import locate_splits
from tinyscope.errors import DataError
from tinyscope.evaluation import Result, evaluate, protocol_of
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.settings import Recipe
from tinyscope.types import Detections


def evaluate_detector(
    model: nn.Module,
    annotations: Annotations,
    recipe: Recipe,
    protocol: Mapping[str, Any] | str | None = None,
) -> Result:
    """Scores a detector on a data set whose labels are its own.

    Args:
        model: A detector; it comes back in the mode that it was in.
        annotations: Images and what is to be found in them.
        recipe: Says how images are looked through, and by which protocol they are scored.
        protocol: In place of the recipe's.

    Raises:
        DataError: An image cannot be read, or is not of the annotated size.
        SettingsError: The protocol is unknown.
    """
    training = model.training
    try:
        found = find_all(Predictor(model, annotations.names, recipe.predict), annotations)
    finally:
        model.train(training)
    return evaluate(annotations, found, protocol or recipe.evaluate.protocol)


def evaluate_model(
    checkpoint: str | Path,
    data: str | Path,
    split: str = "val",
    protocol: Mapping[str, Any] | str | None = None,
    **settings: Any,
) -> Result:
    """Scores a checkpoint on a data set.

    Args:
        checkpoint: Such as a run's best.ckpt.
        data: Folder or file of the data set.
        split: Of the data set; "train+val" joins two.
        protocol: Name of a protocol, or its name and options; the recipe's by default.
        settings: Of prediction, in place of the recipe's: tile, overlap, batch, ...

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: The data set cannot be read, or has a class that the detector does not know.
        SettingsError: The protocol or a setting is unknown or wrong.
    """
    given = None if protocol is None else protocol_of(protocol)  # wrong ones before all else
    detector = load_trained(checkpoint)
    rules = given or protocol_of(detector.recipe.evaluate.protocol)
    located = locate_splits(Path(data), split, detector.recipe.data.first_pixel)
    annotations = in_order_of(located, detector.names, str(checkpoint))
    found = find_all(detector.predictor(**settings), annotations)
    result = rules(annotations, found)
    return result.stamped(checkpoint=str(checkpoint), data=str(data), split=split)


def find_all(predictor: Predictor, annotations: Annotations) -> DetectionTable:
    """What is found in all images of a data set.

    Raises:
        DataError: An image cannot be read, or is not of the annotated size.
    """
    tables = []
    paths = (annotations.path(i) for i in range(len(annotations)))
    for position, (path, image) in enumerate(read_ahead(paths)):
        if isinstance(image, DataError):
            raise image
        check_size(path, image, annotations.sizes[position].tolist())
        tables.append(as_table(predictor(image), position))
    return DetectionTable.concatenate(tables)


def as_table(found: Detections, position: int) -> DetectionTable:
    """Detections of the image at `position` of a data set, as columns."""
    return DetectionTable(
        np.full(len(found), position, dtype=np.int64),
        found.boxes.numpy().astype(np.float64),
        found.scores.numpy().astype(np.float64),
        found.labels.numpy(),
    )


def in_order_of(annotations: Annotations, names: tuple[str, ...], source: str) -> Annotations:
    """The annotations with labels as a detector of the classes `names` has them.

    Raises:
        DataError: The data set has a class that the detector does not know.
    """
    if annotations.names == names:
        return annotations
    unknown = [name for name in annotations.names if name not in names]
    if unknown:
        raise DataError(
            f"{annotations.root}: the data set has classes that {source} was not trained on: "
            f"{', '.join(unknown)}; it knows {', '.join(names)}; rename the data set's classes, "
            "or take a checkpoint that knows them"
        )
    return with_names(annotations, names)
