"""Which detection answers for which object: the greedy matching that all protocols share.

From the best detection down, each takes the free object that it overlaps most. Here it runs for
all images and classes at once: every detection asks for the object it likes best, an object
keeps the best-ranked of those that ask, and the refused ask on. As all objects prefer
detections in the same order, this ends in the pairs that the greedy loop makes (Gale and
Shapley 1962), in as many rounds as the longest chain of refusals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.order import Objects, Ranked

ALWAYS_ENOUGH = 1 - 1e-10
"""An overlap that suffices for every threshold, 1 included; as in pycocotools."""

_PAIRS_AT_ONCE = 1 << 18  # bounds the memory of comparing all detections with all objects
_MARGIN = 1.0  # pixels, far above what adding coordinates rounds


@dataclass(frozen=True)
class Pairs:
    """Rows of detections and of objects that belong together, sorted by detection."""

    detections: Int64[ndarray, "m"]
    objects: Int64[ndarray, "m"]
    overlaps: Float64[ndarray, "m"]

    def __len__(self) -> int:
        return len(self.detections)

    def __getitem__(self, rows: ndarray) -> "Pairs":
        return Pairs(self.detections[rows], self.objects[rows], self.overlaps[rows])


def no_pairs() -> Pairs:
    """No pair at all."""
    return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


Measure = Callable[
    [Float64[ndarray, "p"], Float64[ndarray, "p"], Objects, Int64[ndarray, "p"]],
    Float64[ndarray, "p"],
]
"""Overlap from intersections, detections' extents, objects and their rows."""


def intersection_over_union(
    shared: Float64[ndarray, "p"],
    extents: Float64[ndarray, "p"],
    objects: Objects,
    rows: Int64[ndarray, "p"],
) -> Float64[ndarray, "p"]:
    """IoU; for regions the share of the detection that they cover."""
    union = np.where(objects.regions[rows], extents, extents + objects.extents[rows] - shared)
    return shared / union


def candidates(
    ranked: Ranked,
    objects: Objects,
    minimum: float,
    measure: Measure = intersection_over_union,
) -> Pairs:
    """All pairs within one image and class that overlap at least `minimum`, above 0.

    The pairs of one detection stand together, the largest overlap first, of equal ones the
    object that comes last in the file.
    """
    assert minimum > 0, minimum
    return by_preference(_all_pairs(ranked, objects, minimum, measure))


def touching(ranked: Ranked, objects: Objects) -> Pairs:
    """All pairs within one image and class that share any area, in no order.

    Their `overlaps` are the areas that they share, in square pixels: `measured` makes overlaps
    of them, for protocols that measure the same pairs in several ways.
    """
    return _all_pairs(ranked, objects, 0.0, _shared_area)


def measured(
    pairs: Pairs,
    ranked: Ranked,
    objects: Objects,
    minimum: float,
    measure: Measure = intersection_over_union,
) -> Pairs:
    """Those of the touching pairs that overlap at least `minimum`, in the same order."""
    overlaps = measure(pairs.overlaps, ranked.extents[pairs.detections], objects, pairs.objects)
    near = overlaps >= minimum
    return Pairs(pairs.detections[near], pairs.objects[near], overlaps[near])


def by_preference(pairs: Pairs) -> Pairs:
    """The pairs of one detection together, the largest overlap first, then the last object."""
    return pairs[np.lexsort((-pairs.objects, -pairs.overlaps, pairs.detections))]


def regular_first(pairs: Pairs, ignored: Bool[ndarray, "n"]) -> Pairs:
    """The same candidates, each detection's ignored objects behind its other ones."""
    last = ignored[pairs.objects]
    if not last.any():
        return pairs
    return pairs[np.argsort(2 * pairs.detections + last, kind="stable")]


def starts_of_detections(pairs: Pairs) -> Bool[ndarray, "m"]:
    """The first pair of each detection; those of one stand together."""
    first = np.ones(len(pairs), dtype=np.bool_)
    first[1:] = pairs.detections[1:] != pairs.detections[:-1]
    return first


def pair(pairs: Pairs, regions: Bool[ndarray, "n"], threshold: float) -> Pairs:
    """One pair at most for every detection, and for every object that is no region.

    Args:
        pairs: Candidates; the pairs of one detection in the order of its preference.
        regions: Objects that any number of detections may be paired with.
        threshold: Least overlap, unless it is above `ALWAYS_ENOUGH`.
    """
    return first_free(pairs[pairs.overlaps >= min(threshold, ALWAYS_ENOUGH)], regions)


