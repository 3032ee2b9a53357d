"""How far a run has come, beside its weights: what a checkpoint carries to go on exactly."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch.distributed as distributed

from tinyscope.data.dropped import dropped_header, dropped_rows
from tinyscope.types import Dropped


@dataclass(frozen=True)
class Progress:
    """Evaluations so far and objects lost so far.

    Args:
        best: Best score, None before the first.
        stale: Evaluations since the best one.
        scores: All numbers of the last evaluation.
        dropped: Objects that the data pipeline lost in the whole run.
        recent: Those since the last report of them.
    """

    best: float | None = None
    stale: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    dropped: Dropped = field(default_factory=Dropped)
    recent: Dropped = field(default_factory=Dropped)

    def scored(self, score: float, scores: Mapping[str, float]) -> "Progress":
        """After an evaluation; a score that is no number is no gain, unless it is the first."""
        gain = self.best is None or score > self.best or (math.isnan(self.best) and score >= 0)
        if gain:
            return replace(self, best=score, stale=0, scores=dict(scores))
        return replace(self, stale=self.stale + 1, scores=dict(scores))

    def lost(self, dropped: Dropped) -> "Progress":
        return replace(self, dropped=self.dropped + dropped, recent=self.recent + dropped)

    def to_plain(self) -> dict[str, Any]:
        """As JSON can hold it; numbers as text, since JSON has no NaN."""
        return {
            "best": None if self.best is None else repr(self.best),
            "stale": self.stale,
            "scores": {name: repr(value) for name, value in self.scores.items()},
            "dropped": plain_counts(self.dropped),
            "recent": plain_counts(self.recent),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Progress":
        return cls(
            best=None if plain["best"] is None else float(plain["best"]),
            stale=plain["stale"],
            scores={name: float(value) for name, value in plain["scores"].items()},
            dropped=_counts(plain["dropped"]),
            recent=_counts(plain["recent"]),
        )


def plain_counts(dropped: Dropped) -> dict[str, list[int]]:
    """Counts per size bin by reason, sorted by reason."""
    return {reason: dropped.counts[reason].tolist() for reason in sorted(dropped.counts)}


def _counts(plain: Mapping[str, list[int]]) -> Dropped:
    return Dropped({reason: np.array(n, dtype=np.int64) for reason, n in plain.items()})


def over_processes(dropped: Dropped) -> Dropped:
    """The sum over all processes, in each of them."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return dropped
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, plain_counts(dropped))
    return sum((_counts(part) for part in parts), Dropped())


def lost_text(dropped: Dropped) -> str:
    """A table of what was lost since the last report, most frequent reason first."""
    rows = [tuple(map(str, row)) for row in (dropped_header(), *dropped_rows(dropped))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "objects lost since the last report, by side:\n  " + "\n  ".join(lines)
