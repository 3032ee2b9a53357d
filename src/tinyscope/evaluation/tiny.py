"""The protocol for tiny objects: COCO's matching, with sizes and limits that suit them."""

from dataclasses import asdict, dataclass, field
from typing import ClassVar

from tinyscope.evaluation.class_groups import (
    EDGES,
    Counts,
    Grouping,
    Groups,
    check_grouping,
    counts_of,
    grouped,
)
from tinyscope.evaluation.coco import COCO_THRESHOLDS
from tinyscope.evaluation.frames import Frames, in_frames, left_out_text
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
        frames: `keys` leaves out images that the file does not mark as key frames of a video.
        class_groups: Name of a group to the classes that are averaged together under it.
        class_counts: Examples of each class in training, or the annotation file of its training
            set: in place of `class_groups`, to group classes as few, medium and many.
        class_edges: Counts at which the next group begins.
    """

    in_parts: ClassVar[bool] = True
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    sides: Ranges = field(default_factory=lambda: dict(TINY_SIDES))
    limits: tuple[int, ...] = (1, 100, 1500)
    crowd: Treatment = "region"
    ignore: Treatment = "region"
    frames: Frames = "all"
    class_groups: Groups | None = None
    class_counts: Counts | None = None
    class_edges: tuple[int, ...] = EDGES

    def __post_init__(self) -> None:
        check_settings(self.thresholds, self.sides, self.limits)
        # At once, so that a wrong file is known of before anything is looked for.
        object.__setattr__(self, "class_counts", counts_of(self.class_counts))
        check_grouping(self._grouping)

    def __call__(self, truth: Annotations, found: Found) -> Result:
        """The numbers of `found` against `truth`."""
        truth, found, left_out = in_frames(truth, found, self.frames)
        result = score_boxes(
            truth,
            found,
            thresholds=self.thresholds,
            areas={name: (low**2, high**2) for name, (low, high) in self.sides.items()},
            limits=self.limits,
            crowd=self.crowd,
            ignore=self.ignore,
            stamp=make_stamp("tiny", asdict(self), truth, found) | left_out,
        )
        return grouped(result, self._grouping, left_out_text(left_out))

    @property
    def _grouping(self) -> Grouping:
        return Grouping(self.class_groups, counts_of(self.class_counts), self.class_edges)
