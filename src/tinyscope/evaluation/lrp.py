"""The optimal localization recall precision error (Oksuz et al. 2018, arXiv:1807.01696).

One number for how far boxes are off, how many are false and how many objects are missed. At a
score, of the detections from there up, and of the objects that they leave:

    error = (sum of (1 - IoU) of the hits / (1 - threshold) + false + missed)
            / (hits + false + missed)

The optimal error is the least one over all scores. It is 0 when all is found exactly, 1 when
nothing is found; less is better.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from tinyscope.evaluation.precision import Curve
from tinyscope.evaluation.scores import Cell

ERRORS = ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "oLRP_score")
"""The least error; at its score: mean 1 - IoU of the hits, share of the detections that is false,
share of the objects that is missed; and that score."""


@dataclass(frozen=True)
class OptimalError:
    """The least error of one class and how it comes about; NaN where there is no hit."""

    error: float
    loc: float
    fp: float
    fn: float
    score: float


NOTHING_FOUND = OptimalError(1.0, np.nan, np.nan, 1.0, np.nan)
NOTHING_TO_FIND = OptimalError(-1.0, -1.0, -1.0, -1.0, -1.0)


def optimal_error(curve: Curve, threshold: float) -> OptimalError:
    """The least error over the scores of one class.

    Args:
        curve: Of one class, matched at `threshold`.
        threshold: The IoU from which on a detection has found an object, below 1.
    """
    if not curve.positives:
        return NOTHING_TO_FIND
    if not len(curve.hits):
        return NOTHING_FOUND
    # The error falls or stays at a hit and grows or stays at a false one, so hits say all but one
    # thing: where no hit gains anything, the first minimum is at a false one before them.
    found = np.arange(1.0, len(curve.hits) + 1)
    off = np.cumsum(1 - curve.overlaps)
    missed = curve.positives - found
    errors = (off / (1 - threshold) + curve.false + missed) / (found + curve.false + missed)
    best = int(np.argmin(errors))
    if errors[best] >= 1 and curve.false[0]:
        return NOTHING_FOUND
    return OptimalError(
        error=float(errors[best]),
        loc=float(off[best] / found[best]),
        fp=float(curve.false[best] / (curve.false[best] + found[best])),
        fn=float(missed[best] / curve.positives),
        score=float(curve.scores[best]),
    )


class OptimalErrors:
    """Collects the errors of all classes and sizes from cells as they pass by.

    Of the cells, those of the first threshold and the last limit count.
    """

    def __init__(self, threshold: float, classes: int, sizes: int, limits: int) -> None:
        """The first threshold, and how many classes, sizes and limits there are."""
        self._threshold = threshold
        self._limit = limits - 1
        self._tables = np.full((len(ERRORS), classes, sizes), -1.0)

    def add(self, cell: Cell) -> None:
        """Looks at one cell."""
        if cell.threshold == 0 and cell.limit == self._limit:
            found = optimal_error(cell.curve, self._threshold)
            column = found.error, found.loc, found.fp, found.fn, found.score
            self._tables[:, cell.label, cell.bin] = column

    @property
    def figures(self) -> Mapping[str, Float64[ndarray, "k a"]]:
        """Each of `ERRORS` by class and size; -1 where nothing is to be found."""
        return dict(zip(ERRORS, self._tables, strict=True))
