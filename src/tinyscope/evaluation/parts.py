"""Scoring some images at a time, so that memory does not grow with the detections.

Of the detections only those matter one by one that are paired with an object at some threshold
and size. Of the others it is enough to know how many lie between two of these. So the parts are
gone through twice: to pair, which leaves few detections, and to count all others into the gaps
between them. The numbers are those of scoring all at once, to the last bit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tinyscope.evaluation.gaps import Gaps, best_first
from tinyscope.evaluation.order import Objects, Ranked, rank_detections
from tinyscope.evaluation.pairing import ALWAYS_ENOUGH, Pairs, candidates
from tinyscope.evaluation.scores import Bin, Cell, Matched, cells_of, matched_in, to_find
from tinyscope.formats.store import ROWS_IN_PART, DetectionStore
from tinyscope.formats.tables import Annotations, DetectionTable

Found = DetectionTable | DetectionStore
"""Detections in memory or on disk."""

Parts = Callable[[], Iterator[DetectionTable]]
"""The detections of some images at a time, no image in two parts; to be called more than once."""

BinOf = Callable[[Objects, Ranked], Bin]
"""A bin of some objects and detections, such as those of one size."""


def parts_of(found: Found, rows: int = ROWS_IN_PART) -> Parts:
    """The parts in which detections are scored: one if there are few, else of about `rows` each."""
    if isinstance(found, DetectionStore):
        return found.parts
    if len(found) <= 2 * rows:
        return lambda: iter([found])
    order = np.argsort(found.images, kind="stable")
    images = found.images[order]
    # A part ends where an image does.
    cuts = np.unique(np.searchsorted(images, images[rows::rows]))
    return lambda: (found[part] for part in np.split(order, cuts[cuts > 0]))


def cells_in_parts(
    parts: Parts,
    truth: Annotations,
    objects: Objects,
    bins: Sequence[BinOf],
    thresholds: Sequence[float],
    limits: Sequence[int],
) -> tuple[Ranked, Iterator[Cell]]:
    """The detections that matter one by one, and the curves that `cells` gives of all.

    Args:
        parts: Detections.
        truth: What `objects` are made from.
        objects: In order.
        bins: What is scored by itself.
        thresholds: IoUs from which on a detection has found an object.
        limits: Detections per image and class that count, ascending.
    """
    left = []
    for part in parts():
        every = rank_detections(part, truth, limits[-1])
        left.append(_pair(every, truth, objects, bins, thresholds))
    ranked, matched = _joined(left)
    none = objects.take(np.zeros(0, dtype=np.int64))
    gaps = Gaps(ranked, len(truth), limits, len(bins))
    again = (rank_detections(part, truth, limits[-1]) for part in parts())
    for part_of_all in [every] if len(left) == 1 else again:
        gaps.add(part_of_all, [bin_of(none, part_of_all).inside for bin_of in bins])
    return ranked, _cells(ranked, objects, bins, matched, gaps, limits)


@dataclass(frozen=True)
class Left:
    """What pairing leaves of a part: the detections that matter, and the pairs of each bin and
    threshold. The objects in these are not those of all parts."""

    ranked: Ranked
    matched: list[list[Matched]]


def _pair(
    ranked: Ranked,
    truth: Annotations,
    objects: Objects,
    bins: Sequence[BinOf],
    thresholds: Sequence[float],
) -> Left:
    held = np.zeros(len(truth), dtype=np.bool_)
    held[ranked.groups % len(truth)] = True
    near = objects.take(np.flatnonzero(held[objects.groups % len(truth)]))
    close = candidates(ranked, near, min(*thresholds, ALWAYS_ENOUGH))
    matched = [matched_in(bin_of(near, ranked), near, close, thresholds) for bin_of in bins]
    # The best of each class as well: it tells the score of recall 0.
    matters = np.zeros(len(ranked) + 1, dtype=np.bool_)
    matters[ranked.starts[:-1]] = True
    for of_bin in matched:
        for every in of_bin:
            matters[every.pairs.detections] = True
    rows = np.flatnonzero(matters[:-1])
    place = np.cumsum(matters) - 1
    return Left(
        ranked.take(rows, ranked.groups[rows] // len(truth)),
        [[_moved(every, place[every.pairs.detections]) for every in row] for row in matched],
    )


def _joined(left: Sequence[Left]) -> tuple[Ranked, list[list[Matched]]]:
    """All that matters in one order, and all pairs."""
    ranked, place = best_first([part.ranked for part in left])
    begins = np.cumsum([0, *(len(part.ranked) for part in left)]).tolist()
    together = [
        [
            _concatenated(
                [
                    _moved(every, place[begin + every.pairs.detections])
                    for begin, every in zip(begins[:-1], of_parts, strict=True)
                ]
            )
            for of_parts in zip(*of_bin, strict=True)
        ]
        for of_bin in zip(*(part.matched for part in left), strict=True)
    ]
    return ranked, together


def _moved(every: Matched, rows: Int64[ndarray, "m"]) -> Matched:
    """The same pairs, their detections in other rows."""
    return Matched(Pairs(rows, every.pairs.objects, every.pairs.overlaps), every.hit)


def _concatenated(parts: Sequence[Matched]) -> Matched:
    rows = np.concatenate([part.pairs.detections for part in parts])
    order = np.argsort(rows)
    return Matched(
        Pairs(
            rows[order],
            np.concatenate([part.pairs.objects for part in parts])[order],
            np.concatenate([part.pairs.overlaps for part in parts])[order],
        ),
        np.concatenate([part.hit for part in parts])[order],
    )


def _cells(
    ranked: Ranked,
    objects: Objects,
    bins: Sequence[BinOf],
    matched: Sequence[Sequence[Matched]],
    gaps: Gaps,
    limits: Sequence[int],
) -> Iterator[Cell]:
    for a, (bin_of, of_bin) in enumerate(zip(bins, matched, strict=True)):
        part = bin_of(objects, ranked)
        positives = to_find(objects, part.ignored, len(ranked.starts) - 1)
        for m, limit in enumerate(limits):
            counted = gaps.tally(a, m, part.inside & (ranked.ranks < limit))
            yield from cells_of(a, m, limit, ranked, of_bin, counted, positives)
