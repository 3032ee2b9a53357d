"""Depths of a bottom-heavy network: as costly as an ordinary one, but deep where maps are fine.

The rule is ours. The paper that it follows (Ning et al. 2023, arXiv:2303.11267) asks for more
layers before the map is halved a third time, fewer after it, and an equal cost. That leaves
hundreds of networks, since a further block costs nearly the same in every stage, and its own
BH-ResNet-50 grew where it should have shrunk: what grew is what works at stride 8 or less. The
rule says which of them to take, and takes the paper's (7, 6, 2, 1) for ResNet-50.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinyscope.analysis.stage_costs import StageCosts
from tinyscope.errors import SettingsError


@dataclass(frozen=True)
class Candidate:
    """Depths within the budget.

    `deviation` is that of `operations` from the budget, as a fraction of it; `tier` is 1, 2, 3 as
    `tier_of` says, or None.
    """

    depths: tuple[int, ...]
    operations: int
    deviation: float
    tier: int | None


@dataclass(frozen=True)
class Construction:
    """The depths chosen, the others of the same tier from second best down, and all within the
    budget in the order of their numbers."""

    chosen: Candidate
    runners_up: tuple[Candidate, ...]
    within_budget: tuple[Candidate, ...]


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
        SettingsError: There is no stage to grow or to shrink, or no depths fit.
    """
    stages = len(costs.first)
    if len(ordinary) != stages or not 0 < early < stages:
        raise SettingsError(
            f"early {early}: must be from 1 to {stages - 1}, so that of {stages} stages some grow "
            "and some shrink"
        )
    within = tuple(
        Candidate(depths, cost, cost / budget - 1, tier_of(depths, ordinary, early))
        for depths in _depths(costs, budget, tolerance)
        for cost in [costs.of(depths)]
    )
    tiers = [c.tier for c in within if c.tier is not None]
    if not tiers:
        least = costs.of((1,) * stages)
        raise SettingsError(
            f"budget {budget / 1e9:.4g} G: none of the {len(within)} networks of {stages} stages "
            f"within {tolerance:.2%} of it is deeper in the first {early} and shallower after; "
            f"raise the tolerance, or the budget where it is near the least, {least / 1e9:.4g} G"
        )
    best = sorted(
        (c for c in within if c.tier == min(tiers)),
        key=lambda c: (-sum(c.depths[:early]), abs(c.operations - budget), c.depths),
    )
    return Construction(best[0], tuple(best[1:]), within)


def tier_of(depths: Sequence[int], ordinary: Sequence[int | float], early: int) -> int | None:
    """How well depths keep to the idea; 1 is best.

    1: every early stage is deeper than the ordinary one, every late one shallower, and depths fall
    from stage to stage. 2: the same, but depths may stay equal. 3: the early stages together are
    deeper, the late ones together shallower. None: not even that.
    """
    pairs = [*zip(depths, ordinary, strict=True)]
    if all(d > o for d, o in pairs[:early]) and all(d < o for d, o in pairs[early:]):
        if all(a > b for a, b in pairwise(depths)):
            return 1
        if all(a >= b for a, b in pairwise(depths)):
            return 2
    deeper = sum(depths[:early]) > sum(ordinary[:early])
    shallower = sum(depths[early:]) < sum(ordinary[early:])
    return 3 if deeper and shallower else None


def _depths(costs: StageCosts, budget: int, tolerance: float) -> Iterator[tuple[int, ...]]:
    """All depths within the budget, in the order of their numbers."""
    least, most = budget * (1 - tolerance), budget * (1 + tolerance)
    bare = costs.of((1,) * len(costs.first))

    def extend(chosen: tuple[int, ...], cost: int) -> Iterator[tuple[int, ...]]:
        step = costs.further[len(chosen)]
        last = len(chosen) + 1 == len(costs.first)
        depth = 1 if not last else 1 + max(0, -int((cost - least) // step))
        while (total := cost + (depth - 1) * step) <= most:
            if not last:
                yield from extend((*chosen, depth), total)
            elif total >= least:
                yield (*chosen, depth)
            depth += 1

    return extend((), bare)
