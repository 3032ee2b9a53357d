"""The official metric of ImageNet VID with its groups of motion.

That of the evaluation published with FGFA (Zhu et al. 2017, arXiv:1703.10025). Beside COCO's:
sides are one pixel longer, small objects need less overlap, precision is averaged over all
recalls, and the objects are told apart by how fast they move. `blame` says how it is counted.
"""

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from tinyscope.errors import SettingsError
from tinyscope.evaluation.blame import ground_of
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
from tinyscope.evaluation.motion import has_motion, in_ranges, motion_ious
from tinyscope.evaluation.parts import Found, parts_of
from tinyscope.evaluation.protocol import RECALLS, Ranges, check_thresholds, make_stamp
from tinyscope.evaluation.result import Result
from tinyscope.evaluation.weighted import weighted_scores
from tinyscope.formats.tables import Annotations

MOTIONS = {"all": (0.0, 1.0), "slow": (0.9, 1.0), "medium": (0.7, 0.9), "fast": (0.0, 0.7)}
"""Least and largest motion IoU. Both are included, so that one of exactly 0.9 is in two groups."""


@dataclass(frozen=True)
class VidProtocol:
    """Scores detections as the official evaluation of ImageNet VID does.

    Args:
        thresholds: IoUs from which on a detection has found a large object.
        tolerance: Pixels by which an object may be missed on each axis: an IoU of
            w h / ((w + t)(h + t)) suffices where it is less than the threshold. 0 for none.
        inclusive: Whether x2 and y2 are the last pixels of a box, as in ImageNet VID, so that
            its sides are x2 - x1 + 1; also in IoUs from frame to frame.
        motions: Name to least and largest motion IoU, both included; the first one stands for
            all. Known from the rows' `motion_iou`, else from tracks (`instance_id`).
        span: Frames to each side that motion is judged by.
        alone: What an object is that no frame near shows again: `fast` (its motion IoU counts as
            0, as published), or of no group but the first.
        frames: `keys` leaves out images that the file does not mark as key frames of a video;
            motion is still judged by all frames.
        class_groups: Name of a group to the classes that are averaged together under it.
        class_counts: Examples of each class in training, or the annotation file of its training
            set: in place of `class_groups`, to group classes as few, medium and many.
        class_edges: Counts at which the next group begins.
    """

    in_parts: ClassVar[bool] = True
    thresholds: tuple[float, ...] = (0.5,)
    tolerance: float = 10.0
    inclusive: bool = True
    motions: Ranges = field(default_factory=lambda: dict(MOTIONS))
    span: int = 10
    alone: Literal["fast", "ungrouped"] = "fast"
    frames: Frames = "all"
    class_groups: Groups | None = None
    class_counts: Counts | None = None
    class_edges: tuple[int, ...] = EDGES

    def __post_init__(self) -> None:
        check_thresholds(self.thresholds)
        if not 0 <= self.tolerance < np.inf:
            raise SettingsError(f"tolerance: got {self.tolerance}; must be pixels, 0 or more")
        if self.span < 1:
            raise SettingsError(f"span: got {self.span}; must be 1 or more frames")
        if not self.motions or not all(0 <= a < b <= 1 for a, b in self.motions.values()):
            raise SettingsError(
                f"motions: got {dict(self.motions)}; must name at least one [least, largest] IoU, "
                "0 <= least < largest <= 1"
            )
        # At once, so that a wrong file is known of before anything is looked for.
        object.__setattr__(self, "class_counts", counts_of(self.class_counts))
        check_grouping(self._grouping)

    def __call__(self, truth: Annotations, found: Found) -> Result:
        """The numbers of `found` against `truth`; without tracks those of the first group alone."""
        motion = motion_ious(truth, self.span, self._pixel)
        known = has_motion(truth)
        counts = ~(truth.ignore | truth.crowd)
        if self.frames == "keys" and truth.video is not None:
            motion, counts = (x[truth.video.keys[truth.images]] for x in (motion, counts))
        truth, found, left_out = in_frames(truth, found, self.frames)
        names = tuple(self.motions)[: None if known else 1]
        alone = int((np.isnan(motion) & counts).sum())
        ground = ground_of(truth, self._inside(motion)[: len(names)], self.tolerance, self._pixel)
        result = Result(
            names=truth.names,
            thresholds=self.thresholds,
            sizes=names,
            limits=(),
            recalls=RECALLS,
            scores=weighted_scores(parts_of(found), ground, self.thresholds, len(truth.names)),
            stamp=make_stamp("vid", asdict(self), truth, found)
            | left_out
            | ({"objects_alone": alone} if known else {}),
        )
        notes = [*left_out_text(left_out), *self._motion_text(known, alone)]
        return grouped(result, self._grouping, notes)

    def _inside(self, motion: Float64[ndarray, "n"]) -> Bool[ndarray, "a n"]:
        if self.alone == "fast":
            motion = np.nan_to_num(motion, nan=0.0)
        return in_ranges(motion, tuple(self.motions.values()))

    def _motion_text(self, known: bool, alone: int) -> list[str]:
        if len(self.motions) == 1:
            return []
        if not known:
            return ["no groups by motion: the file does not say which boxes are one object"]
        place = "count as fast" if self.alone == "fast" else "are in no group by motion"
        return [f"{alone} objects that no frame near shows again {place}"] if alone else []

    @property
    def _grouping(self) -> Grouping:
        return Grouping(self.class_groups, counts_of(self.class_counts), self.class_edges)

    @property
    def _pixel(self) -> float:
        return 1.0 if self.inclusive else 0.0
