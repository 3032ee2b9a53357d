"""Classes in groups of about equal frequency, and where each group's logits stand.

Of balanced group softmax (Li et al. 2020, arXiv:2006.10408). A group has a column for everything
that is none of its members, its others, and one for each member.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeInt

from tinyscope.errors import SettingsError

Groups = tuple[tuple[NonNegativeInt, ...], ...]
"""Type of the option: the labels of each group, from 0."""

EDGES = (10, 100, 1000)
"""Numbers of examples at which the published groups of LVIS end; the upper group has the edge."""


@dataclass(frozen=True)
class ClassGroups:
    """A division of the classes.

    Args:
        members: Labels of each group, ascending; a group may be empty.
        classes: Number of classes.

    Raises:
        SettingsError: A class is in no group or in several, or there is no such class.
    """

    members: tuple[tuple[int, ...], ...]
    classes: int

    def __post_init__(self) -> None:
        ascending = tuple(tuple(sorted(group)) for group in self.members)
        object.__setattr__(self, "members", ascending)
        named = Counter(label for group in ascending for label in group)
        absent = [label for label in range(self.classes) if not named[label]]
        unknown = sorted(label for label in named if not 0 <= label < self.classes)
        twice = sorted(label for label, count in named.items() if count > 1)
        wrong = [
            f"{labels} {text}"
            for labels, text in (
                (absent, "stand in none"),
                (twice, "stand in several places"),
                (unknown, "are no classes"),
            )
            if labels
        ]
        if wrong:
            raise SettingsError(
                f"groups: of the labels {'; '.join(wrong)}; give each of 0 to "
                f"{self.classes - 1} to one group"
            )

    @property
    def group_of(self) -> list[int]:
        """Group of each class (k,), from 0."""
        found = {label: g for g, group in enumerate(self.members) for label in group}
        return [found[label] for label in range(self.classes)]

    @property
    def lengths(self) -> list[int]:
        """Columns of background against foreground, then of each group (g + 1,)."""
        return [2, *(len(group) + 1 for group in self.members)]

    @property
    def columns(self) -> list[int]:
        """Column of each class among the logits (k,)."""
        order = [label for group in self.members for label in group]
        group_of = self.group_of
        # Before a class stand background and foreground, and the others of every group so far.
        place = {label: 3 + group_of[label] + i for i, label in enumerate(order)}
        return [place[label] for label in range(self.classes)]

    @property
    def bins(self) -> list[list[int]]:
        """Column within each slice by label (g + 1, k + 1); the last label is background.

        Row 0 tells foreground (1) from background (0). In a group's row members count from 1, and
        all other labels, background too, have the 0 of its others.
        """
        rows = [[1] * self.classes + [0]]
        for group in self.members:
            number = {label: i + 1 for i, label in enumerate(group)}
            rows.append([number.get(label, 0) for label in range(self.classes + 1)])
        return rows


def groups_by_count(
    counts: Sequence[int], edges: Sequence[int] = EDGES
) -> tuple[tuple[int, ...], ...]:
    """The labels in groups by how many examples they have, fewest first.

    Args:
        counts: Examples of each class.
        edges: Ascending; a count that equals one belongs to the group above it.

    Returns:
        One group more than edges; some may be empty.
    """
    place = np.digitize(np.asarray(counts), np.asarray(edges))
    return tuple(tuple(np.flatnonzero(place == group).tolist()) for group in range(len(edges) + 1))
