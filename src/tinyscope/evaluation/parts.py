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

from tinyscope.evaluation.gaps import Gaps
from tinyscope.evaluation.order import Objects, Ranked, rank_detections
from tinyscope.evaluation.paired import BinOf, Paired
from tinyscope.evaluation.scores import Cell, cells_of, to_find
from tinyscope.formats.store import ROWS_IN_PART, DetectionStore
from tinyscope.formats.tables import Annotations, DetectionTable

Parts = Callable[[], Iterator[DetectionTable]]
"""The detections of some images at a time, no image in two parts; to be called more than once."""


@dataclass(frozen=True)
class Selected:
    """Some of other detections, chosen anew whenever they are asked for; `count` is how many."""

    parts: Parts
    count: int

    def __len__(self) -> int:
        return self.count


Found = DetectionTable | DetectionStore | Selected
"""Detections in memory, on disk, or chosen from these."""


def parts_of(found: Found, rows: int = ROWS_IN_PART) -> Parts:
    """The parts in which detections are scored: one if there are few, else of about `rows` each."""
    if not isinstance(found, DetectionTable):
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
    paired = Paired(len(bins), len(thresholds))
    for part in parts():
        every = rank_detections(part, truth, limits[-1])
        paired.add(every, *objects_near(every, objects, len(truth)), bins, thresholds)
    ranked = paired.join()
    none = objects.take(np.zeros(0, dtype=np.int64))
    gaps = Gaps(ranked, len(truth), limits, len(bins))
    again = (rank_detections(part, truth, limits[-1]) for part in parts())
    for part_of_all in [every] if paired.parts == 1 else again:
        gaps.add(part_of_all, [bin_of(none, part_of_all).inside for bin_of in bins])
    return ranked, _cells(ranked, objects, bins, paired, gaps, limits)


def objects_near(
    ranked: Ranked, objects: Objects, images: int
) -> tuple[Objects, Int64[ndarray, "r"]]:
    """The objects in the images of some detections, and which rows they are."""
    held = np.zeros(images, dtype=np.bool_)
    held[ranked.groups % images] = True
    rows = np.flatnonzero(held[objects.groups % images])
    return objects.take(rows), rows


def _cells(
    ranked: Ranked,
    objects: Objects,
    bins: Sequence[BinOf],
    paired: Paired,
    gaps: Gaps,
    limits: Sequence[int],
) -> Iterator[Cell]:
    for a, bin_of in enumerate(bins):
        part, matched = bin_of(objects, ranked), paired.matched(a)
        positives = to_find(objects, part.ignored, len(ranked.starts) - 1)
        for m, limit in enumerate(limits):
            counted = gaps.tally(a, m, part.inside & (ranked.ranks < limit))
            yield from cells_of(a, m, limit, ranked, matched, counted, positives)
