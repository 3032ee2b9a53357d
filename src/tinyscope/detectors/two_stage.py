"""Two-stage detectors: proposals, then classes (Faster R-CNN, arXiv:1506.01497)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from tinyscope.detectors.cascade import CascadeStage
from tinyscope.detectors.neck import neck_losses
from tinyscope.detectors.normalize import Normalize
from tinyscope.detectors.proposals import ProposalStage
from tinyscope.detectors.roi import RoiStage
from tinyscope.types import DenseOutputs, Detections, Pyramid, Size, Target


@dataclass(frozen=True)
class TwoStageOutputs:
    """The pyramid, from which the second stage pools, and the raw outputs of the first."""

    pyramid: Pyramid
    proposals: DenseOutputs


class TwoStageDetector(nn.Module):
    """Backbone, neck, a stage that proposes regions and a stage that classifies them.

    Args:
        backbone: Normalized images to levels.
        neck: Levels to a pyramid.
        rpn: First stage.
        roi: Second stage, or several in a row.
        mean: Of the images, subtracted; red, green, blue, 0 to 255.
        std: Of the images, divided by.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        rpn: ProposalStage,
        roi: RoiStage | CascadeStage,
        *,
        mean: tuple[float, float, float] = (123.675, 116.28, 103.53),
        std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.backbone, self.neck, self.rpn, self.roi = backbone, neck, rpn, roi

    def forward(self, images: Tensor) -> TwoStageOutputs:
        """Images (b, 3, h, w), 0 to 255, to the pyramid and the first stage's raw outputs."""
        pyramid = self.neck(self.backbone(self.normalize(images)))
        return TwoStageOutputs(pyramid, self.rpn(pyramid))

    def loss(
        self, outputs: TwoStageOutputs, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]:
        """Named losses () of a batch: both stages', and the neck's own where it has any."""
        with torch.autocast(outputs.proposals.logits.device.type, enabled=False):
            first = self.rpn.loss(outputs.proposals, targets)
            proposals = self.rpn.propose(outputs.proposals, sizes, self.rpn.train_limits)
            neck = neck_losses(self.neck, outputs.pyramid, targets)
        second = self.roi.loss(outputs.pyramid, proposals, targets, sizes)
        return first | second | neck

    @torch.no_grad()
    def decode(
        self, outputs: TwoStageOutputs, sizes: Sequence[Size], score_threshold: float | None = None
    ) -> list[Detections]:
        """Detections of each image, best first.

        Args:
            outputs: As `forward` returned them.
            sizes: Before padding.
            score_threshold: In place of the second stage's own.
        """
        proposals = self.rpn.propose(outputs.proposals, sizes, self.rpn.test_limits)
        boxes = [proposed.boxes for proposed in proposals]
        verdicts = self.roi.classify(outputs.pyramid, boxes, sizes)
        return [self.roi.select(verdict, score_threshold) for verdict in verdicts]
