"""How large the objects of a set are, and what matching them to another set makes of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyscope.analysis.charts import step_chart
from tinyscope.data.scale_match.histogram import SizeHistogram
from tinyscope.evaluation.table import aligned
from tinyscope.types import Dropped

BORDERS = {"< 2": 2.0, "2-8": 8.0, "8-12": 12.0, "12-20": 20.0, "20-32": 32.0}
"""Ends of the sizes that TinyPerson tells apart, pixels; what is larger is "> 32"."""
PERCENT = (5, 25, 50, 75, 95)
_STEPS = np.geomspace(0.5, 4096, 8 * 13 + 1)  # 8 to an octave
_QUANTILES = (np.arange(20_000) + 0.5) / 20_000


@dataclass(frozen=True)
class SizeSummary:
    """Sizes (n,) of objects, ascending, pixels; `objects` is None where they stand for a histogram.

    Raises:
        ValueError: There are none.
    """

    sizes: NDArray[np.float64]
    objects: int | None

    def __post_init__(self) -> None:
        if not len(self.sizes):
            raise ValueError("there are no objects to take sizes from")

    @classmethod
    def of_objects(cls, sizes: NDArray[np.float64]) -> "SizeSummary":
        return cls(np.sort(sizes), len(sizes))

    @classmethod
    def of_histogram(cls, histogram: SizeHistogram) -> "SizeSummary":
        return cls(histogram.quantiles(_QUANTILES), None)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the objects by the sizes of `BORDERS`; a border belongs to the larger size."""
        below = np.searchsorted(self.sizes, list(BORDERS.values())) / len(self.sizes)
        parts = np.diff([0.0, *below, 1.0])
        return dict(zip([*BORDERS, "> 32"], parts.tolist(), strict=True))

    @property
    def steps(self) -> NDArray[np.float64]:
        """Share of the objects in each of the even steps of the picture."""
        inside = self.sizes.clip(_STEPS[0], _STEPS[-1])
        return np.histogram(inside, _STEPS)[0] / len(self.sizes)

    def difference(self, other: "SizeSummary") -> float:
        """Largest difference of the shares below any size: 0 for equal sets, 1 for disjoint ones.

        It is the statistic of Kolmogorov and Smirnov.
        """
        places = np.concatenate([self.sizes, other.sizes])
        shares = [
            np.searchsorted(own, places, side="right") / len(own)
            for own in (self.sizes, other.sizes)
        ]
        return float(np.abs(shares[0] - shares[1]).max())

    def numbers(self) -> dict[str, Any]:
        """For a program."""
        percentiles = np.percentile(self.sizes, PERCENT).tolist()
        return {
            "objects": self.objects,
            "mean": float(self.sizes.mean()),
            "deviation": float(self.sizes.std()),
            "percentiles": dict(zip(map(str, PERCENT), percentiles, strict=True)),
            "shares": self.shares,
        }


@dataclass(frozen=True)
class SizeReport:
    """The sizes of a data set and, where it was matched, after it and in the target.

    `outcomes` counts the images by why they were resized as they were, `lost` the objects that
    resizing lost.
    """

    data: str
    before: SizeSummary
    after: SizeSummary | None = None
    target: SizeSummary | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    lost: Dropped = field(default_factory=Dropped)

    @property
    def summaries(self) -> dict[str, SizeSummary]:
        """By what they are of."""
        parts = {"before": self.before, "after": self.after, "target": self.target}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def differences(self) -> dict[str, float]:
        """How far from the target the sizes lie before and after; empty without one."""
        if self.target is None:
            return {}
        return {
            name: part.difference(self.target)
            for name, part in self.summaries.items()
            if name != "target"
        }

    @property
    def table(self) -> str:
        """For a terminal."""
        title = f"sizes of {self.data}: square roots of the objects' areas, pixels"
        return "\n\n".join([title, self._sizes(), self._shares(), *self._matching()])

    def to_json(self) -> str:
        """Numbers as they are; shares from 0 to 1."""
        content: dict[str, Any] = {"data": self.data}
        content |= {name: part.numbers() for name, part in self.summaries.items()}
        if self.target is not None:
            content["difference"] = self.differences
            content["images"] = dict(self.outcomes)
            content["lost"] = {reason: int(n.sum()) for reason, n in self.lost.counts.items()}
        return json.dumps(content, indent=2)

    def chart(self) -> str:
        """Shares of the objects over their size, as SVG."""
        shares = {name: part.steps for name, part in self.summaries.items()}
        return step_chart(shares, _STEPS, x="size, pixels", y="objects, %")

    def _sizes(self) -> str:
        rows = [["", "objects", "mean", "deviation", *(f"{p} %" for p in PERCENT)]]
        for name, part in self.summaries.items():
            numbers = [part.sizes.mean(), part.sizes.std(), *np.percentile(part.sizes, PERCENT)]
            count = "-" if part.objects is None else str(part.objects)
            rows.append([name, count, *(f"{n:.1f}" for n in numbers)])
        return aligned(rows)

    def _shares(self) -> str:
        rows = [["% of the objects", *self.before.shares]]
        for name, part in self.summaries.items():
            rows.append([name, *(f"{100 * share:.1f}" for share in part.shares.values())])
        return aligned(rows)

    def _matching(self) -> Sequence[str]:
        if self.target is None:
            return []
        apart = ", ".join(f"{name} {value:.3f}" for name, value in self.differences.items())
        images = ", ".join(f"{count} {why}" for why, count in self.outcomes.items())
        lost = [f"{int(n.sum())} {reason}" for reason, n in self.lost.counts.items()]
        return [
            f"largest difference to the target, of shares below a size: {apart}\n"
            f"images: {images}\n"
            f"objects lost: {'; '.join(lost) or 'none'}"
        ]
