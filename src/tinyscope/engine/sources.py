"""Opens the data sets that a recipe names, or that lie in a folder."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tinyscope.catalog import arguments
from tinyscope.data import DATASETS, REFERENCES, TRANSFORMS, WINDOWS
from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.key_frames import key_frames
from tinyscope.data.locate import has_split, locate
from tinyscope.data.names import same_names, with_names
from tinyscope.data.training_set import TrainingSet, Transform
from tinyscope.data.windows.window import WindowSource
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.join import join
from tinyscope.formats.tables import Annotations
from tinyscope.settings import DataSettings, Part, Recipe

Split = Literal["train", "val"]

VIDEO = "video"
"""Name of the model that is trained on clips."""

ONE_BY_ONE = ("instance_match",)
"""Transforms that change objects where they are, and so mean nothing for other frames."""


def open_annotations(settings: DataSettings, split: Split, data: Path | None) -> Annotations:
    """The data set that the recipe names for `split`, else the one found in the folder `data`.

    Classes are numbered as `data.names` says, where it says so.

    Raises:
        SettingsError: Neither a data set nor a folder is given.
        DataError: The data set cannot be read, or `data.names` lacks a class of it.
    """
    part = getattr(settings, split)
    if part is not None:
        annotations: Annotations = DATASETS.build(_placed(part, data), f"data.{split}")
    elif data is not None:
        splits = getattr(settings, f"{split}_split")
        annotations = locate_splits(data, splits, settings.first_pixel)
    else:
        raise SettingsError(
            f"data.{split}: no data set is given; use --data DIR, or name one in the recipe"
        )
    return annotations if settings.names is None else with_names(annotations, settings.names)


def _placed(part: Part, data: Path | None) -> Part:
    """A data set that leaves its `path` open, with the folder `data` for it."""
    open_path = "path" in part and part["path"] is None
    return part if data is None or not open_path else part | {"path": str(data)}


def open_splits(
    settings: DataSettings, data: Path | None
) -> tuple[Annotations, Annotations | None]:
    """The sets to train and to evaluate on; the latter None where there is none.

    Raises:
        SettingsError, DataError: As `open_annotations`, or the sets have other classes.
    """
    train = open_annotations(settings, "train", data)
    if settings.val is None and not (data and _has_splits(data, settings.val_split)):
        return train, None
    validation = open_annotations(settings, "val", data)
    same_names(train, validation)
    return train, validation


def locate_splits(data: Path, splits: str, first_pixel: int = 0) -> Annotations:
    """A split of the data set in a folder, or several as one: "train", "train+val".

    Boxes of files that count pixels from `first_pixel` are moved to where 0 is the left and upper
    border of the first one. A shift of 1 px takes half of the IoU of a 5 px object, and a detector
    that sees mirrored images cannot learn it.
    """
    found = join([locate(data, split) for split in splits.split("+")])
    return replace(found, boxes=found.boxes - first_pixel) if first_pixel else found


def _has_splits(data: Path, splits: str) -> bool:
    # A file of annotations is one set, which training takes.
    return data.is_dir() and all(has_split(data, split) for split in splits.split("+"))


def open_samples(recipe: Recipe, annotations: Annotations) -> TrainingSet | ClipSet:
    """What a recipe's model is trained on: single images, or clips where it is one of videos.

    Raises:
        SettingsError: References are set for a model that sees one image at a time, or as below.
        DataError: As below.
    """
    if recipe.model["name"] == VIDEO:
        return open_clip_set(recipe.data, annotations, recipe.train.seed)
    if recipe.data.references is not None:
        raise SettingsError(
            f"data.references: is {recipe.data.references['name']}, but model "
            f"{recipe.model['name']} sees one image at a time; set it to null, or put the model "
            f"inside one named {VIDEO}"
        )
    return open_training_set(recipe.data, annotations, recipe.train.seed)


def open_training_set(settings: DataSettings, annotations: Annotations, seed: int) -> TrainingSet:
    """Samples of the windows and transforms that the recipe names.

    Of videos, those of the key frames, one by one.

    Raises:
        SettingsError: A window or a transform refuses an option.
        DataError: There are no key frames, or a file that a transform takes cannot be read, or is
            of no use; names the option.
    """
    keys = annotations if annotations.video is None else annotations.take(key_frames(annotations))
    windows, transforms = _ways_to_look(settings, keys)
    return TrainingSet(keys, windows, transforms, seed, redraw=settings.redraw)


def open_clip_set(settings: DataSettings, annotations: Annotations, seed: int) -> ClipSet:
    """Clips of the references, windows and transforms that the recipe names.

    Raises:
        SettingsError: A part refuses an option, or a transform moves objects one by one.
        DataError: As `open_training_set`.
    """
    for path, part in _named(settings.transforms, "data.transforms"):
        if part["name"] in ONE_BY_ONE:
            raise SettingsError(
                f"{path}: {part['name']} resizes the objects of one image where they "
                "are, but clips show them in several places; take it out, or use scale_match"
            )
    references = REFERENCES.build(settings.references or {"name": "bilateral"}, "data.references")
    keys = annotations.take(key_frames(annotations))
    windows, transforms = _ways_to_look(settings, keys)
    return ClipSet(annotations, references, windows, transforms, seed, redraw=settings.redraw)


def _named(parts: Sequence[Part], path: str) -> Iterator[tuple[str, Part]]:
    """Transforms and those that they choose from, each with its path."""
    for i, part in enumerate(parts):
        yield f"{path}.{i}", part
        yield from _named(part.get("transforms") or (), f"{path}.{i}.transforms")


def _ways_to_look(
    settings: DataSettings, annotations: Annotations
) -> tuple[WindowSource, list[Transform]]:
    windows: WindowSource = WINDOWS.build(settings.windows, "data.windows")
    transforms: list[Transform] = [
        _transform(part, f"data.transforms.{i}", annotations)
        for i, part in enumerate(settings.transforms)
    ]
    return windows, transforms


def _transform(part: Part, path: str, annotations: Annotations) -> Any:
    """The transform that stands at `path`; what is wrong with a file names the option it is of."""
    try:
        return TRANSFORMS.build(part, path, annotations=annotations)
    except DataError as error:
        key = next((f".{k}" for k in _file_options(part) if str(part[k]) in str(error)), "")
        raise DataError(f"{path}{key}: {error}") from error


def _file_options(part: Part) -> list[str]:
    """The options of a transform that name files and are given, the longest path first."""
    known, _ = arguments(TRANSFORMS.load(part["name"]))
    found = [k for k, a in known.items() if Path in (a.type, *get_args(a.type)) and part.get(k)]
    return sorted(found, key=lambda option: -len(str(part[option])))


def fingerprint(annotations: Annotations) -> str:
    """Equal for equal annotations, wherever the images lie."""
    digest = hashlib.sha256()
    for name, column in _columns(annotations):
        digest.update(f"{name}={_text(column)}".encode())
    return digest.hexdigest()[:16]


def _columns(annotations: Annotations) -> Iterator[tuple[str, object]]:
    """What the data set says, by name; columns that only some data sets have, where it does."""
    for field in fields(annotations):
        value = getattr(annotations, field.name)
        if isinstance(value, Mapping):
            yield from ((f"{field.name}.{key}", column) for key, column in sorted(value.items()))
        elif is_dataclass(value):
            parts = (f.name for f in fields(value))
            yield from ((f"{field.name}.{part}", getattr(value, part)) for part in parts)
        elif value is not None and field.name not in ("root", "notes", "source"):
            yield field.name, value


def _text(column: object) -> str:
    if isinstance(column, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(column).tobytes()).hexdigest()
    return repr(column)
