"""The protocol of TinyPerson: precision by size and miss rates, as its evaluators compute them.

Of COCO's protocol it differs in thresholds, sizes and limits; in that rows marked `ignore` or
`uncertain` are ignored, one detection each by IoU and any number by how much of the detection
they cover; and in that objects of other sizes are such rows too (Yu et al. 2020,
arXiv:1912.10664, and the evaluators published with it and its successors).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from tinyscope.errors import DataError
from tinyscope.evaluation.cover import GreedyThenCovered, covering
from tinyscope.evaluation.miss_rate import (
    LIMIT,
    Case,
    Setup,
    flagged,
    miss_rates,
    setup_cells,
    stated_or,
)
from tinyscope.evaluation.order import Objects, Ranked, order_objects, rank_detections
from tinyscope.evaluation.pairing import (
    ALWAYS_ENOUGH,
    Pairs,
    by_preference,
    measured,
    no_pairs,
    touching,
)
from tinyscope.evaluation.protocol import (
    Ranges,
    area_bin,
    check_settings,
    make_result,
    make_stamp,
)
from tinyscope.evaluation.result import Result, mean_of_scored, threshold_name
from tinyscope.evaluation.scores import cells
from tinyscope.formats.tables import Annotations, DetectionTable

TINYPERSON_SIDES = {
    "all": (1.0, 1e5),
    "tiny": (1.0, 20.0),
    "tiny1": (1.0, 8.0),
    "tiny2": (8.0, 12.0),
    "tiny3": (12.0, 20.0),
    "small": (20.0, 32.0),
    "reasonable": (32.0, 1e5),
}
"""Least and largest sides in pixels. The paper writes 2 px for the least; the evaluator has 1."""

MISS_RATE_SETUPS = {
    "tiny1": Setup((2.0, 8.0)),
    "tiny2": Setup((8.0, 12.0)),
    "tiny3": Setup((12.0, 20.0)),
    "tiny": Setup((2.0, 20.0)),
    "small": Setup((20.0, 32.0)),
    "All": Setup((-1.0, 1e10)),
}

Cover = Literal["never", "threshold", "raised"]
"""From which share of itself on a detection that lies in something ignored is ignored too: none
suffices, the threshold t of the IoU, or 2t / (1 + t)."""


@dataclass(frozen=True)
class Published:
    """What differs between the published evaluators."""

    limits: tuple[int, ...]
    ignored_by_cover: Cover


PUBLISHED = {
    # The tables of TinyPerson, SSPNet and bottom-heavy backbones.
    "tinybenchmark": Published(limits=(200,), ignored_by_cover="threshold"),
    # Those of TOV_mmdetection.
    "tov": Published(limits=(1000,), ignored_by_cover="threshold"),
    # The script of the package huicv.
    "huicv": Published(limits=(200,), ignored_by_cover="raised"),
}


@dataclass(frozen=True)
class TinyPersonProtocol:
    """Scores detections as TinyPerson does.

    Args:
        published: By which of the published evaluators; decides the options that are None.
        thresholds: IoUs from which on a detection has found an object.
        sides: Name to least and largest side (square root of the area) in pixels, both
            included; the first one stands for all.
        limits: Detections per image and class that count for precision, ascending.
        ignored_by_cover: From which share of itself on a detection inside something ignored is
            ignored.
        uncertain: What rows marked `uncertain` are.
        first_id_unmatched: Whether a detection of the object with the id 0 counts as one that
            has found nothing, as in the published evaluators.
        dense_images: Whether images with rows marked `in_dense_image` take part. The published
            files leave them out.
        miss_rates: Whether they are computed beside precision.
    """

    published: Literal["tinybenchmark", "tov", "huicv"] = "tinybenchmark"
    thresholds: tuple[float, ...] = (0.25, 0.5, 0.75)
    sides: Ranges = field(default_factory=lambda: dict(TINYPERSON_SIDES))
    limits: tuple[int, ...] | None = None
    ignored_by_cover: Cover | None = None
    uncertain: Literal["ignore", "object"] = "ignore"
    first_id_unmatched: bool = True
    dense_images: Literal["score", "drop"] = "score"
    miss_rates: bool = True

    def __post_init__(self) -> None:
        usual = PUBLISHED[self.published]
        for name in ("limits", "ignored_by_cover"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(usual, name))
        check_settings(self.thresholds, self.sides, self._limits)

    def __call__(self, truth: Annotations, found: DetectionTable) -> Result:
        """The numbers of `found` against the images of `truth`."""
        dropped: dict[str, int] = {}
        if self.dense_images == "drop":
            truth, found, dropped = without_dense_images(truth, found)
        prepared = self.prepare(truth, found)
        ranked, objects = prepared.ranked, prepared.objects
        bins = [area_bin(objects, ranked, low**2, high**2) for low, high in self.sides.values()]
        limits = self._limits
        stamp = make_stamp("tinyperson", asdict(self), truth, found, self.ignored(truth))
        result = make_result(
            truth.names, ranked,
            cells(ranked, objects, prepared.close, bins, self.thresholds, limits, prepared.match),
            thresholds=self.thresholds, sizes=tuple(self.sides), limits=limits,
            stamp=stamp | dropped,
        )  # fmt: skip
        note = [_dropped_text(dropped)] if dropped else []
        recalls = dict(_recalls(result))
        if not self.miss_rates:
            return replace(result, extra=recalls, appendix="\n\n".join(note))
        case = prepared.case(truth, self._with_uncertain(truth, flagged(truth)))
        curves = setup_cells(case, MISS_RATE_SETUPS, self.thresholds, covered=True)
        rates = miss_rates(curves, self.thresholds, tuple(MISS_RATE_SETUPS), len(truth))
        appendix = "\n\n".join([rates.table, *note])
        return replace(result, extra=recalls | rates.named, appendix=appendix)

    def ignored(self, truth: Annotations) -> Bool[ndarray, "n"]:
        """The rows of `truth` that count neither for nor against."""
        return self._with_uncertain(truth, truth.ignore)

    def _with_uncertain(
        self, truth: Annotations, ignored: Bool[ndarray, "n"]
    ) -> Bool[ndarray, "n"]:
        if self.uncertain == "object" or "uncertain" not in truth.marks:
            return ignored
        marked: ndarray = ignored | truth.marks["uncertain"]
        return marked

    def prepare(self, truth: Annotations, found: DetectionTable) -> "Prepared":
        """Objects and detections in order, their pairs, and how to match them."""
        objects = order_objects(truth, ignored=self.ignored(truth), regions=truth.crowd)
        limit = max(self._limits[-1], LIMIT if self.miss_rates else 0)
        ranked = rank_detections(found, truth, limit)
        shared = touching(ranked, objects)
        lowest = min(*self.thresholds, ALWAYS_ENOUGH)
        close = by_preference(measured(shared, ranked, objects, lowest))
        lost = np.zeros(0, dtype=np.int64)
        if self.first_id_unmatched:
            lost = np.flatnonzero(truth.annotation_ids[objects.source] == 0)
        covers = no_pairs()
        if self.ignored_by_cover != "never":
            covers = covering(shared, ranked, objects, self._bar(lowest))
        return Prepared(objects, ranked, shared, close, GreedyThenCovered(covers, self._bar, lost))

    def _bar(self, threshold: float) -> float:
        """The share of a detection that has to be covered at a threshold of IoU."""
        threshold = min(threshold, ALWAYS_ENOUGH)
        return 2 * threshold / (1 + threshold) if self.ignored_by_cover == "raised" else threshold

    @property
    def _limits(self) -> tuple[int, ...]:
        assert self.limits is not None  # set when constructed
        return self.limits


@dataclass(frozen=True)
class Prepared:
    """What the curves of precision are made from, and those of missed objects."""

    objects: Objects
    ranked: Ranked
    touching: Pairs
    close: Pairs
    match: GreedyThenCovered

    def case(self, truth: Annotations, ignored: Bool[ndarray, "n"]) -> Case:
        """The same for miss rates: sizes are those of the file, or square roots of areas.

        Args:
            truth: What this was prepared from.
            ignored: Its rows that all setups ignore.
        """
        source = self.objects.source
        return Case(
            ranked=self.ranked,
            objects=replace(self.objects, ignored=ignored[source]),
            touching=self.touching,
            object_sizes=stated_or(truth, "size", source, np.sqrt(self.objects.areas)),
            detection_sizes=np.sqrt(self.ranked.extents),
            visible=stated_or(truth, "vis_ratio", source, np.ones(len(source))),
            lost=self.match.lost,
        )


def without_dense_images(
    truth: Annotations, found: DetectionTable
) -> tuple[Annotations, DetectionTable, dict[str, int]]:
    """Both without the images that have rows marked `in_dense_image`; how many those were.

    Raises:
        DataError: No image is left.
    """
    marked = truth.marks.get("in_dense_image", np.zeros(len(truth.boxes), dtype=np.bool_))
    kept = np.bincount(truth.images[marked], minlength=len(truth)) == 0
    if not kept.any():
        raise DataError(
            f"{truth.root}: all {len(truth)} images are marked in_dense_image; "
            "score them with dense_images: score"
        )
    inside = kept[found.images]
    position = np.cumsum(kept) - 1
    remaining = found[inside]
    return (
        truth.take(np.flatnonzero(kept)),
        replace(remaining, images=position[remaining.images]),
        {"dense_images": int((~kept).sum()), "detections_in_dense_images": int((~inside).sum())},
    )


def _dropped_text(dropped: Mapping[str, int]) -> str:
    return (
        f"left out: {dropped['dense_images']} dense images and "
        f"{dropped['detections_in_dense_images']} detections in them"
    )


def published_lines(result: Result) -> list[str]:
    """Precision and recall as the published evaluators print them."""
    kinds = ("AP", "Average Precision  (AP)"), ("AR", "Average Recall     (AR)")
    return [
        f" {title} @[ IoU={threshold:<9.2f} | area={size:>6s} | maxDets={result.limits[-1]:>3d} ]"
        f" = {result[threshold_name(kind, threshold) + (f'_{size}' if a else '')]:.4f}"
        for kind, title in kinds
        for threshold in result.thresholds
        for a, size in enumerate(result.sizes)
    ]


def _recalls(result: Result) -> Iterator[tuple[str, float]]:
    """Recall at the last limit, at each threshold and size: AR50_tiny."""
    for t, threshold in enumerate(result.thresholds):
        for a, size in enumerate(result.sizes):
            name = threshold_name("AR", threshold) + (f"_{size}" if a else "")
            yield name, mean_of_scored(result.scores.recall[t, :, a, -1])
