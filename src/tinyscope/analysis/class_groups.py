"""Which classes are about equally frequent, as balanced group softmax wants to know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinyscope.nn.heads.groups import EDGES, groups_by_count

ALIKE = 10
"""Classes whose numbers of examples differ by less than this factor need no groups of their own."""
MOST = 4
"""Groups that are proposed at most; the paper has four, and about as good figures with eight."""


@dataclass(frozen=True)
class Proposal:
    """Groups of labels, fewest examples first, and how they came about.

    `groups` is empty where classes need none; `edges` are the numbers of examples from which a
    class belongs to the group above.
    """

    groups: tuple[tuple[int, ...], ...]
    edges: tuple[int, ...]
    reason: str

    @property
    def setting(self) -> str:
        """The groups as a recipe or `--set` takes them."""
        return str([list(group) for group in self.groups])


def propose_groups(counts: Sequence[int], edges: Sequence[int] | None = None) -> Proposal:
    """Groups of classes by their number of examples; none of them is empty.

    Without `edges`, those that are published for LVIS are taken where they part the classes, and
    else as many as the counts span powers of ten, evenly spaced in their logarithm.
    """
    present = [count for count in counts if count]
    if edges is not None:
        return _parted(counts, edges, "the edges that were asked for")
    if not present or len(counts) < 2:
        return Proposal((), (), "there are no several classes to be told apart")
    low, high = min(present), max(present)
    if high < ALIKE * low:
        return Proposal(
            (), (), f"no class has {ALIKE} times the examples of another ({low} to {high})"
        )
    published = _parted(counts, EDGES, "the published edges")
    if len(published.groups) > 1:
        return published
    number = min(MOST, max(2, math.ceil(math.log10(high / low))))
    spaced = [round(low * (high / low) ** (i / number)) for i in range(1, number)]
    return _parted(counts, spaced, "edges spaced evenly, as the published ones part no classes")


def _parted(counts: Sequence[int], edges: Sequence[int], reason: str) -> Proposal:
    groups = tuple(group for group in groups_by_count(counts, edges) if group)
    return Proposal(groups, tuple(edges), reason)
