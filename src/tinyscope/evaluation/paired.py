"""What pairing leaves of detections that are looked at in parts: few rows, and their pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64
from numpy import ndarray

from tinyscope.evaluation.gaps import best_first
from tinyscope.evaluation.order import Objects, Ranked
from tinyscope.evaluation.pairing import ALWAYS_ENOUGH, Pairs, candidates
from tinyscope.evaluation.scores import Bin, Matched, matched_in

BinOf = Callable[[Objects, Ranked], Bin]
"""A bin of some objects and detections, such as those of one size."""


@dataclass(frozen=True)
class Kept:
    """The pairs of one part in one bin at one threshold, in as few bytes as will do: with all
    bins and thresholds there are many times as many as objects.

    `detections` count from the first row that is left of all parts.
    """

    detections: Int32[ndarray, "m"]
    objects: Int32[ndarray, "m"]
    overlaps: Float64[ndarray, "m"]
    hit: Bool[ndarray, "m"]


class Paired:
    """Detections of several parts that matter one by one, and their pairs.

    Those are all that are in a pair, and the best of each class, whose score is that of recall 0.
    """

    def __init__(self, bins: int, thresholds: int) -> None:
        """How many bins and thresholds there are."""
        self._left: list[Ranked] = []
        self._rows = 0
        self._kept: list[list[list[Kept]]] = [[[] for _ in range(thresholds)] for _ in range(bins)]
        self._place = np.zeros(0, dtype=np.int64)

    @property
    def parts(self) -> int:
        """How many were added."""
        return len(self._left)

    def add(
        self,
        ranked: Ranked,
        near: Objects,
        rows: Int64[ndarray, "r"],
        bins: Sequence[BinOf],
        thresholds: Sequence[float],
    ) -> None:
        """Pairs the detections of a part.

        Args:
            ranked: All detections of some images.
            near: The objects in these.
            rows: Theirs among all objects.
            bins: What is scored by itself.
            thresholds: IoUs from which on a detection has found an object.
        """
        close = candidates(ranked, near, min(*thresholds, ALWAYS_ENOUGH))
        matched = [
            [_that_count(every, part) for every in matched_in(part, near, close, thresholds)]
            for part in (bin_of(near, ranked) for bin_of in bins)
        ]
        matters = np.zeros(len(ranked) + 1, dtype=np.bool_)  # classes may start behind the last
        matters[ranked.starts[:-1]] = True
        for of_bin in matched:
            for every in of_bin:
                matters[every.pairs.detections] = True
        place = np.cumsum(matters) - 1 + self._rows
        left = np.flatnonzero(matters[:-1])
        for kept, of_bin in zip(self._kept, matched, strict=True):
            for into, every in zip(kept, of_bin, strict=True):
                pairs = every.pairs
                into.append(
                    Kept(
                        place[pairs.detections].astype(np.int32),
                        rows[pairs.objects].astype(np.int32),
                        pairs.overlaps,
                        every.hit,
                    )
                )
        self._left.append(ranked.take(left, ranked.labels[left]))
        self._rows += len(left)

    def join(self) -> Ranked:
        """The detections that matter of all parts, in order."""
        ranked, self._place = best_first(self._left)
        return ranked

    def matched(self, a: int) -> list[Matched]:
        """The pairs of bin `a` for each threshold, with the rows of what `join` gave."""
        return [self._joined(parts) for parts in self._kept[a]]

    def _joined(self, parts: Sequence[Kept]) -> Matched:
        rows = self._place[np.concatenate([part.detections for part in parts])]
        order = np.argsort(rows)
        objects = np.concatenate([part.objects for part in parts])[order]
        overlaps = np.concatenate([part.overlaps for part in parts])[order]
        hit = np.concatenate([part.hit for part in parts])[order]
        return Matched(Pairs(rows[order], objects.astype(np.int64), overlaps), hit)


def _that_count(every: Matched, part: Bin) -> Matched:
    """Without the pairs that change nothing: with an ignored object, of a detection that would be
    no fault without it. Most pairs with objects of other sizes are such."""
    kept = every.hit | part.inside[every.pairs.detections]
    return Matched(every.pairs[kept], every.hit[kept])
