"""Recipes and a data set to which priors would answer for which objects, before any training."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from tinyscope.analysis.assignment import MEASURES, Answers, Tally, answers
from tinyscope.analysis.assignment_picture import Panel, assignment_picture
from tinyscope.analysis.assignment_report import AssignmentReport, Audit
from tinyscope.analysis.assignment_stage import AssigningStage
from tinyscope.analysis.assignment_views import PredictionViews, TrainingViews, View, Views
from tinyscope.analysis.pictures import save_picture
from tinyscope.data import WINDOWS
from tinyscope.detectors.build import build
from tinyscope.engine.detector import without_files
from tinyscope.engine.predictor import side_divisor
from tinyscope.engine.sources import Split, open_annotations, open_training_set
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.atomic import atomic_text, write_text_atomically
from tinyscope.settings import AnyRecipe, Recipe, image_model, load_recipe
from tinyscope.types import Dropped

CHART, OBJECTS, PICTURES = "assignment.svg", "objects.csv", "pictures"
LIMIT = 500
"""Windows that are looked at where no number is given and an epoch has more."""

AnyOf = str | Path | Recipe


def analyze_assignment(
    recipe: AnyOf | Sequence[AnyOf],
    data: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    variants: Mapping[str, Sequence[str]] | None = None,
    split: Split = "train",
    view: Literal["train", "predict"] = "train",
    windows: int | None = None,
    pictures: int = 4,
    out: str | Path | None = None,
) -> AssignmentReport:
    """Says how many priors would answer for each object, on which levels and how much like it.

    Neither weights nor training are needed, and images are decoded for pictures and lures alone.
    Of two-stage detectors it is the first stage.

    Args:
        recipe: Such as `quick/small`; or several, side by side.
        data: Folder with the data set, where the recipes name none.
        overrides: Changes of all recipes, such as "data.windows.size=512".
        variants: Further ways of assigning by name: changes of the first recipe, such as
            {"rfla": ["model.assigner={name: hierarchical}", "model.priors={name: fields}"]}.
        split: Of the data set.
        view: What objects are seen through: the windows and transforms of the training, by the
            recipe's seed and in its batches; or images or tiles as prediction shows them.
        windows: How many windows or tiles; None means an epoch or all images, at most 500.
        pictures: How many windows with objects are painted, of each set of windows that is seen.
        out: Folder for the pictures, a chart, and objects.csv with a line for each object.

    Raises:
        SettingsError: A setting is wrong, a recipe pre-trains a backbone, two ways of assigning
            have one name, or matplotlib is not there for the chart.
        DataError: The data set cannot be read or has no object, or `out` cannot be written.
    """
    if windows is not None and windows < 1:
        raise SettingsError(f"windows {windows}: must be 1 or more")
    if pictures < 0:
        raise SettingsError(f"pictures {pictures}: must be 0 or more")
    ways = _ways(recipe, overrides, variants or {})
    folder = None if out is None else _made(Path(out))
    writer = _Pictures(folder)
    place = None if data is None else Path(data)
    with ExitStack() as stack:
        lines = None
        if folder is not None:
            lines = csv.writer(stack.enter_context(atomic_text(folder / OBJECTS)))
            lines.writerow(_COLUMNS)
        for members in _alike(ways, view):
            views, names = _views(members[0].recipe, place, split, view, windows)
            writer.left = pictures
            _look(members, views, names, lines, writer)
    title = "data of the recipe" if data is None else str(data)
    report = AssignmentReport(title, split, tuple(way.audit() for way in ways), writer.written)
    if folder is not None:
        _write(report.chart(), folder / CHART)
    return report


@dataclass
class _Way:
    """One way of assigning, and what it has given so far."""

    name: str
    recipe: Recipe
    stage: AssigningStage
    tally: Tally = field(init=False)
    lost: Dropped = field(default_factory=Dropped)
    seen: str = ""
    views: int = 0

    def __post_init__(self) -> None:
        self.tally = Tally.empty(len(self.stage.strides))

    def audit(self) -> Audit:
        model, _ = image_model(self.recipe.model)
        parts: Mapping[str, Any] = model["rpn"] if self.stage.first_of_two else model
        return Audit(
            self.name,
            parts["assigner"],
            parts["priors"],
            self.stage.first_of_two,
            self.stage.strides,
            self.stage.sides,
            self.seen,
            self.views,
            self.tally,
            self.lost,
        )


def _ways(
    recipe: AnyOf | Sequence[AnyOf],
    overrides: Sequence[str],
    variants: Mapping[str, Sequence[str]],
) -> list[_Way]:
    """All that are compared, recipes first."""
    recipes = [recipe] if isinstance(recipe, AnyOf) else list(recipe)
    if not recipes:
        raise SettingsError("recipe: none is given; name one, such as quick/small")
    named: list[tuple[str, AnyOf, Sequence[str]]] = [
        ("model" if isinstance(one, AnyRecipe) else str(one), one, ()) for one in recipes
    ]
    named += [(name, recipes[0], changes) for name, changes in variants.items()]
    names = [name for name, _, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(
            f"{twice[0]}: two ways of assigning have this name; give each recipe once, and every "
            "variant a name of its own"
        )
    return [_way(name, one, [*overrides, *changes]) for name, one, changes in named]


def _way(name: str, recipe: AnyOf, overrides: Sequence[str]) -> _Way:
    try:
        chosen = load_recipe(recipe, overrides)
        with torch.device("meta"):
            detector = build(without_files(chosen.model), len(chosen.data.names or "1"))
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from error
    return _Way(name, chosen, AssigningStage.of(detector, side_divisor(detector)))


def _alike(ways: Sequence[_Way], view: str) -> Iterator[list[_Way]]:
    """Those together that see the same windows, so that these are made once."""
    groups: list[tuple[Any, list[_Way]]] = []
    for way in ways:
        recipe = way.recipe
        key = (recipe.data, recipe.train.seed, recipe.predict if view == "predict" else None)
        known = next((members for other, members in groups if other == key), None)
        if known is None:
            groups.append((key, [way]))
        else:
            known.append(way)
    yield from (members for _, members in groups)


def _views(
    recipe: Recipe, data: Path | None, split: Split, view: str, windows: int | None
) -> tuple[Views, tuple[str, ...]]:
    """What the recipe shows of the data set, and the names of its classes."""
    annotations = open_annotations(recipe.data, split, data)
    if annotations.ignore.all():
        raise DataError(
            f"{annotations.place}: has no objects that priors could answer for, in "
            f"{len(annotations)} images; name a set that has some"
        )
    if view == "train":
        samples = open_training_set(recipe.data, annotations, recipe.train.seed)
        return TrainingViews(samples, windows, recipe.data.batch, LIMIT), annotations.names
    rule = WINDOWS.build(recipe.data.windows, "data.windows").rule
    seed = recipe.train.seed
    shown = PredictionViews(annotations, recipe.predict, rule, seed, windows, LIMIT)
    return shown, annotations.names


def _look(
    ways: Sequence[_Way],
    views: Views,
    names: Sequence[str],
    lines: Any,
    pictures: "_Pictures",
) -> None:
    """Adds what the views show to the ways' tallies, writes lines and paints pictures."""
    for batch in views:
        targets, sizes = [view.target for view in batch], [view.size for view in batch]
        panels: list[list[Panel]] = [[] for _ in batch]
        for way in ways:
            assigned = way.stage(targets, sizes)
            priors = assigned.priors
            parts = zip(batch, assigned.rows, assigned.taking_part, panels, strict=True)
            for view, rows, taking_part, shown in parts:
                target = view.target
                objects = target.boxes[~target.ignore]
                found = answers(objects, rows, priors, len(way.stage.strides))
                way.tally += Tally.of(found, rows, taking_part)
                way.lost += view.dropped
                way.views += 1
                way.seen = views.title
                if lines is not None:
                    labels = [names[label] for label in target.labels[~target.ignore].tolist()]
                    lines.writerows(_lines(way, view, found, labels))
                if pictures.wanted and len(objects):
                    positive = (rows >= 0).nonzero()[:, 0]
                    centers, levels = priors.centers[positive], priors.levels[positive]
                    owners = rows[positive]
                    strides = way.stage.strides
                    shown.append(Panel(way.name, strides, target, owners, centers, levels))
        for view, shown in zip(batch, panels, strict=True):
            if shown and pictures.wanted:
                pictures.paint(views, view, shown)
    if not ways[0].tally.objects.sum():
        raise DataError(
            f"{views.title}: no object is seen in them; look at more with windows, or check "
            "data.windows and data.transforms"
        )


