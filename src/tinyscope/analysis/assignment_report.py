"""Assignments side by side, for people and for programs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tinyscope.analysis.assignment import COUNTS, MEASURES, OUTCOMES, SIZES, Tally
from tinyscope.analysis.charts import stacked_chart
from tinyscope.evaluation.table import aligned
from tinyscope.types import Dropped

COLORS = {"none": "#d43a2f", "one": "#f0b840", "two": "#8ec07c", "three or more": "#2e9e44"}
_BINS = ("all", *SIZES)
_ROWS = {count: f"% with {count}" for count in COUNTS} | {"none": "% without a prior"}


@dataclass(frozen=True)
class Audit:
    """What one way of assigning gives the objects of a data set.

    Args:
        name: A recipe's, or a variant's.
        assigner, priors: Name and options of each.
        first_of_two: Whether it is the first stage of a two-stage detector.
        strides: Of the levels, pixels.
        sides: Of the priors of a cell of every level, square roots of areas, pixels.
        seen: What the data set was seen through.
        views: How many windows or tiles that were.
        tally: The counts.
        lost: Objects that were none any more before an assigner saw them.
    """

    name: str
    assigner: Mapping[str, Any]
    priors: Mapping[str, Any]
    first_of_two: bool
    strides: tuple[int, ...]
    sides: tuple[tuple[float, ...], ...]
    seen: str
    views: int
    tally: Tally
    lost: Dropped

    @property
    def outcomes(self) -> dict[str, float]:
        """Share of all priors by `OUTCOMES`."""
        total = max(1, int(self.tally.priors.sum()))
        return dict(zip(OUTCOMES, (self.tally.priors / total).tolist(), strict=True))

    def numbers(self) -> dict[str, Any]:
        """For a program: shares from 0 to 1, None where there is nothing to take a mean of."""
        tally = self.tally
        shares, likeness, mean = tally.shares, tally.likeness, tally.priors_per_object
        return {
            "name": self.name,
            "assigner": dict(self.assigner),
            "priors": dict(self.priors),
            "stage": "first of two" if self.first_of_two else "only",
            "strides": list(self.strides),
            "prior_sides": [list(level) for level in self.sides],
            "seen": self.seen,
            "views": self.views,
            "sizes": {
                size: {
                    "objects": count,
                    "shares": shares[size],
                    "priors_per_object": mean[size],
                    "likeness": likeness[size],
                }
                for size, count in tally.counts.items()
            },
            "positives_per_level": list(tally.per_level),
            "positives_per_size_and_level": dict(zip(SIZES, tally.positives.tolist(), strict=True)),
            "prior_outcomes": dict(zip(OUTCOMES, tally.priors.tolist(), strict=True)),
            "lost": {reason: counts.tolist() for reason, counts in self.lost.counts.items()},
        }


@dataclass(frozen=True)
class AssignmentReport:
    """Audits of one or several ways of assigning, and the pictures that were painted."""

    data: str
    split: str
    audits: tuple[Audit, ...]
    pictures: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """For a terminal."""
        title = f"{self.data}, {self.split}: what the priors answer for"
        parts = [self._sizes(), self._levels(), self._priors(), self._notes()]
        return "\n\n".join([title, *parts])

    def to_json(self) -> str:
        """The same numbers for a program."""
        return json.dumps(
            {
                "data": self.data,
                "split": self.split,
                "sizes": list(SIZES),
                "audits": [audit.numbers() for audit in self.audits],
                "pictures": list(self.pictures),
            },
            indent=2,
        )

    def chart(self) -> str:
        """Share of the objects with no, one, two or more priors by size, as SVG."""
        groups: dict[str, dict[str, dict[str, float]]] = {}
        for audit in self.audits:
            shares = audit.tally.shares
            groups[audit.name] = {size: part for size in SIZES if (part := shares[size])}
        return stacked_chart(groups, COLORS, y="objects, %", of="priors that answer for an object")

    def _sizes(self) -> str:
        """Every number with a line for each audit."""
        rows = [["side, pixels", *_BINS]]
        counts = [audit.tally.counts for audit in self.audits]
        if all(count == counts[0] for count in counts):
            rows.append(["objects", *(str(counts[0][size]) for size in _BINS)])
        else:
            rows += self._block("objects", lambda t, size: str(t.counts[size]))
        for count, title in _ROWS.items():
            rows += self._block(title, partial(_share, count))
        rows += self._block("priors per object", lambda t, size: _number(t.priors_per_object[size]))
        for measure in MEASURES:
            rows += self._block(f"{measure} of those with priors", partial(_likeness, measure))
        return aligned(rows)

    def _block(self, title: str, text: Callable[[Tally, str], str]) -> list[list[str]]:
        lines = [
            [f"  {audit.name}", *(text(audit.tally, size) for size in _BINS)]
            for audit in self.audits
        ]
        return [[title, *[""] * len(_BINS)], *lines]

    def _levels(self) -> str:
        strides = sorted({stride for audit in self.audits for stride in audit.strides})
        rows = [["% of the positives on stride", *map(str, strides)]]
        for audit in self.audits:
            positives = dict(zip(audit.strides, audit.tally.per_level, strict=True))
            total = max(1, sum(positives.values()))
            cells = [f"{100 * positives[s] / total:.1f}" if s in positives else "" for s in strides]
            rows.append([f"  {audit.name}", *cells])
        return aligned(rows)

    def _priors(self) -> str:
        rows = [["priors", "in a window", *(f"% {outcome}" for outcome in OUTCOMES)]]
        for audit in self.audits:
            each = int(audit.tally.priors.sum()) / max(1, audit.views)
            cells = [f"{100 * share:.3f}" for share in audit.outcomes.values()]
            rows.append([f"  {audit.name}", f"{each:.0f}", *cells])
        return aligned(rows)

    def _notes(self) -> str:
        lines = []
        for audit in self.audits:
            lines.append(f"{audit.name}: {_text(audit.assigner)}, priors {_text(audit.priors)}")
            levels = zip(audit.strides, audit.sides, strict=True)
            sides = [f"{', '.join(f'{x:g}' for x in each)} on stride {s}" for s, each in levels]
            lines.append(f"  sides of its priors, pixels: {'; '.join(sides)}")
            if audit.first_of_two:
                lines.append("  its first stage; what the second is given depends on weights")
            lines.append(f"  {audit.seen}")
            lines += [f"  {int(n.sum())} objects {why}" for why, n in audit.lost.counts.items()]
        return "\n".join(lines)


def _share(count: str, tally: Tally, size: str) -> str:
    shares = tally.shares[size]
    return "-" if shares is None else f"{100 * shares[count]:.1f}"


def _likeness(measure: str, tally: Tally, size: str) -> str:
    return _number((tally.likeness[size] or {}).get(measure))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _text(part: Mapping[str, Any]) -> str:
    """Name and options, of those that are set."""
    options = [f"{key} {_plain(v)}" for key, v in part.items() if key != "name" and v is not None]
    return f"{part['name']} ({', '.join(options)})" if options else str(part["name"])


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
