"""The COCO protocol: equal to pycocotools in all numbers (https://cocodataset.org/#detection-eval).

Two things are ours. A name without a limit means the largest limit also where it is not 100.
Rows that the file marks `ignore` but not `iscrowd` are regions as crowds are; pycocotools takes
them for objects, as `ignore="object"` does.
"""

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

import numpy as np

from tinyscope.evaluation.parts import Found
from tinyscope.evaluation.protocol import (
    Ranges,
    Treatment,
    check_settings,
    make_stamp,
    score_boxes,
)
from tinyscope.evaluation.result import Result
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
    """

    in_parts: ClassVar[bool] = True
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    sizes: Ranges = field(default_factory=lambda: dict(COCO_AREAS))
    measure: Literal["area", "side"] = "area"
    limits: tuple[int, ...] = (1, 10, 100)
    crowd: Treatment = "region"
    ignore: Treatment = "region"

    def __post_init__(self) -> None:
        check_settings(self.thresholds, self.sizes, self.limits)

    def __call__(self, truth: Annotations, found: Found) -> Result:
        """The numbers of `found` against all images of `truth`."""
        power = 1 if self.measure == "area" else 2
        return score_boxes(
            truth,
            found,
            thresholds=self.thresholds,
            areas={name: (low**power, high**power) for name, (low, high) in self.sizes.items()},
            limits=self.limits,
            crowd=self.crowd,
            ignore=self.ignore,
            stamp=make_stamp("coco", asdict(self), truth, found),
        )
