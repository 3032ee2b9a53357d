"""How large the objects of a data set are, as a histogram that others can be matched to."""

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

BINS = 100
"""Bins of the published histograms."""

_QUANTILES = 10_000


@dataclass(frozen=True)
class SizeHistogram:
    """Shares of objects between neighboring sizes.

    `probabilities` (b,) add up to 1; `edges` (b + 1,) are pixels, positive and ascending, where
    neighbors may be equal.

    Raises:
        ValueError: They are not.
    """

    probabilities: NDArray[np.float64]
    edges: NDArray[np.float64]

    def __post_init__(self) -> None:
        shares, edges = self.probabilities, self.edges
        if not len(shares) or len(edges) != len(shares) + 1:
            raise ValueError(
                "a histogram of sizes must have one edge more than bins, and at least one bin; "
                f"got {len(edges)} edges and {len(shares)} bins"
            )
        if not (np.isfinite(edges).all() and edges[0] > 0 and (np.diff(edges) >= 0).all()):
            raise ValueError("edges of sizes must be positive, finite and ascending")
        if not (np.isfinite(shares).all() and (shares >= 0).all()):
            raise ValueError("probabilities of sizes must not be negative, and finite")
        if abs(float(shares.sum()) - 1) > 1e-6:
            raise ValueError(f"probabilities of sizes must add up to 1, got {shares.sum():g}")

    @cached_property
    def cumulative(self) -> NDArray[np.float64]:
        """(b,) share of the objects up to the end of each bin."""
        shares: NDArray[np.float64] = np.cumsum(self.probabilities)
        return shares

    def quantiles(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sizes that these shares of the objects stay below."""
        return np.interp(shares, np.concatenate([[0.0], self.cumulative]), self.edges)


def size_histogram(
    sizes: NDArray[np.float64],
    *,
    bins: int = BINS,
    tails: float | None = None,
    logarithmic: bool = False,
) -> SizeHistogram:
    """The histogram of sizes with one bin for each tail and even ones between them.

    A few huge objects would stretch even bins so far that most objects share one. So the
    smallest and the largest `tails / 2` of the objects have a bin each.

    Args:
        sizes: (n,) pixels, positive, in any order.
        bins: How many, tails included.
        tails: Share of the objects in both tails together; 0 makes all bins even. None is the
            published 2 / bins.
        logarithmic: Whether bins are even on a log scale.

    Raises:
        ValueError: There are no sizes, one is not positive, or the bins are too few.

    Source: Yu et al. 2020, arXiv:1912.10664, and the code published with it, whose cuts of
    products to whole numbers are kept.
    """
    tails = 2 / bins if tails is None else tails
    if bins < (3 if tails else 1):
        raise ValueError(f"bins must be at least 3, or 1 without tails, got {bins}")
    if not 0 <= tails < 1:
        raise ValueError(f"tails must be a share from 0 to below 1, got {tails}")
    if not len(sizes):
        raise ValueError("a histogram of no objects has no mass; there must be at least one")
    values = np.sort(sizes.astype(np.float64))
    if not (np.isfinite(values).all() and values[0] > 0):
        raise ValueError(f"sizes must be positive and finite, got {values[0]:g}..{values[-1]:g}")
    if logarithmic:
        values = np.log(values)
    count = len(values)
    if tails:
        # The product may fall just below a whole number and lose one object to the middle.
        head, tail = int(count * tails / 2), int(count * (1 - tails / 2))
        counts, between = _even_bins(values[head:tail], bins - 2, values)
        counts = np.concatenate([[head], counts, [count - tail]])
        edges = np.concatenate([values[:1], between, values[-1:]])
    else:
        counts, edges = _even_bins(values, bins, values)
    return SizeHistogram(counts / count, np.exp(edges) if logarithmic else edges)


def log_normal_histogram(mean: float, deviation: float, bins: int = BINS) -> SizeHistogram:
    """The histogram of a log-normal distribution, for a set known by two published numbers.

    Args:
        mean: Of the sizes, pixels.
        deviation: Standard deviation of the sizes, pixels.
        bins: As of `size_histogram`.

    Raises:
        ValueError: A number is not positive.
    """
    if not (mean > 0 and deviation > 0):
        raise ValueError(
            f"mean and deviation of sizes must be positive, got {mean:g} and {deviation:g}"
        )
    spread = log(1 + (deviation / mean) ** 2)
    normal = NormalDist(log(mean) - spread / 2, spread**0.5)
    # Evenly spaced quantiles stand for the objects, so that nothing is drawn.
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    sizes = np.array([exp(normal.inv_cdf(share)) for share in shares])
    # Bins for the tails would be so wide that sizes within them are far from log-normal.
    return size_histogram(sizes, bins=bins, tails=0.0, logarithmic=True)


def _even_bins(
    values: NDArray[np.float64], bins: int, everything: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts and edges of bins of equal width from the first to the last of ascending values."""
    low, high = (values if len(values) else everything)[[0, -1]]
    if low == high:
        # numpy would widen the range by half a pixel to either side, past the neighbors.
        return np.eye(1, bins)[0] * len(values), np.full(bins + 1, low)
    counts, edges = np.histogram(values, bins, (low, high))
    return counts.astype(np.float64), edges
