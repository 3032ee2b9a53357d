"""Sizes that follow a histogram: drawn from it, or found by the rank of the own size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.scale_match.histogram import SizeHistogram

_TOLERANCE = 1e-6
"""What a sum of probabilities, or an edge, may be short by (published)."""

Draw = Callable[[], float]
"""Gives the next of random numbers even in [0, 1)."""


def drawn_size(histogram: SizeHistogram, draw: Draw) -> float:
    """A size from a bin drawn by its probability, drawn evenly within it; takes two numbers."""
    # Both are drawn first: what the second one means must not depend on the first.
    which, where = draw(), draw()
    found = int(np.searchsorted(histogram.cumulative + _TOLERANCE, which))
    chosen = min(found, len(histogram.probabilities) - 1)
    low, high = histogram.edges[chosen : chosen + 2]
    return float(low + where * (high - low))


@dataclass(frozen=True)
class SizeMap:
    """Takes every size of one distribution to the size of equal rank in another.

    `source` and `target` (b + 1,) are ascending edges of bins that hold equal shares. Between two
    edges the map is linear; sizes beyond the outermost ones go to the outermost targets.
    """

    source: NDArray[np.float64]
    target: NDArray[np.float64]

    def __call__(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sizes (n,) in pixels to sizes (n,) in pixels."""
        last = len(self.source) - 2
        bins = np.minimum(np.searchsorted(self.source[1:] + _TOLERANCE, sizes), last)
        low, width = self.source[bins], self.source[bins + 1] - self.source[bins]
        # A bin without width stands for one size, which goes to the bin's lower edge.
        share = (sizes - low) / np.where(width > 0, width, np.inf)
        start, end = self.target[bins], self.target[bins + 1]
        found: NDArray[np.float64] = start + share.clip(0, 1) * (end - start)
        return found


def monotone_map(sizes: NDArray[np.float64], histogram: SizeHistogram) -> SizeMap:
    """The map that gives objects of these sizes the distribution of the histogram, ranks kept.

    Args:
        sizes: (n,) of the objects of the external set, pixels, in any order.
        histogram: What they shall become.

    Raises:
        ValueError: There are no sizes.

    Source: Monotone Scale Match of Yu et al. 2020, arXiv:1912.10664.
    """
    if not len(sizes):
        raise ValueError("no objects to match: the source has no sizes; there must be at least one")
    ascending = np.sort(sizes.astype(np.float64))
    ranks = (histogram.cumulative * len(ascending)).astype(np.int64)
    ends = ascending[np.minimum(ranks, len(ascending) - 1)]
    ends[-1] = ascending[-1]
    return SizeMap(np.concatenate([ascending[:1], ends]), histogram.edges)
