"""Log-average miss rates as on CityPersons and TinyPerson: how much is missed at few false ones.

The matching differs from that of precision in four things: objects are ignored by size and by the
share of them that is visible; an ignored object takes in any number of detections, by the share
of the detection that it covers; detections far from a setup's sizes are left out; and points of
the curve are false detections per image, not recalls (Dollar et al. 2012,
doi:10.1109/TPAMI.2011.155; Zhang et al. 2017, arXiv:1702.05693).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.cover import GreedyThenCovered, covering
from tinyscope.evaluation.order import Objects, Ranked
from tinyscope.evaluation.pairing import (
    ALWAYS_ENOUGH,
    Pairs,
    by_preference,
    measured,
    no_pairs,
    regular_first,
)
from tinyscope.evaluation.precision import curves, tally
from tinyscope.evaluation.result import threshold_name
from tinyscope.evaluation.scores import Cell, rows_at_scores
from tinyscope.evaluation.table import aligned, text
from tinyscope.formats.coco import IGNORED_CROWD
from tinyscope.formats.tables import Annotations

FALSE_PER_IMAGE = np.logspace(-2, 0, 9)
"""Numbers of false detections per image at which the missed objects are averaged."""
LIMIT = 1000
"""Detections per image and class that count."""
SLACK = 1.25
"""Detections this many times smaller or larger than a setup's sizes are left out."""
COVERED = float(np.nextafter(0.5, 1))
"""Cover from which on a detection lies in an ignored object, at every threshold: above one half."""


@dataclass(frozen=True)
class Setup:
    """Which objects a miss rate is of; others are ignored. Both ends of a range are included.

    `sizes` are sides or heights in pixels, as the protocol has it; `visible` is the share of an
    object that can be seen.
    """

    sizes: tuple[float, float]
    visible: tuple[float, float] = (0.65, np.inf)


@dataclass(frozen=True)
class Case:
    """What is scored: detections and objects in order, and the pairs that touch.

    `ignored` of the objects is what the file marks, for all setups. The sizes of objects and
    detections are what the setups are about; `visible` is the visible share of each object.
    """

    ranked: Ranked
    objects: Objects
    touching: Pairs
    object_sizes: Float64[ndarray, "n"]
    detection_sizes: Float64[ndarray, "d"]
    visible: Float64[ndarray, "n"]
    lost: Int64[ndarray, "u"]  # as in `GreedyThenCovered`


@dataclass(frozen=True)
class SetupCell:
    """A curve of one class, setup (the cell's bin) and threshold.

    `false_first` says that the best detection has found nothing and is not in anything ignored.
    """

    cell: Cell
    false_first: bool


def setup_cells(
    case: Case,
    setups: Mapping[str, Setup],
    thresholds: Sequence[float],
    *,
    covered: bool,
) -> Iterator[SetupCell]:
    """The curves of all classes for every setup and threshold.

    Args:
        case: What is scored.
        setups: By name.
        thresholds: IoUs from which on a detection has found an object.
        covered: Whether detections left over go to ignored objects by TinyPerson's rule, which
            here takes the share that an object covers for an IoU: a touch of a large one suffices.
    """
    ranked = case.ranked
    stops = rows_at_scores(ranked)
    for position, setup in enumerate(setups.values()):
        objects, inside = _seen(case, setup)
        shared = case.touching[inside[case.touching.detections]]
        close = measured(shared, ranked, objects, min(*thresholds, ALWAYS_ENOUGH))
        close = regular_first(by_preference(close), objects.ignored)
        covers = covering(shared, ranked, objects, COVERED) if covered else no_pairs()
        match = GreedyThenCovered(covers, lambda threshold: COVERED, case.lost)
        counted = tally(inside, stops)
        positives = np.bincount(objects.labels[~objects.ignored], minlength=len(stops))
        for t, threshold in enumerate(thresholds):
            pairs = match(close, objects, objects.ignored, threshold)
            false_first = _false_first(ranked, pairs, inside)
            hit = ~objects.ignored[pairs.objects]
            found = curves(ranked, pairs, hit, counted, positives)
            for label, curve in found:
                yield SetupCell(Cell(t, label, position, 0, curve), bool(false_first[label]))


