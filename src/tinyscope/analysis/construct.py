"""Depths of a bottom-heavy network: as costly as an ordinary one, but deep where maps are fine.

The rule is ours. The paper that it follows (Ning et al. 2023, arXiv:2303.11267) asks for more
layers before the map is halved a third time, fewer after it, and an equal cost. That leaves
hundreds of networks, since a further block costs nearly the same in every stage, and its own
BH-ResNet-50 grew where it should have shrunk: what grew is what works at stride 8 or less. The
rule says which of them to take, and takes the paper's (7, 6, 2, 1) for ResNet-50.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from tinyscope.analysis.stage_costs import StageCosts
from tinyscope.errors import SettingsError

Numbers = NDArray[np.int64]
MOST = 2_000_000
"""Networks that are compared at most; these take a second and 100 MB."""


@dataclass(frozen=True)
class Candidate:
    """Depths within the budget.

    `deviation` is that of `operations` from the budget, as a fraction of it; `tier` is 1, 2, 3 as
    `tiers_of` says, or None.
    """

    depths: tuple[int, ...]
    operations: int
    deviation: float
    tier: int | None


@dataclass(frozen=True, eq=False)
class Construction:
    """All depths within the budget, and which of them are best.

    `depths` (n, stages) stand in the order of their numbers, with their `operations` (n,) and
    `tiers` (n,), 0 where there is none. `ranked` are the rows of the best tier, best first.
    """

    budget: int
    depths: Numbers
    operations: Numbers
    tiers: Numbers
    ranked: Numbers

    def candidate(self, row: int) -> Candidate:
        """A row of `depths`."""
        cost = int(self.operations[row])
        tier = int(self.tiers[row]) or None
        return Candidate(tuple(self.depths[row].tolist()), cost, cost / self.budget - 1, tier)

    @property
    def chosen(self) -> Candidate:
        """The best."""
        return self.candidate(int(self.ranked[0]))

    def runners_up(self, count: int) -> tuple[Candidate, ...]:
        """The next ones of the same tier, from second best down."""
        return tuple(self.candidate(int(row)) for row in self.ranked[1 : count + 1])


def bottom_heavy_depths(
    costs: StageCosts,
    ordinary: Sequence[int | float],
    budget: int,
    *,
    tolerance: float = 0.01,
    early: int = 2,
) -> Construction:
    """Depths for a bottom-heavy network that costs what the budget says.

    Of all depths within the budget, those of the first tier that has any; of these the most blocks
    in the early stages, then the cost nearest to the budget, then the smaller numbers.

    Args:
        costs: Operations of the bottom-heavy network's stem and blocks.
        ordinary: Depths of the ordinary network that it is to replace.
        budget: Operations, such as those of the ordinary network with its own stem.
        tolerance: How far the cost may lie from the budget, as a fraction of it.
        early: Stages that shall grow, from the finest; the others shall shrink.

    Raises:
        SettingsError: There is no stage to grow or to shrink, no depths fit, or too many do.
    """
    stages = len(costs.first)
    if len(ordinary) != stages or not 0 < early < stages:
        raise SettingsError(
            f"early {early}: must be from 1 to {stages - 1}, so that of {stages} stages some grow "
            "and some shrink"
        )
    depths = _depths(costs, budget, tolerance)
    operations = costs.of((1,) * stages) + (depths - 1) @ np.array(costs.further)
    tiers = tiers_of(depths, ordinary, early)
    if not tiers.any():
        least = costs.of((1,) * stages)
        raise SettingsError(
            f"budget {budget / 1e9:.4g} G: none of the {len(depths)} networks of {stages} stages "
            f"within {tolerance:.2%} of it is deeper in the first {early} and shallower after; "
            f"raise the tolerance, or the budget where it is near the least, {least / 1e9:.4g} G"
        )
    (best,) = np.nonzero(tiers == tiers[tiers > 0].min())
    numbers = [depths[best, stage] for stage in reversed(range(stages))]
    blocks = depths[best, :early].sum(axis=1)
    order = np.lexsort((*numbers, abs(operations[best] - budget), -blocks))
    return Construction(budget, depths, operations, tiers, best[order])


def tiers_of(depths: Numbers, ordinary: Sequence[int | float], early: int) -> Numbers:
    """How well depths (n, stages) keep to the idea (n,); 1 is best, 0 means not even 3.

    1: every early stage is deeper than the ordinary one, every late one shallower, and depths fall
    from stage to stage. 2: the same, but depths may stay equal. 3: the early stages together are
    deeper, the late ones together shallower.
    """
    more = depths - np.array(ordinary)
    moved = (more[:, :early] > 0).all(axis=1) & (more[:, early:] < 0).all(axis=1)
    steps = np.diff(depths, axis=1)
    falling, not_rising = (steps < 0).all(axis=1), (steps <= 0).all(axis=1)
    together = (more[:, :early].sum(axis=1) > 0) & (more[:, early:].sum(axis=1) < 0)
    return np.select([moved & falling, moved & not_rising, together], [1, 2, 3], 0)


def _depths(costs: StageCosts, budget: int, tolerance: float) -> Numbers:
    """All depths (n, stages) within the budget, in the order of their numbers."""
    least, most = ceil(budget * (1 - tolerance)), floor(budget * (1 + tolerance))
    stages = len(costs.further)
    depths = np.ones((1, 0), dtype=np.int64)
    cost = np.array([costs.of((1,) * stages)])
    for stage, step in enumerate(costs.further):
        fewest = np.zeros_like(cost)
        if stage + 1 == stages:
            fewest = np.maximum(-((cost - least) // step), 0)  # the quotient rounded up
        counts = np.maximum((most - cost) // step - fewest + 1, 0)
        if counts.sum() > MOST:
            raise SettingsError(
                f"budget {budget / 1e9:.4g} G: more than {MOST} networks of {stages} stages lie "
                f"within {tolerance:.2%} of it; lower the tolerance or the budget"
            )
        rows = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
        more = fewest[rows] + within
        depths = np.column_stack((depths[rows], more + 1))
        cost = cost[rows] + more * step
    return depths
