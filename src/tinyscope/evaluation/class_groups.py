"""Classes in groups by how many examples training has of them: many, medium, few.

The mean over all classes hides what becomes of the rare ones; the mean over each group shows it
(Liu et al. 2019, arXiv:1904.05160, who call classes with fewer than 20 examples few-shot, with
more than 100 many-shot).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from textwrap import fill

import numpy as np

from tinyscope.catalog import nearest
from tinyscope.errors import DataError, SettingsError
from tinyscope.evaluation.result import Result
from tinyscope.formats.coco import read_annotations

Groups = Mapping[str, tuple[str, ...]]
"""Name of a group to the names of its classes."""

Counts = Mapping[str, int] | Path
"""Examples of each class, or a file that holds them or the annotations of a training set."""

EDGES = (20, 100)
_NAMES = {1: ("few", "many"), 2: ("few", "medium", "many")}


@dataclass(frozen=True)
class Grouping:
    """Groups of classes as settings give them: by name, or by counts and edges.

    Args:
        groups: Name of a group to the names of its classes.
        counts: In place of these, what training has.
        edges: Counts at which the next group begins, ascending.
    """

    groups: Groups | None
    counts: Mapping[str, int] | None
    edges: tuple[int, ...]

    def of(self, names: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
        """The groups of the classes `names`, and a sentence for each thing to be known of them.

        Raises:
            SettingsError: A group names a class that there is not, or there is no count of one.
        """
        if self.counts is not None:
            groups = _by_count(self.counts, names, self.edges)
            return groups, _without_examples(self.counts, names)
        if self.groups is None:
            return {}, []
        for label in _times(self.groups):
            if label not in names:
                raise SettingsError(
                    f"class_groups: no class named {label!r}{nearest(label, names)} "
                    f"(one of: {', '.join(names)})"
                )
        left = [label for label in names if label not in _times(self.groups)]
        notes = [f"of no group of classes: {', '.join(left)}"] if left else []
        return {group: tuple(labels) for group, labels in self.groups.items()}, notes


def grouped(result: Result, grouping: Grouping, notes: Sequence[str] = ()) -> Result:
    """The result with the numbers of groups, and notes under its table.

    Raises:
        SettingsError: As `Grouping.of`.
    """
    groups, more = grouping.of(result.names)
    text = "\n".join(fill(note, 100, subsequent_indent="  ") for note in (*notes, *more))
    listed = {group: list(labels) for group, labels in groups.items()}
    stamp = {"class_groups": listed} if groups else {}
    return replace(result, groups=groups, appendix=text or result.appendix).stamped(**stamp)


def check_grouping(grouping: Grouping) -> None:
    """Refuses groups that contradict each other.

    Raises:
        SettingsError: Names the setting and what is allowed.
    """
    if grouping.groups is not None and grouping.counts is not None:
        raise SettingsError(
            "class_groups: class_counts decide the groups as well; remove one of the two"
        )
    if not grouping.edges or any(a >= b for a, b in pairwise((0, *grouping.edges))):
        raise SettingsError(
            f"class_edges: got {list(grouping.edges)}; must be ascending numbers above 0"
        )
    twice = [name for name, times in _times(grouping.groups or {}).items() if times > 1]
    if twice:
        raise SettingsError(
            f"class_groups: {', '.join(twice)} stands there more than once; a class is of one group"
        )


def group_names(edges: Sequence[int]) -> tuple[str, ...]:
    """Names of the groups from few to many examples; ranges where there are more than three."""
    if len(edges) in _NAMES:
        return _NAMES[len(edges)]
    inner = (f"{low}-{high - 1}" for low, high in pairwise(edges))
    return f"0-{edges[0] - 1}", *inner, f"{edges[-1]}+"


def counts_of(counts: Counts | None) -> Mapping[str, int] | None:
    """The numbers of a file; what are numbers already stays.

    Raises:
        DataError: As `read_counts`.
    """
    return read_counts(counts) if isinstance(counts, Path) else counts


def read_counts(path: Path) -> dict[str, int]:
    """Examples of each class: boxes of a COCO file that training learns from, of videos those in
    key frames; or the numbers of a JSON mapping.

    Raises:
        DataError: The file is missing, or neither of the two.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON ({error}); class_counts names the annotation file of "
            "a training set, or a JSON file of classes and their numbers"
        ) from error
    if isinstance(content, dict) and content and all(type(n) is int for n in content.values()):
        return content
    truth = read_annotations(path)
    amounts = np.bincount(truth.labels[truth.learned], minlength=len(truth.names))
    return dict(zip(truth.names, amounts.tolist(), strict=True))


def _by_count(
    counts: Mapping[str, int], names: Sequence[str], edges: Sequence[int]
) -> dict[str, tuple[str, ...]]:
    """Groups from many to few; an empty one is there as well."""
    unknown = [name for name in names if name not in counts]
    if unknown:
        raise SettingsError(
            f"class_counts: no count of {', '.join(unknown)}; there are those of "
            f"{', '.join(counts)}; name the training set of these classes"
        )
    place = {name: int(np.searchsorted(edges, counts[name], side="right")) for name in names}
    groups = reversed(list(enumerate(group_names(edges))))
    return {group: tuple(name for name in names if place[name] == g) for g, group in groups}


def _without_examples(counts: Mapping[str, int], names: Sequence[str]) -> list[str]:
    unseen = [name for name in names if not counts[name]]
    return [f"without an example in training: {', '.join(unseen)}"] if unseen else []


def _times(groups: Groups) -> dict[str, int]:
    times: dict[str, int] = {}
    for labels in groups.values():
        for label in labels:
            times[label] = times.get(label, 0) + 1
    return times
