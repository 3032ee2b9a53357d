"""Detections that lie in what is ignored: what TinyPerson's evaluators add to greedy matching.

A small detection inside a large ignored region has a small IoU with it and would be false. So
a detection that greedy matching leaves without an object goes to the ignored object that covers
it most, however many are there already (Yu et al. 2020, arXiv:1912.10664, and its evaluator).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.order import Objects, Ranked
from tinyscope.evaluation.pairing import (
    ALWAYS_ENOUGH,
    Pairs,
    first_free,
    intersection_over_union,
    measured,
    starts_of_detections,
)


@dataclass(frozen=True)
class GreedyThenCovered:
    """Greedy matching, where a detection left over goes to what is ignored and covers it.

    Args:
        covers: What `covering` gives.
        bar: Least cover for a threshold of IoU.
        lost: Objects whose detection counts as one that has found nothing, unless the object is
            ignored. In the published evaluators that is the object with the id 0: they note
            matches by ids, in a matrix where 0 means none.
    """

    covers: Pairs
    bar: Callable[[float], float]
    lost: Int64[ndarray, "u"]

    def __call__(
        self, candidates: Pairs, objects: Objects, ignored: Bool[ndarray, "n"], threshold: float
    ) -> Pairs:
        near = candidates[candidates.overlaps >= min(threshold, ALWAYS_ENOUGH)]
        covers = _best(self.covers, ignored, self.bar(threshold))
        # What covers a detection is the last that it asks for. Where it is free it is taken, so
        # that nothing after it gets it by IoU; where it is not, that is no refusal.
        pairs = first_free(_behind(near, covers), objects.regions)
        served = np.isin(covers.detections, pairs.detections)
        pairs = _behind(pairs, covers[~served])
        kept = ~np.isin(pairs.objects, self.lost) | ignored[pairs.objects]
        return pairs[kept]


def covering(touching: Pairs, ranked: Ranked, objects: Objects, minimum: float) -> Pairs:
    """Pairs whose object covers at least `minimum` of the detection.

    The pairs of one detection stand together, the largest cover first, of equal ones the object
    that comes first in the file.
    """
    pairs = measured(touching, ranked, objects, minimum, intersection_over_detection)
    return pairs[np.lexsort((pairs.objects, -pairs.overlaps, pairs.detections))]


def intersection_over_detection(
    shared: Float64[ndarray, "p"],
    extents: Float64[ndarray, "p"],
    objects: Objects,
    rows: Int64[ndarray, "p"],
) -> Float64[ndarray, "p"]:
    """Share of the detection that an object covers, as the published evaluators compute it.

    They make it from the IoU and the object's area in the file, so it is another number where
    that area is not width times height. For regions, whose overlap is that share already, it is
    no share at all: it grows with the region's area, and a touch of a large one gives more than 1.
    """
    overlaps = intersection_over_union(shared, extents, objects, rows)
    shares: ndarray = overlaps / (1 + overlaps) * (1 + objects.areas[rows] / extents)
    return shares


def _best(covers: Pairs, ignored: Bool[ndarray, "n"], bar: float) -> Pairs:
    """Each detection with the ignored object that covers it most, if that is enough."""
    covers = covers[ignored[covers.objects]]
    covers = covers[starts_of_detections(covers)]
    return covers[covers.overlaps >= bar]


def _behind(pairs: Pairs, others: Pairs) -> Pairs:
    """All pairs by detection; of each detection those of `others` last."""
    detections = np.concatenate([pairs.detections, others.detections])
    order = np.argsort(detections, kind="stable")
    return Pairs(
        detections[order],
        np.concatenate([pairs.objects, others.objects])[order],
        np.concatenate([pairs.overlaps, others.overlaps])[order],
    )
