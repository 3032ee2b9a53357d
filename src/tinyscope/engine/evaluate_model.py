"""A detector on a data set to numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from tinyscope.data import benchmarks
from tinyscope.data.locate import split_read
from tinyscope.data.names import with_names
from tinyscope.engine.detector import load_trained
from tinyscope.engine.evaluate import kind_of
from tinyscope.engine.find import find_all, find_in_tiles
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.sources import locate_splits, open_annotations
from tinyscope.errors import DataError, SettingsError
from tinyscope.evaluation import Result, evaluate, protocol_of
from tinyscope.formats.join import join
from tinyscope.formats.tables import Annotations
from tinyscope.settings import DataSettings, Part, Recipe


def evaluate_detector(
    model: nn.Module,
    annotations: Annotations,
    recipe: Recipe,
    protocol: Mapping[str, Any] | str | None = None,
) -> Result:
    """Scores a detector on a data set whose labels are its own.

    Tiles of larger images are scored as images of their own: what a seam cuts counts in each of
    them, so that the figures are not those of the whole images (`evaluate_model` gives these).

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
        predictor = Predictor(model, annotations.names, recipe.predict)
        found = find_all(predictor, annotations)
    finally:
        model.train(training)
    result = evaluate(annotations, found, protocol or recipe.evaluate.protocol)
    return result.stamped(scored=kind_of(annotations), predict=predictor.stamp)


def evaluate_model(
    checkpoint: str | Path,
    data: str | Path,
    split: str | None = None,
    protocol: Mapping[str, Any] | str | None = None,
    *,
    truth: str | Path | None = None,
    **settings: Any,
) -> Result:
    """Scores a checkpoint on a data set: images are looked through, tiles merged, numbers made.

    Args:
        checkpoint: Such as a run's best.ckpt.
        data: Folder or file of the data set. If the recipe names a data set of a benchmark whose
            `path` it leaves open (`data.val`), this is its folder; one that does not have the
            layout of TinyPerson is read by its own, though the recipe names TinyPerson.
        split: Of the data set, `val` or what the recipe says by default; "train+val" joins two.
            The stamp holds the split that was read (TinyPerson's `val` is `test`), none where
            `data` is a file of annotations.
        protocol: Name of a protocol, or its name and options; the recipe's by default.
        truth: COCO annotations of whole images, where those of `data` are tiles of them: then
            these tiles are looked at, merged by the rule of the recipe and scored as whole images.
        settings: Of prediction, in place of the recipe's: tile, overlap, tiling, merge, ...

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: The data set cannot be read, or has a class that the detector does not know;
            it holds tiles and there is no `truth`, or whole images and there is, or tiles that
            do not fit these.
        SettingsError: The protocol or a setting is unknown or wrong, or says what tiles there
            are though `data` does.
    """
    given = None if protocol is None else protocol_of(protocol)  # wrong ones before all else
    detector = load_trained(checkpoint)
    rules = given or protocol_of(detector.recipe.evaluate.protocol)
    located, read = _opened(detector.recipe.data, Path(data), split)
    annotations = in_order_of(located, detector.names, str(checkpoint))
    if located.windows is None:
        if truth is not None:
            raise DataError(
                f"{data}: the images are no tiles, so their own annotations are the truth; leave "
                f"out {truth}, or name the file of tiles as the data"
            )
        predictor = detector.predictor(**settings)
        found, stamp = find_all(predictor, annotations), predictor.stamp
    else:
        if truth is None:
            raise DataError(
                f"{data}: the images are tiles of larger ones, which cannot be scored without "
                "annotations of these; name them as the truth (--truth)"
            )
        for setting in ("tile", "overlap", "tiling"):
            if settings.get(setting) is not None:  # a tile of 0 as well: all at once
                raise SettingsError(
                    f"{setting}: {data} says itself what the tiles are; leave it out, or name the "
                    "whole images as the data"
                )
        tiles = annotations
        located = locate_splits(Path(truth), split or "val", detector.recipe.data.first_pixel)
        annotations = in_order_of(located, detector.names, str(checkpoint))
        predictor = detector.predictor(**settings)
        found = find_in_tiles(predictor, tiles, annotations)
        stamp = predictor.stamp | {"tile": f"as {data} says", "overlap": None, "tiling": None}
    result = rules(annotations, found)
    return result.stamped(
        checkpoint=str(checkpoint),
        data=str(data),
        split=read,
        **({} if truth is None else {"truth": str(truth)}),
        scored="whole images",
        predict=stamp,
        notes=list(located.notes),
    )


def _opened(
    settings: DataSettings, data: Path, split: str | None
) -> tuple[Annotations, str | None]:
    """The recipe's data set in the folder `data`, or whatever lies there, and the split read."""
    part = settings.val
    if part is None or not _is_of(part, data):
        wanted = split or "val"
        read = (split_read(data, one) for one in wanted.split("+"))
        named = "+".join(one for one in read if one is not None)
        return locate_splits(data, wanted, settings.first_pixel), named or None
    splits = (split or part["split"]).split("+")
    each = [settings.model_copy(update={"val": part | {"split": one}}) for one in splits]
    opened = join([open_annotations(one, "val", data) for one in each])
    return opened, "+".join(benchmarks.split_read(part["name"], one) for one in splits)


def _is_of(part: Part, data: Path) -> bool:
    """Whether a data set of a recipe is to be looked for in the folder `data`."""
    if part.get("path", "") is not None or "split" not in part or data.is_file():
        return False
    own_file = part.get("annotations") is not None
    return benchmarks.may_be_of(part["name"], data, own_file=own_file)


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
            f"{annotations.place}: the data set has classes that {source} was not trained on: "
            f"{', '.join(unknown)}; it knows {', '.join(names)}; rename the data set's classes, "
            "or take a checkpoint that knows them"
        )
    return with_names(annotations, names)