_COLUMNS = (
    *("assigner", "window", "file", "class", "x1", "y1", "x2", "y2", "side", "priors", "levels"),
    *(measure.replace(" ", "_").lower() for measure in MEASURES),
)


def _lines(way: _Way, view: View, found: Answers, labels: Sequence[str]) -> Iterator[list[Any]]:
    """A line of objects.csv for each object of a view, in its pixels."""
    columns = zip(
        labels,
        found.boxes.tolist(),
        found.sides.tolist(),
        found.per_level.tolist(),
        found.measures.tolist(),
        strict=True,
    )
    for label, box, side, levels, measures in columns:
        pairs = zip(way.stage.strides, levels, strict=True)
        yield [
            *(way.name, view.number, view.file, label, *(f"{x:.2f}" for x in box), f"{side:.2f}"),
            *(sum(levels), " ".join(f"{stride}:{n}" for stride, n in pairs if n)),
            *("" if x != x else f"{x:.4f}" for x in measures),  # nan is unequal to itself
        ]


@dataclass
class _Pictures:
    """Paints the first windows that hold objects."""

    folder: Path | None
    left: int = 0
    written: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        return self.folder is not None and self.left > 0

    def paint(self, views: Views, view: View, panels: Sequence[Panel]) -> None:
        assert self.folder is not None
        stem = Path(view.file).stem
        picture = assignment_picture(views.show(view), panels, f"{stem}, window {view.number}")
        path = _made(self.folder / PICTURES) / f"{len(self.written):02d}_{stem}.png"
        save_picture(picture, path)
        self.left -= 1
        self.written = (*self.written, str(path))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be made ({error.strerror}); choose another --out"
        ) from error
    return folder


def _write(chart: str, file: Path) -> None:
    try:
        write_text_atomically(file, chart)
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written ({error.strerror}); choose another folder"
        ) from error