def _seen(case: Case, setup: Setup) -> tuple[Objects, Bool[ndarray, "d"]]:
    """The objects as a setup has them, and the detections that take part in it."""
    low, high = setup.sizes
    sizes = case.detection_sizes
    inside = (sizes >= low / SLACK) & (sizes < high * SLACK) & (case.ranked.ranks < LIMIT)
    ignored = (
        case.objects.ignored
        | _outside(case.object_sizes, setup.sizes)
        | _outside(case.visible, setup.visible)
    )
    return replace(case.objects, ignored=ignored, regions=ignored), inside


def _false_first(ranked: Ranked, pairs: Pairs, inside: Bool[ndarray, "d"]) -> Bool[ndarray, "k"]:
    """Of each class, whether the best detection that takes part is in no pair."""
    rows = np.append(np.flatnonzero(inside), len(inside))
    best = rows[np.searchsorted(rows, ranked.starts[:-1])]
    return (best < ranked.starts[1:]) & ~np.isin(best, pairs.detections)


@dataclass(frozen=True)
class MissRates:
    """The miss rate of each threshold and setup, between 0 and 1; -1 where nothing is to find."""

    thresholds: tuple[float, ...]
    setups: tuple[str, ...]
    rates: Float64[ndarray, "t a"]

    @property
    def named(self) -> dict[str, float]:
        """MR50_tiny and so on; without a setup those of all objects."""
        return {
            threshold_name("MR", threshold) + ("" if setup == "All" else f"_{setup}"): float(rate)
            for threshold, rates in zip(self.thresholds, self.rates, strict=True)
            for setup, rate in zip(self.setups, rates, strict=True)
        }

    @property
    def table(self) -> str:
        """A line per threshold and a column per setup."""
        lines = (
            [threshold_name("MR", threshold), *map(text, rates.tolist())]
            for threshold, rates in zip(self.thresholds, self.rates, strict=True)
        )
        return aligned([["", *self.setups], *lines])


def miss_rates(
    found: Iterable[SetupCell],
    thresholds: tuple[float, ...],
    setups: Sequence[str],
    images: int,
) -> MissRates:
    """The rates of what `setup_cells` gives.

    Args:
        found: The curves.
        thresholds: As they were given there.
        setups: Their names.
        images: How many were looked at, those without objects and detections included.
    """
    recalls: dict[tuple[int, int], list[ndarray]] = {}
    for part in found:
        if part.cell.curve.positives:
            place = part.cell.threshold, part.cell.bin
            recalls.setdefault(place, []).append(_recalls(part, images))
    rates = np.full((len(thresholds), len(setups)), -1.0)
    for at, of_classes in recalls.items():
        with np.errstate(divide="ignore"):  # nothing missed at one point makes the rate 0
            rates[at] = np.exp(np.log(1 - np.concatenate(of_classes)).mean())
    return MissRates(thresholds, tuple(setups), rates)


def flagged(truth: Annotations) -> Bool[ndarray, "n"]:
    """The rows that the file flags `ignore`; crowds are not, unless it flags them too.

    The published code of miss rates looks at that flag alone.
    """
    both = truth.marks.get(IGNORED_CROWD, np.zeros_like(truth.crowd))
    return np.where(truth.crowd, both, truth.ignore)


def stated_or(
    truth: Annotations, key: str, source: Int64[ndarray, "n"], otherwise: Float64[ndarray, "n"]
) -> Float64[ndarray, "n"]:
    """A measure of the file for its rows `source`; `otherwise` where the file has none."""
    if key not in truth.measures:
        return otherwise
    stated = truth.measures[key][source]
    return np.where(np.isnan(stated), otherwise, stated)


def _recalls(part: SetupCell, images: int) -> Float64[ndarray, "f"]:
    """Recall with so many false detections per image."""
    curve = part.cell.curve
    reached = np.searchsorted(curve.false / images, FALSE_PER_IMAGE, side="right")
    if part.false_first:
        # Where already one is more than allowed, the published code looks up the place -1, which
        # is the end of the curve: it takes the recall of all detections.
        reached = np.where(1 / images > FALSE_PER_IMAGE, len(curve.hits), reached)
    recalls: ndarray = reached / curve.positives
    return recalls


def _outside(values: Float64[ndarray, "n"], limits: tuple[float, float]) -> ndarray:
    return np.logical_or(values < limits[0], values > limits[1])
