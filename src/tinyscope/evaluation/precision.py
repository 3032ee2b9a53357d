"""Precision over recall from pairs: the accumulation that all protocols share."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.order import Ranked
from tinyscope.evaluation.pairing import Pairs


@dataclass(frozen=True)
class Curve:
    """One class from the best detection down, seen at every hit: between two hits precision only
    falls and recall stands still, so the hits say all.

    The h hits are rows of the detections; `false` counts the false detections up to each of
    them, a sum of weights where they are false by parts; `overlaps` and `scores` are those of the
    hits; `positives` is the number of objects to be found.
    `found_at` and `false_at` count hits and false detections up to the rows asked for.
    """

    hits: Int64[ndarray, "h"]
    false: Int64[ndarray, "h"] | Float64[ndarray, "h"]
    overlaps: Float64[ndarray, "h"]
    scores: Float64[ndarray, "h"]
    positives: int
    found_at: Int64[ndarray, "s"]
    false_at: Int64[ndarray, "s"]

    @property
    def recall(self) -> Float64[ndarray, "h"]:
        found = np.arange(1.0, len(self.hits) + 1)
        return found / self.positives

    @property
    def precision(self) -> Float64[ndarray, "h"]:
        found = np.arange(1.0, len(self.hits) + 1)
        # The last term has no effect but that all digits equal those of pycocotools.
        precision: ndarray = found / (self.false + found + np.spacing(1.0))
        return precision

    @property
    def best_precision(self) -> Float64[ndarray, "h"]:
        """The best one at the recall of each hit or above."""
        best: ndarray = np.maximum.accumulate(self.precision[::-1])[::-1]
        return best

    @property
    def area(self) -> float:
        """What lies below `best_precision` over all recalls; NaN where nothing is to be found."""
        return float(self.best_precision.sum() / self.positives) if self.positives else np.nan

    def interpolated(
        self, recalls: Float64[ndarray, "r"]
    ) -> tuple[Float64[ndarray, "r"], Int64[ndarray, "r"]]:
        """The best precision at each recall or above, and which hit reaches that recall.

        The precision is 0 and the hit is `len(hits)` where a recall is never reached.
        """
        best = self.best_precision
        hit = np.searchsorted(self.recall, recalls, side="left")
        return np.append(best, 0.0)[hit], hit


@dataclass(frozen=True)
class Tally:
    """Detections that are false unless they are paired, counted.

    `inside` says which rows they are, `before` how many of them stand before each row. `stops` are
    rows of each class to count at, and `at_stops` how many of them stand before these.
    """

    inside: Bool[ndarray, "d"]
    before: Int64[ndarray, "d+1"]
    stops: Int64[ndarray, "k s"]
    at_stops: Int64[ndarray, "k s"]


def tally(inside: Bool[ndarray, "d"], stops: Int64[ndarray, "k s"]) -> Tally:
    """The tally of rows that are all there is."""
    before = counting(inside)
    return Tally(inside, before, stops, before[stops])


def counting(inside: Bool[ndarray, "d"]) -> Int64[ndarray, "d+1"]:
    """How many rows that count stand before each."""
    before = np.zeros(len(inside) + 1, dtype=np.int64)
    np.cumsum(inside, out=before[1:])
    return before


def curves(
    ranked: Ranked,
    pairs: Pairs,
    hit: Bool[ndarray, "m"],
    counted: Tally,
    positives: Int64[ndarray, "k"],
) -> Iterator[tuple[int, Curve]]:
    """The curve of every class, also where nothing is to be found.

    Args:
        ranked: Detections; those that are in no pair may be missing, if `counted` knows of them.
        pairs: Those that are paired with an object.
        hit: Which pairs are with an object that counts; the other ones count neither way.
        counted: All detections, the missing ones too.
        positives: Objects to be found per class.
    """
    # False before a row: all that count before it, less those of them that are paired.
    rows = pairs.detections
    inside = counted.inside[rows]
    paired = counting(inside)
    found = counting(hit)
    bounds = np.searchsorted(rows, ranked.starts)
    offsets = counted.before[ranked.starts] - paired[bounds]
    false = counted.before[rows] + inside - paired[1:]
    reached = np.searchsorted(rows, counted.stops)
    false_at = counted.at_stops - paired[reached] - offsets[:-1, None]
    found_at = found[reached] - found[bounds[:-1], None]
    for label in range(len(positives)):
        own = slice(bounds[label], bounds[label + 1])
        hits = hit[own]
        places = rows[own][hits]
        yield (
            label,
            Curve(
                hits=places,
                false=false[own][hits] - offsets[label],
                overlaps=pairs.overlaps[own][hits],
                scores=ranked.scores[places],
                positives=int(positives[label]),
                found_at=found_at[label],
                false_at=false_at[label],
            ),
        )
