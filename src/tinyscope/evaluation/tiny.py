"""The protocol for tiny objects: COCO's matching, with sizes and limits that suit them."""

from dataclasses import asdict, dataclass, field
from typing import ClassVar

from tinyscope.evaluation.coco import COCO_THRESHOLDS
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

TINY_SIDES = {
    "all": (0.0, 1e5),
    "2-8": (2.0, 8.0),
    "8-16": (8.0, 16.0),
    "16-32": (16.0, 32.0),
    "32+": (32.0, 1e5),
}


@dataclass(frozen=True)
class TinyProtocol:
    """Scores by side (square root of the area), with up to 1500 detections per image and class.

    Args:
        thresholds: IoUs from which on a detection has found an object.
        sides: Name to least and largest side in pixels, both included as in COCO (a side of 8
            is in two of the default sizes); the first one stands for all.
        limits: Detections per image and class that count, ascending.
        crowd: What `iscrowd` rows are.
        ignore: What rows with an `ignore` flag are that are no crowd.
    """

    in_parts: ClassVar[bool] = True
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    sides: Ranges = field(default_factory=lambda: dict(TINY_SIDES))
    limits: tuple[int, ...] = (1, 100, 1500)
    crowd: Treatment = "region"
    ignore: Treatment = "region"

    def __post_init__(self) -> None:
        check_settings(self.thresholds, self.sides, self.limits)

    def __call__(self, truth: Annotations, found: Found) -> Result:
        """The numbers of `found` against all images of `truth`."""
        return score_boxes(
            truth,
            found,
            thresholds=self.thresholds,
            areas={name: (low**2, high**2) for name, (low, high) in self.sides.items()},
            limits=self.limits,
            crowd=self.crowd,
            ignore=self.ignore,
            stamp=make_stamp("tiny", asdict(self), truth, found),
        )
