"""What becomes of the duplicates that a detector finds in one image."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.ops.suppress import nms_per_class, soft_nms_per_class
from tinyscope.types import Detections

Decay = Literal["none", "linear", "gaussian"]
"""How a lesser detection of the same object loses: it is dropped, or its score decays."""


@dataclass(frozen=True)
class Suppression:
    """Keeps the best of the detections of one class that overlap.

    Args:
        nms: IoU above which the lesser of two goes, or from which `linear` lets its score decay;
            `gaussian` does at any IoU.
        decay: Of scores (Soft-NMS, arXiv:1704.04503); none drops the lesser.
        floor: Detections whose score decays below are dropped; without decay nothing is.
        limit: Detections that stay; None: as many as there are.
    """

    nms: float
    decay: Decay
    floor: float
    limit: int | None

    def __call__(
        self, boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n"], labels: Int64[Tensor, "n"]
    ) -> Detections:
        """What remains of the candidates of an image, best first."""
        if self.decay == "none":
            kept = nms_per_class(boxes, scores, labels, self.nms, self.limit)
            return Detections(boxes[kept], scores[kept], labels[kept])
        kept, scores = soft_nms_per_class(
            boxes,
            scores,
            labels,
            decay=self.decay,
            iou_threshold=self.nms,
            score_threshold=self.floor,
            limit=self.limit,
        )
        return Detections(boxes[kept], scores, labels[kept])
