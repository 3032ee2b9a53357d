"""Two-stage detectors: proposals, then classes (Faster R-CNN, arXiv:1506.01497)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from tinyscope.detectors.cascade import CascadeStage
from tinyscope.detectors.looks import Look, between_frames, joined_proposals, mean_verdict
from tinyscope.detectors.neck import neck_losses
from tinyscope.detectors.normalize import Normalize
from tinyscope.detectors.proposals import Proposals, ProposalStage
from tinyscope.detectors.roi import RoiStage, Verdict
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

    adds_neck_losses = True

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
        return self.outputs(self.pyramid(images))

    def pyramid(self, images: Tensor) -> Pyramid:
        """The neck's maps of images (b, 3, h, w), 0 to 255."""
        pyramid: Pyramid = self.neck(self.backbone(self.normalize(images)))
        return pyramid

    def outputs(self, pyramid: Pyramid) -> TwoStageOutputs:
        """The pyramid and the first stage's raw outputs of it."""
        return TwoStageOutputs(pyramid, self.rpn(pyramid))

    def loss(
        self, outputs: TwoStageOutputs, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]:
        """Named losses () of a batch: both stages', and the neck's own where it has any."""
        with torch.autocast(outputs.proposals.logits.device.type, enabled=False):
            first = self.rpn.loss(outputs.proposals, targets, sizes)
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
        return self.decode_looks([Look(outputs, sizes)], sizes, score_threshold)

    @torch.no_grad()
    def decode_looks(
        self,
        looks: Iterable[Look[TwoStageOutputs]],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """Detections of each image by several looks at it together, best first.

        Every look proposes; the proposals of all are joined by the first stage's `nms` and
        `test_after` and classified in each look, and the mean of what the looks say is judged.

        Args:
            looks: At the same images; the maps of all are held at once.
            sizes: Of the frames that detections are in.
            score_threshold: In place of the second stage's own.
        """
        seen = list(looks)
        proposals = self._propose(seen, sizes)
        said = [self._classify(look, proposals, sizes) for look in seen]
        return [
            self.roi.select(mean_verdict(of_image), score_threshold)
            for of_image in zip(*said, strict=True)
        ]

    def _propose(
        self, looks: Sequence[Look[TwoStageOutputs]], sizes: Sequence[Size]
    ) -> list[Tensor]:
        """Boxes (n, 4) of each image in its own frame, from all looks."""
        limits = self.rpn.test_limits
        found = []
        for look in looks:
            proposed = self.rpn.propose(look.outputs.proposals, look.sizes, limits)
            found.append(
                [
                    Proposals(between_frames(one.boxes, *frames), one.scores)
                    for one, *frames in zip(proposed, look.sizes, sizes, strict=True)
                ]
            )
        return [
            joined_proposals(of_image, self.rpn.nms, limits.after).boxes
            for of_image in zip(*found, strict=True)
        ]

    def _classify(
        self, look: Look[TwoStageOutputs], proposals: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Verdict]:
        """What a look says of the proposals of each image; these and its boxes in their frames."""
        shown = [
            between_frames(boxes, own, seen)
            for boxes, own, seen in zip(proposals, sizes, look.sizes, strict=True)
        ]
        verdicts = self.roi.classify(look.outputs.pyramid, shown, look.sizes)
        return [
            Verdict(verdict.scores, between_frames(verdict.boxes, seen, own))
            for verdict, seen, own in zip(verdicts, look.sizes, sizes, strict=True)
        ]
