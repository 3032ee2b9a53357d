"""One suppression over all windows of an image, as published benchmarks merge tiles."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.ops.suppress import nms_per_class
from tinyscope.tiling.found import Found
from tinyscope.types import Detections


@dataclass(frozen=True)
class PooledNmsMerge:
    """Suppression among all detections of an image, also those of one window.

    Neighbors that a window told apart are judged again, and parts of an object that seams cut
    stay where they overlap the whole by less than the threshold; `nms` does neither. For figures
    that can be compared with published ones, and for detectors that leave suppression to it.

    Args:
        iou_threshold: Above this the lesser of two detections goes; at 1 all stay.
        at_threshold: Whether an IoU of exactly the threshold lets both stay or drops the lesser.
        last_pixel: Boxes include the pixel that they end at, as older code has it: widths are
            x2 - x1 + 1. Of 4 px boxes that are 2 px apart it makes an IoU of 0.43 out of 0.33.
        class_blind: Detections of different classes suppress each other.
        one_class: All become detections of the first class.
        score_above: Detections with this score or a lower one are left out before.
        order: `score` is best first; `input` is window by window, as they were found.
        undecided: Detectors hand out what they found in a window before any suppression of their
            own, so that this is the only one. One-stage detectors can.
    """

    within_windows: ClassVar[bool] = True

    iou_threshold: Share = 0.5
    at_threshold: Literal["keep", "drop"] = "keep"
    last_pixel: bool = False
    class_blind: bool = False
    one_class: bool = False
    score_above: Share | None = None
    order: Literal["score", "input"] = "score"
    undecided: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.iou_threshold <= 1:
            raise ValueError(f"iou_threshold must be from 0 to 1, got {self.iou_threshold}")
        if self.at_threshold == "drop" and not self.iou_threshold:
            raise ValueError("at_threshold drop with iou_threshold 0 would leave one detection")

    def __call__(self, found: Found) -> Detections:
        """What was found in the image."""
        if self.score_above is not None:
            found = found[found.scores > self.score_above]
        if self.one_class:
            found = found.relabeled(torch.zeros_like(found.labels))
        rows = found.order()
        kept = rows[self._kept(found[rows])]
        return found[kept.sort().values if self.order == "input" else kept].detections()

    def _kept(self, found: Found) -> Tensor:
        """Rows that stay, of rows that stand best first."""
        # As in the published code: in float32 an IoU falls on the same side of the threshold.
        boxes = found.boxes.float()
        if self.last_pixel:
            boxes = boxes + boxes.new_tensor([0, 0, 1, 1])
        threshold = self.iou_threshold
        if self.at_threshold == "drop" and threshold < 1:
            threshold = math.nextafter(threshold, -1.0)
        labels = torch.zeros_like(found.labels) if self.class_blind else found.labels
        return nms_per_class(boxes, found.scores.float(), labels, threshold)
