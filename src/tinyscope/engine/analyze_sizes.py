"""A data set to the sizes of its objects, as they are and as another set's."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tinyscope.analysis.size_report import SizeReport, SizeSummary
from tinyscope.data import TRANSFORMS
from tinyscope.data.locate import locate
from tinyscope.data.randomness import Purpose, stream
from tinyscope.data.scale_match.factor import Outcome
from tinyscope.data.scale_match.histogram import size_histogram
from tinyscope.data.scale_match.sizes import (
    counted_rows,
    histogram_text,
    object_sizes,
    read_histogram,
)
from tinyscope.data.training_set import target_of, with_sizes
from tinyscope.data.transforms.scale_match import ScaleMatch
from tinyscope.data.windows.whole import WholeImages
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats import coco
from tinyscope.formats.atomic import write_text_atomically
from tinyscope.formats.tables import Annotations
from tinyscope.types import Dropped, Target

PICTURE, HISTOGRAM = "sizes.svg", "histogram.json"


def analyze_sizes(
    data: str | Path,
    target: str | Path | None = None,
    *,
    match: Literal["scale", "monotone"] = "scale",
    options: Mapping[str, Any] | None = None,
    split: str = "train",
    draws: int = 1,
    seed: int = 0,
    out: str | Path | None = None,
) -> SizeReport:
    """Says how large the objects of a data set are, and how large Scale Match would make them.

    Images are resized by the rule of the transform `scale_match`, but no pixel is read.

    Args:
        data: A COCO file, of which no images are needed, or a data set's folder.
        target: Whose sizes are wanted, as the transform takes it; None matches nothing.
        match: How, as the transform takes it.
        options: Further ones of the transform.
        split: Of the folder `data`.
        draws: How often each image is resized; more of them show what many epochs do.
        seed: Of what is drawn.
        out: Folder for the picture, and for the histogram of `data`, which can be a target.

    Raises:
        SettingsError: An option is wrong, or matplotlib is not there for the picture.
        DataError: A set cannot be read or has no objects, or `out` cannot be written.
    """
    if draws < 1:
        raise SettingsError(f"draws {draws}: must be 1 or more")
    if target is None and options:
        raise SettingsError(f"options {', '.join(options)}: are for matching; name a target")
    source = Path(data)
    file = source.is_file() and source.suffix == ".json"
    annotations = coco.read_annotations(source) if file else locate(source, split)
    annotations = annotations.keep(counted_rows(annotations))
    sizes = object_sizes(annotations)
    if not len(sizes):
        raise DataError(f"{data}: no objects to take sizes from; name a set that has some")
    report = SizeReport(str(data), SizeSummary.of_objects(sizes))
    if target is not None:
        part = {"name": "scale_match", "target": str(target), "match": match, **(options or {})}
        resize: ScaleMatch = TRANSFORMS.build(part, "scale_match", annotations=annotations)
        report = _matched(report, annotations, resize, _wanted(part), draws, seed)
    if out is not None:
        _write(report, sizes, Path(out))
    return report


def _wanted(part: Mapping[str, Any]) -> SizeSummary:
    """The sizes of the histogram that the transform of these settings matches to."""
    checked = TRANSFORMS.check(part, "scale_match", ("annotations",))
    keys = ("bins", "tails", "logarithmic")
    histogram = read_histogram(
        Path(checked["target"]), checked["split"], **{key: checked[key] for key in keys}
    )
    return SizeSummary.of_histogram(histogram)


def _matched(
    report: SizeReport,
    annotations: Annotations,
    resize: ScaleMatch,
    wanted: SizeSummary,
    draws: int,
    seed: int,
) -> SizeReport:
    sizes: list[NDArray[np.float64]] = []
    outcomes: Counter[str] = Counter()
    lost = Dropped()
    for target, outcome, dropped in _resized(with_sizes(annotations), resize, draws, seed):
        sides = target.boxes[~target.ignore].double()
        sizes.append((sides[:, 2:] - sides[:, :2]).prod(dim=1).sqrt().numpy())
        outcomes[outcome] += 1
        lost += dropped
    after = np.concatenate(sizes)
    if not len(after):
        raise DataError(
            f"{report.data}: no object is left after matching; choose a larger target, or a larger "
            "smallest scale_range"
        )
    summary = SizeSummary.of_objects(after)
    return SizeReport(report.data, report.before, summary, wanted, outcomes, lost)


def _resized(
    annotations: Annotations, resize: ScaleMatch, draws: int, seed: int
) -> Iterator[tuple[Target, Outcome, Dropped]]:
    """What becomes of each image, as when whole images are trained on."""
    rule = WholeImages().rule
    for position in range(draws * len(annotations)):
        image = position % len(annotations)
        height, width = (int(n) for n in annotations.sizes[image])
        target, flat = target_of(annotations, image)
        target, cut = rule(target, (0, 0, width, height))
        random = stream(seed, Purpose.TRANSFORMS, position)
        size, outcome = resize.new_size((height, width), target, random.random)
        target, dropped = resize.new_target(target, (height, width), size)
        yield target, outcome, flat + cut + dropped


def _write(report: SizeReport, sizes: NDArray[np.float64], folder: Path) -> None:
    chart = report.chart()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / PICTURE, chart)
        write_text_atomically(folder / HISTOGRAM, histogram_text(size_histogram(sizes)))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder"
        ) from error
