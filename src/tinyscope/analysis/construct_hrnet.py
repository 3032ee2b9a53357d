"""Blocks per branch of a bottom-heavy HRNet that costs as much as an ordinary one.

In an HRNet no blocks move between stages: its first stage works at stride 2 with twice the finest
branch's channels inside, and the stages 3 and 4 lose blocks until the budget holds. The rule is
ours; it takes the networks that fit the figures of Ning et al. 2023, arXiv:2303.11267.
"""

from dataclasses import dataclass
from itertools import product

import torch

from tinyscope.analysis.stage_costs import block_operations
from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.bottom_heavy_hrnet import BottomHeavyHRNet
from tinyscope.nn.backbones.branched import MODULES
from tinyscope.types import Size

_ORDINARY = 4
"""Blocks per branch of every module of an HRNet."""
Blocks = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Branches:
    """Blocks per branch of the stages 2, 3 and 4, and what the network costs."""

    blocks: Blocks
    operations: int
    deviation: float


def bottom_heavy_branches(
    width: int, size: Size, budget: int, tolerance: float = 0.01
) -> tuple[Branches, ...]:
    """The networks within the budget, best first.

    Stage 2 stays as it is. The branches of stage 3 have equally many blocks, fewer than before;
    those of stage 4 no more than those of stage 3, and no more than finer ones. Best are the most
    blocks in stage 3, then the most even ones in stage 4, then the cost nearest to the budget.

    Args:
        width: Channels of the finest branch.
        size: (h, w) of the image, multiples of 32.
        budget: Published operations, such as those of the ordinary HRNet.
        tolerance: How far the cost may lie from the budget, as a fraction of it.

    Raises:
        SettingsError: No network lies within the budget.
    """
    with torch.device("meta"):
        network = BottomHeavyHRNet(width, blocks=[[1] * 2, [1] * 3, [1] * 4])
    counts = block_operations(network, size)
    whole = sum(counts.values())

    def cost(blocks: Blocks) -> int:
        total = whole
        for stage, (modules, branches) in enumerate(zip(MODULES, blocks, strict=True), 2):
            for branch, count in enumerate(branches):
                path = f"stage{stage}.0.branches.{branch}.0"
                block = sum(n for p, n in counts.items() if f"{p}.".startswith(f"{path}."))
                total += (count - 1) * modules * block
        return total

    found = []
    for third in range(1, _ORDINARY):
        for fourth in product(range(1, third + 1), repeat=4):
            blocks = ((_ORDINARY,) * 2, (third,) * 3, fourth)
            if list(fourth) == sorted(fourth, reverse=True):
                found.append(Branches(blocks, cost(blocks), cost(blocks) / budget - 1))
    fitting = [b for b in found if abs(b.deviation) <= tolerance]
    if not fitting:
        nearest = min(found, key=lambda b: abs(b.deviation))
        raise SettingsError(
            f"budget {budget / 1e9:.4g} G: no HRNet of width {width} lies within {tolerance:.2%} "
            f"of it; the nearest has {nearest.operations / 1e9:.4g} G; change width or budget"
        )
    return tuple(sorted(fitting, key=_rank))


def _rank(found: Branches) -> tuple[int | float, ...]:
    _, third, fourth = found.blocks
    return (-sum(third), max(fourth) - min(fourth), abs(found.deviation), *fourth)
