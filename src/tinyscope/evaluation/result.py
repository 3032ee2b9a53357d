"""What an evaluation returns: numbers by name, by class and by size, and how they came about."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.scores import COUNTED_SCORES, Scores
from tinyscope.evaluation.table import aligned, by_class, by_group, by_size, text


@dataclass(frozen=True)
class Counts:
    """Objects found and missed, and detections that are false, from one score up."""

    found: int
    missed: int
    false: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when there is nothing."""
        total = 2 * self.found + self.missed + self.false
        return 2 * self.found / total if total else 0.0


@dataclass(frozen=True)
class Curves:
    """Precision of one class at `recalls` for each threshold, and the scores that reach them."""

    recalls: Float64[ndarray, "r"]
    precision: Float64[ndarray, "t r"]
    scores: Float64[ndarray, "t r"]


@dataclass(frozen=True)
class Result(Mapping[str, float]):
    """Numbers of one evaluation, between 0 and 1, or -1 where there was nothing to score.

    `result["AP"]` is the mean over all thresholds, `result["AP50"]` that at IoU 0.5,
    `result["AP50_small"]` that of one size, `result["AR@100"]` the recall with 100 detections
    per image and class; without `@` the last limit holds, and there may be none. `figures` are
    further numbers by class and size, of which -1 and NaN are left out of means. `extra` holds
    what a protocol adds, and `appendix` is the text that shows it under the table by size; a list
    where it is None.
    `groups` are classes that are averaged together under a name, as `result["AP50_of_few"]`.
    """

    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    sizes: tuple[str, ...]
    limits: tuple[int, ...]
    recalls: Float64[ndarray, "r"]
    scores: Scores
    stamp: Mapping[str, Any]
    figures: Mapping[str, Float64[ndarray, "k a"]] = field(default_factory=dict)
    extra: Mapping[str, float] = field(default_factory=dict)
    appendix: str | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        if name not in self.metrics:
            raise KeyError(f"no number named {name!r}; there are {', '.join(self.metrics)}")
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __str__(self) -> str:
        return self.table

    @cached_property
    def metrics(self) -> dict[str, float]:
        """All numbers over all classes by name."""
        numbers = self._metrics(self._labels(None))
        for group, names in self.groups.items():
            of_group = self._metrics(self._labels_of(names))
            numbers |= {f"{name}_of_{group}": value for name, value in of_group.items()}
        return numbers | dict(self.extra)

    @cached_property
    def per_class(self) -> dict[str, dict[str, float]]:
        """The same numbers for each class, and its `objects`."""
        return {
            name: {**self._metrics(self._labels(name)), "objects": float(self.objects(name))}
            for name in self.names
        }

    @cached_property
    def per_group(self) -> dict[str, dict[str, float]]:
        """The same numbers for each group of classes, its `classes` and its `objects`.

        Means are over those classes that have objects, as they are over all classes.
        """
        return {
            group: {
                **self._metrics(self._labels_of(names)),
                "classes": float(len(names)),
                "objects": float(sum(self.objects(name) for name in names)),
            }
            for group, names in self.groups.items()
        }

    @cached_property
    def per_size(self) -> dict[str, dict[str, float]]:
        """The numbers for each size, by their names without a size."""
        return {
            size: {
                **self._metrics_of_size(self._labels(None), a),
                "objects": float(self.objects(size=size)),
            }
            for a, size in enumerate(self.sizes)
        }

    @cached_property
    def curves(self) -> dict[str, Curves]:
        """Precision over recall of each class, all sizes, last limit."""
        s = self.scores
        return {
            name: Curves(self.recalls, s.precision[:, :, k, 0, -1], s.scores[:, :, k, 0, -1])
            for k, name in enumerate(self.names)
        }

    @property
    def table(self) -> str:
        """The main numbers by size and by class, and the counts at the score of the best F1."""
        stamp = self.stamp
        precision = ["AP", *(threshold_name("AP", self.thresholds[t]) for t in self.shown)]
        recall = [f"AR@{limit}" for limit in self.limits] or ["AR"]
        parts = [
            f"protocol {stamp['protocol']}: {stamp['images']} images, {stamp['objects']} objects, "
            f"{stamp['detections']} detections",
            by_size(self.per_size, [*precision, *recall, *self.figures]),
        ]
        listed = aligned([[name, text(value)] for name, value in self.extra.items()])
        if more := listed if self.appendix is None else self.appendix:
            parts.append(more)
        if self.groups:
            names = [*precision, recall[-1], *self.figures]
            parts.append(by_group(self.per_group, self.groups, names))
        if len(self.names) > 1:
            parts.append(by_class(self.per_class, [*precision, recall[-1], *self.figures]))
        parts.append(self.outcome)
        return "\n\n".join(parts)

    @property
    def outcome(self) -> str:
        """What is found, missed and false at the score of the best F1, where there is one."""
        best = self.best_score()
        counts = self.counts(best)
        if not self.stamp["detections"]:
            return f"there are no detections: {counts.missed} missed"
        if not counts.found:
            return f"nothing is found at any score: {counts.missed} missed, {counts.false} false"
        return (
            f"at the score of the best F1, {best:.2f}: {counts.found} found, "
            f"{counts.missed} missed, {counts.false} false (F1 {counts.f1:.3f})"
        )

    def objects(self, name: str | None = None, size: str | None = None) -> int:
        """How many objects there are to find; of all classes and sizes where not said."""
        return int(self.scores.positives[self._labels(name), self._size(size)].sum())

    def counts(
        self,
        score: float,
        threshold: float | None = None,
        name: str | None = None,
        size: str | None = None,
    ) -> Counts:
        """Found, missed and false objects when detections below `score` are left out.

        Args:
            score: A multiple of 0.01.
            threshold: One of the thresholds; 0.5 or the first one when None.
            name: A class; all when None.
            size: A size; all when None.
        """
        place = round(100 * score)
        if not 0 <= place <= 100 or not np.isclose(COUNTED_SCORES[place], score):
            raise ValueError(f"score must be a multiple of 0.01 up to 1, got {score}")
        t, labels, a = self._threshold(threshold), self._labels(name), self._size(size)
        found = int(self.scores.found[t, labels, a, place].sum())
        return Counts(
            found=found,
            missed=self.objects(name, size) - found,
            false=int(self.scores.false[t, labels, a, place].sum()),
        )

    def best_score(self, threshold: float | None = None) -> float:
        """The least score, in steps of 0.01, at which the F1 over all classes is largest."""
        f1 = [self.counts(score, threshold).f1 for score in COUNTED_SCORES.tolist()]
        return float(COUNTED_SCORES[int(np.argmax(f1))])

    def stamped(self, **entries: Any) -> "Result":
        """The same with entries added to the stamp, such as the names of the files."""
        return replace(self, stamp={**self.stamp, **entries})

    def to_json(self) -> str:
        """Stamp, numbers, counts and curves (at the thresholds that the table shows)."""
        best = self.best_score()
        counts = self.counts(best)
        content = {
            "stamp": self.stamp,
            "metrics": self.metrics,
            "per_class": self.per_class,
            "per_size": self.per_size,
            **({"per_group": self.per_group} if self.groups else {}),
            "counts": {
                "score": best,
                "threshold": self.thresholds[self._threshold(None)],
                "found": counts.found,
                "missed": counts.missed,
                "false": counts.false,
            },
            "recalls": self.recalls.tolist(),
            "curves": {
                name: {
                    threshold_name("AP", self.thresholds[t]): {
                        "precision": curves.precision[t].tolist(),
                        "scores": curves.scores[t].tolist(),
                    }
                    for t in self.shown
                }
                for name, curves in self.curves.items()
            },
        }
        return json.dumps(content, indent=1, allow_nan=False)

    @property
    def shown(self) -> tuple[int, ...]:
        """Positions of 0.5 and 0.75, or of all where they are not among few others."""
        usual = tuple(t for t, x in enumerate(self.thresholds) if np.isclose(x, (0.5, 0.75)).any())
        return usual if len(self.thresholds) > 4 and usual else tuple(range(len(self.thresholds)))

    def _metrics(self, labels: Int64[ndarray, "l"]) -> dict[str, float]:
        numbers: dict[str, float] = {}
        for a, size in enumerate(self.sizes):
            suffix = f"_{size}" if a else ""
            of_size = self._metrics_of_size(labels, a)
            numbers |= {f"{name}{suffix}": value for name, value in of_size.items()}
        return numbers

    def _metrics_of_size(self, labels: Int64[ndarray, "l"], a: int) -> dict[str, float]:
        s = self.scores
        by_recall = s.precision[:, :, labels, a, -1]
        precision = by_recall if s.averages is None else s.averages[:, labels, a, -1]
        recall = s.recall[:, labels, a]
        numbers = {"AP": mean_of_scored(precision)}
        for t, threshold in enumerate(self.thresholds):
            numbers[threshold_name("AP", threshold)] = mean_of_scored(precision[t])
        for m, limit in enumerate(self.limits):
            numbers[f"AR@{limit}"] = mean_of_scored(recall[..., m])
        numbers["AR"] = mean_of_scored(recall[..., -1])
        return numbers | {name: mean_of_scored(v[labels, a]) for name, v in self.figures.items()}

    def _labels(self, name: str | None) -> Int64[ndarray, "l"]:
        return self._labels_of(self.names if name is None else (name,))

    def _labels_of(self, names: Sequence[str]) -> Int64[ndarray, "l"]:
        return np.array([self.names.index(name) for name in names], dtype=np.int64)

    def _size(self, size: str | None) -> int:
        return 0 if size is None else self.sizes.index(size)

    def _threshold(self, threshold: float | None) -> int:
        near = np.flatnonzero(np.isclose(self.thresholds, 0.5 if threshold is None else threshold))
        if len(near):
            return int(near[0])
        if threshold is None:
            return 0
        raise ValueError(f"no threshold {threshold}; there are {self.thresholds}")


def threshold_name(name: str, threshold: float) -> str:
    """A number at one IoU threshold: AP50."""
    return f"{name}{100 * threshold:.4g}"


def mean_of_scored(values: Float64[ndarray, "..."]) -> float:
    """Mean of the entries that are neither -1 nor NaN; -1 where there are none."""
    scored = values[values > -1]
    return float(scored.mean()) if len(scored) else -1.0
