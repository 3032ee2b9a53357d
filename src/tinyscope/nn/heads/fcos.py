"""Point head with a learned scale per level and a quality branch (FCOS, arXiv:1904.01355)."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.catalog import Probability, Share
from tinyscope.nn.heads.class_sigmoid import prior_classes
from tinyscope.nn.heads.classify import positives
from tinyscope.nn.heads.groups import Groups
from tinyscope.nn.heads.tower import (
    HeadNorm,
    Tower,
    init_convolution,
    require_one_prior,
    rows,
)
from tinyscope.ops.boxes import paired_overlaps
from tinyscope.ops.distributed import shared_count
from tinyscope.ops.losses import box_iou_loss
from tinyscope.types import Coder, DenseOutputs, Matches, Priors, Pyramid


class FcosHead(nn.Module):
    """Two towers shared by all levels: classes, and four deltas with a quality logit.

    Args:
        channels: Of the pyramid; supplied by the neck.
        strides: Of the pyramid; supplied by the neck.
        classes: Number of classes.
        priors_per_cell: Supplied by the priors; must be one.
        depth: Convolutions per tower.
        norm: In the towers.
        prior_probability: Score that every point starts with.
        alpha: Of the focal loss.
        gamma: Of the focal loss.
        box_loss: On decoded boxes.
        quality: What the quality logit learns: "center", how central the point lies in its
            object (weights the box loss too), or "iou" of the predicted box with its object.
        box_weight: Of the box loss.
        box_bias: Deltas that every point starts with; strides, for a distance coder.
        center_floor: A point counts as at least so many strides away from each side of its
            object, so that one outside of it, as `nearest` of the center assigner allows, has a
            weight too. 0 is the published rule.
        groups: Labels of the classes of each group, from 0, for classes of which some are rare
            (`GroupSigmoid`); None: no groups.
        others_ratio: Of a group: priors of no class of it to one of its classes that it learns
            from.

    Raises:
        SettingsError: Cells have several priors, or the groups do not divide the classes.
    """

    def __init__(
        self,
        channels: int,
        strides: Sequence[int],
        classes: int,
        priors_per_cell: int = 1,
        *,
        depth: NonNegativeInt = 4,
        norm: HeadNorm = "group",
        prior_probability: Probability = 0.01,
        alpha: Share = 0.25,
        gamma: NonNegativeFloat = 2.0,
        box_loss: Literal["giou", "diou"] = "giou",
        quality: Literal["center", "iou"] = "center",
        box_weight: NonNegativeFloat = 1.0,
        box_bias: float = 1.0,
        center_floor: NonNegativeFloat = 0.01,
        groups: Groups | None = None,
        others_ratio: NonNegativeFloat = 8.0,
    ) -> None:
        super().__init__()
        require_one_prior("fcos", priors_per_cell)
        self.box_weight = box_weight
        self.box_loss, self.quality_target = box_loss, quality
        self.center_floor = center_floor
        self.classes = classes
        self.groups = groups
        self.layer = prior_classes(classes, groups, others_ratio, alpha=alpha, gamma=gamma)
        self.classification_tower = Tower(channels, depth, norm, len(strides))
        self.box_tower = Tower(channels, depth, norm, len(strides))
        last = nn.Conv2d(channels, self.layer.width, 3, padding=1)
        self.classification = init_convolution(last)
        assert last.bias is not None
        self.layer.start(last.bias, prior_probability)
        self.box = init_convolution(nn.Conv2d(channels, 4, 3, padding=1), bias=box_bias)
        self.quality = init_convolution(nn.Conv2d(channels, 1, 3, padding=1))
        self.scales = nn.Parameter(torch.ones(len(strides)))

    def forward(self, pyramid: Pyramid) -> DenseOutputs:
        """Pyramid to logits (b, p, k), deltas (b, p, 4) and quality (b, p), one prior a cell."""
        logits = [self.classification(x) for x in self.classification_tower(pyramid.levels)]
        shared = self.box_tower(pyramid.levels)
        deltas = [self.box(x).float() * s for x, s in zip(shared, self.scales, strict=True)]
        quality = [self.quality(x) for x in shared]
        return DenseOutputs(
            pyramid, rows(logits, self.layer.width), rows(deltas, 4), rows(quality, 1)[..., 0]
        )

    def class_logits(self, logits: Float[Tensor, "*p w"]) -> Float[Tensor, "*p k"]:
        """Logits of the classes' scores, from those that `forward` gave for some priors."""
        return self.layer.class_logits(logits)

    def loss(
        self, outputs: DenseOutputs, matches: Sequence[Matches], priors: Priors, coder: Coder
    ) -> dict[str, Tensor]:
        """Named losses (), normalized by the positives of all processes."""
        assert outputs.quality is not None
        image, prior, _, boxes = positives(matches)
        count = shared_count(torch.tensor(len(prior), device=boxes.device))
        matched = priors[prior]
        predicted = coder.decode(matched, outputs.deltas[image, prior])
        target, weight = self._quality(matched, boxes, predicted.detach())
        box = box_iou_loss(predicted, boxes, self.box_loss)
        quality = functional.binary_cross_entropy_with_logits(
            outputs.quality[image, prior], target, reduction="sum"
        )
        return {
            "classification": self.layer.loss(outputs.logits, matches, count),
            "box": self.box_weight * (box * weight).sum() / shared_count(weight.sum(), floor=1e-6),
            "quality": quality / count,
        }

    def _quality(
        self, priors: Priors, boxes: Tensor, predicted: Tensor
    ) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
        """Target of the quality logit and weight of the box loss, per positive."""
        if self.quality_target == "center":
            target = centerness(priors, boxes, self.center_floor)
            return target, target
        iou = paired_overlaps(predicted, boxes)
        return iou, torch.ones_like(iou)


def centerness(
    priors: Priors, boxes: Float[Tensor, "m 4"], floor: float = 0.01
) -> Float[Tensor, "m"]:
    """How central each prior lies in its box: 1 in the middle, falling to 0 at the sides.

    Distances count in strides and at least `floor`, so that a point outside its box has a value
    too, unless `floor` is 0.
    """
    centers = priors.centers
    distances = torch.cat([centers - boxes[:, :2], boxes[:, 2:] - centers], dim=1)
    distances = distances / priors.strides[:, None]
    across, down = distances[:, 0::2], distances[:, 1::2]
    ratios = [
        d.amin(dim=1).clamp(min=floor) / d.amax(dim=1).clamp(min=max(floor, 1e-6))
        for d in (across, down)
    ]
    return (ratios[0] * ratios[1]).sqrt()
