"""One-stage detectors: RetinaNet, FCOS and whatever predicts from priors in one step."""

from collections.abc import Iterable, Sequence

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from tinyscope.catalog import Share
from tinyscope.detectors.looks import Look, between_frames, joined_detections
from tinyscope.detectors.matching import match_batch, standing
from tinyscope.detectors.neck import neck_losses
from tinyscope.detectors.normalize import Normalize
from tinyscope.detectors.parts import Assigner, PriorHead, PriorMaker, Sampler
from tinyscope.detectors.select import Rank, best_pairs, level_spans
from tinyscope.detectors.suppression import Decay, Suppression
from tinyscope.ops.boxes import clip_boxes
from tinyscope.types import Coder, DenseOutputs, Detections, Priors, Pyramid, Size, Target


class DenseDetector(nn.Module):
    """Backbone, neck and one head that scores every prior.

    Args:
        backbone: Normalized images to levels.
        neck: Levels to a pyramid.
        head: Pyramid to `DenseOutputs`; owns their loss.
        priors: What the head predicts from.
        assigner: Which prior answers for which object.
        sampler: Which priors take part in the loss.
        coder: Deltas to boxes.
        mean: Of the images, subtracted; red, green, blue, 0 to 255.
        std: Of the images, divided by.
        border: Boxes end at least so many pixels before the right and the lower border of the
            image; published Fovea leaves 1.
        score_threshold: Class scores at or below are no detections; before the quality.
        candidates: Best (prior, class) pairs per level and image that suppression sees.
        rank: Whether `candidates` are pairs above the threshold, or priors before it.
        nms: IoU above which the lesser of two detections of a class goes.
        decay: Whether its score decays instead, and how (Soft-NMS).
        decay_floor: Detections whose score decays below this are dropped.
        limit: Detections per image.
        ignore_threshold: Background priors of which an ignored region covers more than this
            take no part in the loss.
        overhang: Priors that reach farther out of the unpadded image than this take no part in
            assignment and loss, pixels. None: however far they reach.
        own_padding: Priors of cells beyond the image as it is when padded on its own to multiples
            of this take no part either. None: those in all of the batch's padding do.
    """

    adds_neck_losses = True

    head: PriorHead
    priors: PriorMaker
    assigner: Assigner
    sampler: Sampler
    coder: Coder

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        head: PriorHead,
        priors: PriorMaker,
        assigner: Assigner,
        sampler: Sampler,
        coder: Coder,
        *,
        mean: tuple[float, float, float] = (123.675, 116.28, 103.53),
        std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375),
        border: NonNegativeInt = 0,
        score_threshold: Share = 0.05,
        candidates: PositiveInt = 2000,
        rank: Rank = "pairs",
        nms: Share = 0.5,
        decay: Decay = "none",
        decay_floor: Share = 0.05,
        limit: PositiveInt = 1000,
        ignore_threshold: Share = 0.5,
        overhang: NonNegativeFloat | None = None,
        own_padding: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.backbone, self.neck, self.head = backbone, neck, head
        self.priors, self.assigner, self.sampler, self.coder = priors, assigner, sampler, coder
        self.border = border
        self.score_threshold, self.candidates, self.rank = score_threshold, candidates, rank
        self.suppress = Suppression(nms, decay, decay_floor, limit)
        self.ignore_threshold = ignore_threshold
        self.overhang, self.own_padding = overhang, own_padding

    def forward(self, images: Tensor) -> DenseOutputs:
        """Images (b, 3, h, w), 0 to 255, to raw outputs of all priors."""
        return self.outputs(self.pyramid(images))

    def pyramid(self, images: Tensor) -> Pyramid:
        """The neck's maps of images (b, 3, h, w), 0 to 255."""
        pyramid: Pyramid = self.neck(self.backbone(self.normalize(images)))
        return pyramid

    def outputs(self, pyramid: Pyramid) -> DenseOutputs:
        """Raw outputs of all priors of a pyramid."""
        return self.head(pyramid)

    def loss(
        self, outputs: DenseOutputs, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]:
        """Named losses () of a batch; the neck's own among them where it has any."""
        priors = self._priors(outputs)
        with torch.autocast(outputs.logits.device.type, enabled=False):
            matches = match_batch(
                priors,
                targets,
                self.assigner,
                self.sampler,
                ignore_threshold=self.ignore_threshold,
                chosen=standing(priors, sizes, overhang=self.overhang, divisor=self.own_padding),
            )
            losses = self.head.loss(outputs, matches, priors, self.coder)
            return losses | neck_losses(self.neck, outputs.pyramid, targets)

    @torch.no_grad()
    def decode(
        self, outputs: DenseOutputs, sizes: Sequence[Size], score_threshold: float | None = None
    ) -> list[Detections]:
        """Detections of each image, best first.

        Args:
            outputs: As `forward` returned them.
            sizes: Before padding.
            score_threshold: In place of the detector's own.
        """
        return self.decode_looks([Look(outputs, sizes)], sizes, score_threshold)

    @torch.no_grad()
    def decode_looks(
        self,
        looks: Iterable[Look[DenseOutputs]],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """Detections of each image by several looks at it together, best first.

        The candidates of all looks go through one suppression.

        Args:
            looks: At the same images; they are asked for one after the other.
            sizes: Of the frames that detections are in.
            score_threshold: In place of the detector's own.
        """
        return [
            self.suppress(found.boxes, found.scores, found.labels)
            for found in self.decode_undecided(looks, sizes, score_threshold)
        ]

    @torch.no_grad()
    def decode_undecided(
        self,
        looks: Iterable[Look[DenseOutputs]],
        sizes: Sequence[Size],
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """What suppression would see of each image, best first and in any number.

        For one suppression over all tiles of an image; arguments as those of `decode_looks`.
        """
        floor = self.score_threshold if score_threshold is None else score_threshold
        found = [self._seen(look, sizes, floor) for look in looks]
        return [joined_detections(of_image) for of_image in zip(*found, strict=True)]

    def _seen(
        self, look: Look[DenseOutputs], sizes: Sequence[Size], floor: float
    ) -> list[Detections]:
        """The candidates of a look in each image, in the frames of `sizes`."""
        priors = self._priors(look.outputs)
        spans = level_spans(priors.levels)
        found = []
        for image, (seen, own) in enumerate(zip(look.sizes, sizes, strict=True)):
            boxes, scores, labels = self._candidates(
                look.outputs, image, seen, priors, spans, floor
            )
            found.append(Detections(between_frames(boxes, seen, own), scores, labels))
        return found

    def _candidates(
        self,
        outputs: DenseOutputs,
        image: int,
        size: Size,
        priors: Priors,
        spans: list[slice],
        floor: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of an image as it was seen."""
        quality = None if outputs.quality is None else outputs.quality[image]
        prior, labels, scores = best_pairs(
            self.head.class_logits(outputs.logits[image]),
            quality,
            spans,
            threshold=floor,
            limit=self.candidates,
            rank=self.rank,
        )
        boxes = self.coder.decode(priors[prior], outputs.deltas[image, prior])
        inside = (size[0] - self.border, size[1] - self.border)
        return clip_boxes(boxes, inside), scores, labels

    def _priors(self, outputs: DenseOutputs) -> Priors:
        return self.priors(outputs.pyramid.sizes, outputs.logits.device)
