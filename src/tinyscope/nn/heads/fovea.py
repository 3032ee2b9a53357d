"""Point head without a quality branch, boxes by the log of distances (Fovea, arXiv:1904.03797)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

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
from tinyscope.ops.distributed import shared_count
from tinyscope.ops.losses import delta_loss
from tinyscope.types import Coder, DenseOutputs, Matches, Priors, Pyramid


class FoveaHead(nn.Module):
    """Two towers shared by all levels: a sigmoid per class, and four deltas, for every point.

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
        beta: Difference of a delta below which its loss is quadratic.
        box_weight: Of the box loss.
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
        norm: HeadNorm = "none",
        prior_probability: Probability = 0.01,
        alpha: Share = 0.4,
        gamma: NonNegativeFloat = 1.5,
        beta: PositiveFloat = 0.11,
        box_weight: NonNegativeFloat = 1.0,
        groups: Groups | None = None,
        others_ratio: NonNegativeFloat = 8.0,
    ) -> None:
        super().__init__()
        require_one_prior("fovea", priors_per_cell)
        self.beta, self.box_weight = beta, box_weight
        self.classes = classes
        self.groups = groups
        self.layer = prior_classes(classes, groups, others_ratio, alpha=alpha, gamma=gamma)
        self.classification_tower = Tower(channels, depth, norm, len(strides))
        self.box_tower = Tower(channels, depth, norm, len(strides))
        last = nn.Conv2d(channels, self.layer.width, 3, padding=1)
        self.classification = init_convolution(last)
        assert last.bias is not None
        self.layer.start(last.bias, prior_probability)
        self.box = init_convolution(nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, pyramid: Pyramid) -> DenseOutputs:
        """Pyramid to logits (b, p, k) and deltas (b, p, 4), one prior a cell."""
        logits = [self.classification(x) for x in self.classification_tower(pyramid.levels)]
        deltas = [self.box(x) for x in self.box_tower(pyramid.levels)]
        return DenseOutputs(pyramid, rows(logits, self.layer.width), rows(deltas, 4))

    def class_logits(self, logits: Float[Tensor, "*p w"]) -> Float[Tensor, "*p k"]:
        """Logits of the classes' scores, from those that `forward` gave for some priors."""
        return self.layer.class_logits(logits)

    def loss(
        self, outputs: DenseOutputs, matches: Sequence[Matches], priors: Priors, coder: Coder
    ) -> dict[str, Tensor]:
        """Named losses (): of classes by the positives and the images of all processes, of boxes by
        the positives."""
        image, prior, _, boxes = positives(matches)
        count = torch.tensor(len(prior), device=boxes.device)
        targets = coder.encode(priors[prior], boxes)
        box = delta_loss(outputs.deltas[image, prior], targets, beta=self.beta)
        examples = shared_count(count + len(matches))
        return {
            "classification": self.layer.loss(outputs.logits, matches, examples),
            "box": self.box_weight * box.sum() / shared_count(count),
        }
