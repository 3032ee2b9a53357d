"""A data set to what it holds, and to the groups that its classes could be told apart in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinyscope.analysis.class_groups import Proposal, propose_groups
from tinyscope.analysis.data_report import (
    HEADS,
    ClassCount,
    DataReport,
    count_classes,
    count_sizes,
    count_videos,
)
from tinyscope.catalog import arguments
from tinyscope.data.dropped import size_names
from tinyscope.data.locate import locate
from tinyscope.data.names import with_names
from tinyscope.errors import SettingsError
from tinyscope.formats import coco
from tinyscope.formats.tables import Annotations
from tinyscope.nn.heads import HEADS as HEAD_TABLE
from tinyscope.settings import Recipe, load_recipe


def analyze_data(
    data: str | Path,
    split: str = "train",
    *,
    recipe: str | Path | Recipe | None = None,
    overrides: Sequence[str] = (),
    edges: Sequence[int] | None = None,
    by: Literal["objects", "tracks"] = "objects",
) -> DataReport:
    """Says what a data set holds, and which of its classes are about equally frequent.

    Args:
        data: A COCO file, of which no images are needed, or a data set's folder.
        split: Of the folder `data`.
        recipe: Whose numbering of classes is taken, and whose heads the settings are for.
        overrides: Changes of the recipe such as "data.names=[car,ship]".
        edges: Numbers of examples from which a class belongs to the next group.
        by: What counts as an example; tracks are objects in the course of a video.

    Raises:
        SettingsError: Edges do not ascend, tracks are not known, or a setting is wrong.
        DataError: The set cannot be read.
    """
    _check_edges(edges)
    chosen = None if recipe is None else load_recipe(recipe, overrides)
    annotations = _opened(Path(data), split, chosen)
    classes = count_classes(annotations)
    proposal = propose_groups(_examples(classes, by, str(data)), edges)
    report = _counted(str(data), annotations, classes, proposal)
    if chosen is None:
        return report
    return replace(report, heads=tuple(_heads(chosen.model, "model")) or HEADS)


def _check_edges(edges: Sequence[int] | None) -> None:
    if edges is not None and (
        not edges or edges[0] < 1 or any(high <= low for low, high in pairwise(edges))
    ):
        raise SettingsError(
            f"edges {list(edges)}: must be whole numbers from 1 that ascend, such as 10,100,1000"
        )


def _examples(classes: Sequence[ClassCount], by: str, data: str) -> list[int]:
    """Of each class."""
    if by == "objects":
        return [c.objects for c in classes]
    untold = [c.name for c in classes if c.objects and not c.tracks]
    if untold:
        raise SettingsError(
            f"by tracks: {data} follows no objects of {', '.join(untold)} through videos "
            "(instance_id); count by objects"
        )
    return [c.tracks or 0 for c in classes]


def _opened(source: Path, split: str, recipe: Recipe | None) -> Annotations:
    """The set with its classes numbered as the recipe says, where it does."""
    file = source.is_file() and source.suffix == ".json"
    annotations = coco.read_annotations(source) if file else locate(source, split)
    if recipe is None or recipe.data.names is None:
        return annotations
    return with_names(annotations, recipe.data.names)


def _counted(
    data: str, annotations: Annotations, classes: tuple[ClassCount, ...], proposal: Proposal
) -> DataReport:
    rows, shown = annotations.learned, annotations.trained_on
    per_image = np.bincount(annotations.images[rows], minlength=len(annotations))[shown]
    return DataReport(
        data=data,
        images=int(shown.sum()),
        empty=int((per_image == 0).sum()),
        objects=int(rows.sum()),
        ignored=int((annotations.ignore & shown[annotations.images]).sum()),
        most=int(per_image.max(initial=0)),
        sizes=count_sizes(annotations.sides[rows], size_names()),
        classes=classes,
        proposal=proposal,
        videos=count_videos(annotations),
    )


def _heads(options: Mapping[str, Any] | Sequence[Any], path: str) -> Iterator[str]:
    """Where a model has heads that take groups."""
    inside = options.items() if isinstance(options, Mapping) else enumerate(options)
    for key, value in inside:
        place = f"{path}.{key}"
        if key == "head" and "groups" in arguments(HEAD_TABLE.load(value["name"]))[0]:
            yield place
        elif isinstance(value, Mapping | list):
            yield from _heads(value, place)
