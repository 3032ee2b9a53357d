"""All numbers of one evaluation: every threshold, class, size and limit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.order import Objects, Ranked
from tinyscope.evaluation.pairing import Pairs, pair, regular_first
from tinyscope.evaluation.precision import Curve, Tally, curves, tally

COUNTED_SCORES = np.arange(101) / 100
"""Scores at which found, missed and false objects are counted."""


@dataclass(frozen=True)
class Bin:
    """A part of the objects that is scored by itself, such as those of one size.

    `ignored` are the objects that count neither for nor against here; `inside` the detections
    that are false when nothing is there.
    """

    ignored: Bool[ndarray, "n"]
    inside: Bool[ndarray, "d"]


@dataclass(frozen=True)
class Cell:
    """The curve of one class at one threshold, bin and limit; each is given by its position."""

    threshold: int
    label: int
    bin: int
    limit: int
    curve: Curve


@dataclass(frozen=True)
class Scores:
    """Numbers by threshold t, recall r, class k, size a and limit m; -1 where nothing is to find.

    `scores` are those of the detections that reach a recall, 0 where none does. `found` and
    `false` count at `COUNTED_SCORES` and the last limit. `positives` are the objects to find.
    `averages` are the average precisions, where these are no means of `precision`.
    """

    precision: Float64[ndarray, "t r k a m"]
    recall: Float64[ndarray, "t k a m"]
    scores: Float64[ndarray, "t r k a m"]
    found: Int64[ndarray, "t k a s"]
    false: Int64[ndarray, "t k a s"]
    positives: Int64[ndarray, "k a"]
    averages: Float64[ndarray, "t k a m"] | None = None


Match = Callable[[Pairs, Objects, Bool[ndarray, "n"], float], Pairs]
"""Pairs from candidates, objects, which of them are ignored in a bin, and a threshold."""


def greedy(
    candidates: Pairs, objects: Objects, ignored: Bool[ndarray, "n"], threshold: float
) -> Pairs:
    """The best-ranked detection first, each with the free object it overlaps most."""
    return pair(candidates, objects.regions, threshold)


@dataclass(frozen=True)
class Matched:
    """Pairs in one bin at one threshold, and which are with an object that counts there."""

    pairs: Pairs
    hit: Bool[ndarray, "m"]


def cells(
    ranked: Ranked,
    objects: Objects,
    candidates: Pairs,
    bins: Sequence[Bin],
    thresholds: Sequence[float],
    limits: Sequence[int],
    match: Match = greedy,
) -> Iterator[Cell]:
    """The curves of all classes for every threshold, bin and limit, in ascending order."""
    stops = rows_at_scores(ranked)
    for a, part in enumerate(bins):
        matched = matched_in(part, objects, candidates, thresholds, match)
        tallies = (tally(part.inside & (ranked.ranks < limit), stops) for limit in limits)
        positives = to_find(objects, part.ignored, len(stops))
        for m, (limit, counted) in enumerate(zip(limits, tallies, strict=True)):
            yield from cells_of(a, m, limit, ranked, matched, counted, positives)


def matched_in(
    part: Bin,
    objects: Objects,
    candidates: Pairs,
    thresholds: Sequence[float],
    match: Match = greedy,
) -> list[Matched]:
    """The pairs of one bin, for each threshold."""
    ordered = regular_first(candidates, part.ignored)
    every = [match(ordered, objects, part.ignored, threshold) for threshold in thresholds]
    return [Matched(pairs, ~part.ignored[pairs.objects]) for pairs in every]


def to_find(objects: Objects, ignored: Bool[ndarray, "n"], classes: int) -> Int64[ndarray, "k"]:
    """How many objects of each class count."""
    return np.bincount(objects.labels[~ignored], minlength=classes)


def cells_of(
    a: int,
    m: int,
    limit: int,
    ranked: Ranked,
    matched: Sequence[Matched],
    counted: Tally,
    positives: Int64[ndarray, "k"],
) -> Iterator[Cell]:
    """The curves of one bin and limit, which are at the positions `a` and `m`."""
    within = ranked.ranks < limit
    for t, every in enumerate(matched):
        kept = within[every.pairs.detections]
        pairs, hit = every.pairs[kept], every.hit[kept]
        for label, curve in curves(ranked, pairs, hit, counted, positives):
            yield Cell(t, label, a, m, curve)


class Collector:
    """Fills `Scores` from cells; `recalls` are the recalls at which precision is kept."""

    def __init__(
        self,
        ranked: Ranked,
        recalls: Float64[ndarray, "r"],
        shape: tuple[int, int, int, int],
    ) -> None:
        """Shape: the numbers of thresholds, classes, bins and limits."""
        t, k, a, m = shape
        self._ranked = ranked
        self._recalls = recalls
        self._scores = Scores(
            precision=np.full((t, len(recalls), k, a, m), -1.0),
            recall=np.full((t, k, a, m), -1.0),
            scores=np.full((t, len(recalls), k, a, m), -1.0),
            found=np.zeros((t, k, a, len(COUNTED_SCORES)), dtype=np.int64),
            false=np.zeros((t, k, a, len(COUNTED_SCORES)), dtype=np.int64),
            positives=np.zeros((k, a), dtype=np.int64),
        )

    def add(self, cell: Cell) -> None:
        """Enters one cell."""
        curve, into = cell.curve, self._scores
        t, k, a, m = cell.threshold, cell.label, cell.bin, cell.limit
        into.found[t, k, a] = curve.found_at  # the last limit comes last
        into.false[t, k, a] = curve.false_at
        into.positives[k, a] = curve.positives
        if not curve.positives:
            return
        scores = self._ranked.scores[self._ranked.rows(k)]
        precision, hit = curve.interpolated(self._recalls)
        reached = np.append(curve.scores, 0.0)[hit]
        # Recall 0 is reached by the best detection, hit or not.
        reached[self._recalls <= 0] = scores[0] if len(scores) else 0.0
        into.precision[t, :, k, a, m] = precision
        into.scores[t, :, k, a, m] = reached
        into.recall[t, k, a, m] = len(curve.hits) / curve.positives

    def scores(self) -> Scores:
        """What has been entered."""
        return self._scores


def rows_at_scores(ranked: Ranked) -> Int64[ndarray, "k s"]:
    """For each class the row behind the last detection with at least each counted score."""
    classes = len(ranked.starts) - 1
    rows = np.empty((classes, len(COUNTED_SCORES)), dtype=np.int64)
    for label in range(classes):
        scores = -ranked.scores[ranked.rows(label)]
        rows[label] = np.searchsorted(scores, -COUNTED_SCORES, side="right")
    rows += ranked.starts[:-1, None]
    return rows
