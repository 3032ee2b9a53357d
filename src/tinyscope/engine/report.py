"""Writes report.html into the folder of a run."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tinyscope.analysis.charts import line_chart, size_chart
from tinyscope.analysis.gallery import gallery
from tinyscope.analysis.outcomes import outcomes
from tinyscope.analysis.report import Chart, Report, Table, page
from tinyscope.data.dropped import size_names
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.detector import load_trained
from tinyscope.engine.find import find_all
from tinyscope.engine.logs import Row, read_rows
from tinyscope.engine.sources import open_annotations
from tinyscope.errors import DataError
from tinyscope.evaluation import Result, evaluate
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.formats.tables import Annotations
from tinyscope.settings import trains_a_classifier

SHOWN = ("AP", "AP50", "AP75")
"""Numbers of the tables and curves, those of them that the protocol has."""


def report(run: str | Path, data: str | Path | None = None) -> Path:
    """Predicts the validation set with a run's best weights and shows how the run went.

    Args:
        run: Folder that training wrote.
        data: Folder with the data set, where the recipe names none.

    Returns:
        The page, `report.html` in the folder of the run.

    Raises:
        DataError: The folder holds no run, one of pre-training, or the data set cannot be read.
        SettingsError: matplotlib is not installed.
    """
    folder = Path(run)
    if not (folder / "best.ckpt").is_file():
        raise DataError(f"{folder}: holds no best.ckpt; give the folder of a finished training")
    if trains_a_classifier(load_checkpoint(folder / "best.ckpt").recipe):
        raise DataError(
            f"{folder}: is a pre-training, of which there is no report; its numbers are in "
            "scores.csv and evaluation.json"
        )
    detector = load_trained(folder / "best.ckpt")
    recipe = detector.recipe
    truth = open_annotations(recipe.data, "val", None if data is None else Path(data))
    found = find_all(detector.predictor(), truth)
    result = evaluate(truth, found, recipe.evaluate.protocol)
    score = result.best_score()
    became = outcomes(truth, found, score=score)
    hit = became.counted & became.found
    sizes = size_chart(truth.sides[hit], truth.sides[became.missed])
    at = f", at score {score:.2f}" if hit.any() else ""
    content = page(
        Report(
            title=f"tinyscope: {folder.name}",
            summary=tuple(_summary(result, truth)),
            scores=dict(_scores(result)),
            charts=[
                *_curves(folder),
                _precision(result),
                Chart(f"Sizes of objects{at}", sizes),
            ],
            gallery=gallery(truth, found, became),
            lost=_lost(folder),
            recipe=recipe.to_yaml(),
            stamp=result.stamp,
        )
    )
    path = folder / "report.html"
    write_text_atomically(path, content)
    return path


def _summary(result: Result, truth: Annotations) -> Iterator[str]:
    yield (
        f"{len(truth)} images, {result.objects()} objects of {len(truth.names)} classes: "
        f"{', '.join(truth.names)}."
    )
    numbers = ", ".join(f"{key} {result[key]:.3f}" for key in _shown(result))
    yield f"{numbers}; {result.outcome}."


def _scores(result: Result) -> Iterator[tuple[str, Table]]:
    shown = _shown(result)
    sizes = "motion" if "motions" in result.stamp["options"] else "size"
    for kind, parts in (
        (sizes, result.per_size),
        ("group of classes", result.per_group),
        ("class", result.per_class),
    ):
        rows = [
            [part, *(_number(numbers[key]) for key in shown), f"{numbers['objects']:.0f}"]
            for part, numbers in parts.items()
        ]
        yield f"By {kind}", Table((kind, *shown, "objects"), rows)


def _shown(result: Result) -> list[str]:
    return [name for name in SHOWN if name in result]


def _number(value: float) -> str:
    return "-" if value < 0 else f"{value:.3f}"


def _curves(folder: Path) -> Iterator[Chart]:
    losses = _columns(folder / "metrics.csv", skip=("learning_rate", "gradient_norm"))
    if losses:
        smoothed = {name: (x, _smoothed(y)) for name, (x, y) in losses.items()}
        yield Chart("Losses, averaged", line_chart(smoothed, x="step", y="loss", log_y=True))
    scores = _columns(folder / "scores.csv", only=SHOWN)
    if scores:
        yield Chart("Scores while training", line_chart(scores, x="step", y="score", top=1.0))


def _precision(result: Result) -> Chart:
    threshold = int(np.abs(np.array(result.thresholds) - 0.5).argmin())
    lines = {
        name: (curves.recalls.tolist(), curves.precision[threshold].tolist())
        for name, curves in result.curves.items()
        if result.objects(name)
    }
    return Chart("Precision at IoU 0.5", line_chart(lines, x="recall", y="precision", top=1.05))


Columns = dict[str, tuple[list[float], list[float]]]


def _columns(path: Path, *, only: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> Columns:
    """Each number of a log over its steps."""
    rows: list[Row] = read_rows(path) if path.is_file() else []
    names = [n for n in (rows[0] if rows else {}) if n != "step" and n not in skip]
    return {
        name: (
            [float(row["step"]) for row in rows if row[name]],
            [float(row[name]) for row in rows if row[name]],
        )
        for name in names
        if not only or name in only
    }


def _smoothed(values: list[float], share: float = 0.02) -> list[float]:
    """Running mean over a share of the run."""
    width = max(1, round(len(values) * share))
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    means: list[float] = ((sums[ends] - sums[starts]) / (ends - starts)).tolist()
    return means


def _lost(folder: Path) -> Table:
    path = folder / "dropped.json"
    record = json.loads(path.read_text("utf-8")) if path.is_file() else {"lost": {}}
    counts: dict[str, list[int]] = record["lost"]
    rows = [
        [reason, *(str(n) for n in numbers), str(sum(numbers))]
        for reason, numbers in counts.items()
    ]
    return Table(("reason", *size_names(), "all"), sorted(rows, key=lambda row: -int(row[-1])))
