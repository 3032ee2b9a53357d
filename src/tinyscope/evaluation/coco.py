"""The COCO protocol: equal to pycocotools in all numbers (https://cocodataset.org/#detection-eval).

Two things are ours. A name without a limit means the largest limit also where it is not 100.
Rows that the file marks `ignore` but not `iscrowd` are regions as crowds are; pycocotools takes
them for objects, as `ignore="object"` does.
"""

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

import numpy as np

from tinyscope.evaluation.class_groups import (
    EDGES,
    Counts,
    Grouping,
    Groups,
    check_grouping,
    counts_of,
    grouped,
)
from tinyscope.evaluation.frames import Frames, in_frames, left_out_text
from tinyscope.evaluation.parts import Found
from tinyscope.evaluation.protocol import (
    Ranges,
    Treatment,
    check_settings,
    make_stamp,
    score_boxes,
)
from tinyscope.evaluation.result import Result, mean_of_scored, threshold_name
from tinyscope.formats.tables import Annotations

# Made as pycocotools makes them: 0.9 among them is 0.8999999999999999.
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COCO_AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


@dataclass(frozen=True)
class CocoProtocol:
    """Scores detections as COCO does, with thresholds, sizes and limits of choice.

    Args:
        thresholds: IoUs from which on a detection has found an object.
        sizes: Name to least and largest size, both included; the first one stands for all.
        measure: What `sizes` are given in: areas, or sides (square roots of areas), in pixels.
        limits: Detections per image and class that count, ascending.
        crowd: What `iscrowd` rows are.
        ignore: What rows with an `ignore` flag are that are no crowd.
        frames: `keys` leaves out images that the file does not mark as key frames of a video.
        class_groups: Name of a group to the classes that are averaged together under it.
        class_counts: Examples of each class in training, or the annotation file of its training
            set: in place of `class_groups`, to group classes as few, medium and many.
        class_edges: Counts at which the next group begins.
    """

    in_parts: ClassVar[bool] = True
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    sizes: Ranges = field(default_factory=lambda: dict(COCO_AREAS))
    measure: Literal["area", "side"] = "area"
    limits: tuple[int, ...] = (1, 10, 100)
    crowd: Treatment = "region"
    ignore: Treatment = "region"
    frames: Frames = "all"
    class_groups: Groups | None = None
    class_counts: Counts | None = None
    class_edges: tuple[int, ...] = EDGES

    def __post_init__(self) -> None:
        check_settings(self.thresholds, self.sizes, self.limits)
        # At once, so that a wrong file is known of before anything is looked for.
        object.__setattr__(self, "class_counts", counts_of(self.class_counts))
        check_grouping(self._grouping)

    def __call__(self, truth: Annotations, found: Found) -> Result:
        """The numbers of `found` against `truth`."""
        truth, found, left_out = in_frames(truth, found, self.frames)
        power = 1 if self.measure == "area" else 2
        result = score_boxes(
            truth,
            found,
            thresholds=self.thresholds,
            areas={name: (low**power, high**power) for name, (low, high) in self.sizes.items()},
            limits=self.limits,
            crowd=self.crowd,
            ignore=self.ignore,
            stamp=make_stamp("coco", asdict(self), truth, found) | left_out,
        )
        return grouped(result, self._grouping, left_out_text(left_out))

    @property
    def _grouping(self) -> Grouping:
        return Grouping(self.class_groups, counts_of(self.class_counts), self.class_edges)


def published_figures(result: Result) -> dict[str, float]:
    """The twelve numbers that pycocotools prints, by our names and in its order.

    With other limits than (1, 10, 100), such as the (100, 300, 1000) of mmdetection, they are not
    of one limit: AP over all thresholds is that of 100 detections, -1 if that is no limit, and all
    other numbers but the recalls are of the last one.
    """
    usual = result.limits.index(100) if 100 in result.limits else None
    precision = result.scores.precision[:, :, :, 0]
    figures = {"AP": -1.0 if usual is None else mean_of_scored(precision[..., usual])}
    sizes = result.sizes[1:]
    at = [threshold_name("AP", threshold) for threshold in (0.5, 0.75)]
    names = [*at, *(f"AP_{size}" for size in sizes), *(f"AR@{limit}" for limit in result.limits)]
    return figures | {name: result[name] for name in (*names, *(f"AR_{size}" for size in sizes))}