def first_free(pairs: Pairs, regions: Bool[ndarray, "n"]) -> Pairs:
    """The same among pairs that all overlap enough."""
    # Of each detection: the pair it asks for now.
    choice = np.flatnonzero(starts_of_detections(pairs))
    end = np.append(choice[1:], len(pairs))
    nobody = len(choice)
    holder = np.full(len(regions), nobody, dtype=np.int64)
    asking = np.arange(len(choice))
    while len(asking):
        wanted = pairs.objects[choice[asking]]
        before = holder[wanted]
        np.minimum.at(holder, wanted, asking)
        shared = regions[wanted]
        kept = (holder[wanted] == asking) | shared
        ousted = before[kept & ~shared & (before < nobody)]
        refused = np.concatenate([asking[~kept], ousted])
        choice[refused] += 1
        asking = refused[choice[refused] < end[refused]]
    return pairs[choice[choice < end]]


def _all_pairs(ranked: Ranked, objects: Objects, minimum: float, measure: Measure) -> Pairs:
    parts = [
        _overlapping(ranked, objects, detections, rows, minimum, measure)
        for detections, rows in _neighbors(ranked, objects)
    ]
    if not parts:
        return no_pairs()
    return Pairs(
        np.concatenate([p.detections for p in parts]),
        np.concatenate([p.objects for p in parts]),
        np.concatenate([p.overlaps for p in parts]),
    )


def _shared_area(
    shared: Float64[ndarray, "p"],
    extents: Float64[ndarray, "p"],
    objects: Objects,
    rows: Int64[ndarray, "p"],
) -> Float64[ndarray, "p"]:
    return shared


def _neighbors(
    ranked: Ranked, objects: Objects
) -> Iterator[tuple[Int64[ndarray, "p"], Int64[ndarray, "p"]]]:
    """Rows of detections and objects that share image, class and perhaps a column of pixels.

    They come in pieces. The groups are laid side by side along x, so that the objects that start
    where a detection may meet them are found by bisection.
    """
    if not len(objects):
        return
    groups, group = np.unique(objects.groups, return_inverse=True)
    left, right = objects.boxes[:, 0], objects.boxes[:, 2]
    low, high = left.min(), left.max()
    widest = np.zeros(len(groups))
    np.maximum.at(widest, group, right - left)
    stretch = high - low + 4 * _MARGIN
    along = group * stretch + left
    order = np.argsort(along)
    along = along[order]

    place = np.minimum(np.searchsorted(groups, ranked.groups), len(groups) - 1)
    detections = np.flatnonzero(groups[place] == ranked.groups)
    place = place[detections]
    from_x = np.clip(ranked.boxes[detections, 0] - widest[place], low, high) - _MARGIN
    to_x = np.clip(ranked.boxes[detections, 2], low, high) + _MARGIN
    starts = np.searchsorted(along, place * stretch + from_x)
    counts = np.searchsorted(along, place * stretch + to_x) - starts
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(0, total, _PAIRS_AT_ONCE), side="right")
    for begin, end in pairwise(np.unique(np.append(cuts, len(detections)))):
        lengths = counts[begin:end]
        first = starts[begin:end] - (np.cumsum(lengths) - lengths)
        rows = np.repeat(first, lengths)
        rows += np.arange(len(rows))
        yield np.repeat(detections[begin:end], lengths), order[rows]


def _overlapping(
    ranked: Ranked,
    objects: Objects,
    detections: Int64[ndarray, "p"],
    rows: Int64[ndarray, "p"],
    minimum: float,
    measure: Measure,
) -> Pairs:
    shared = np.ones(len(rows))
    for axis in (0, 1):  # most pairs do not even share a column of pixels: drop them early
        low = np.maximum(ranked.boxes[detections, axis], objects.boxes[rows, axis])
        high = np.minimum(ranked.boxes[detections, axis + 2], objects.boxes[rows, axis + 2])
        length = high - low
        near = length > 0
        detections, rows = detections[near], rows[near]
        shared = shared[near] * length[near]
    overlaps = measure(shared, ranked.extents[detections], objects, rows)
    return Pairs(detections, rows, overlaps)[overlaps >= minimum]
