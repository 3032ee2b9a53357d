"""Anchor head with focal loss (RetinaNet, arXiv:1708.02002)."""

from collections.abc import Sequence

from jaxtyping import Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from tinyscope.catalog import Probability, Share
from tinyscope.nn.heads.class_sigmoid import prior_classes
from tinyscope.nn.heads.classify import count_of, positives
from tinyscope.nn.heads.groups import Groups
from tinyscope.nn.heads.tower import HeadNorm, Tower, init_convolution, rows
from tinyscope.ops.distributed import shared_count
from tinyscope.ops.losses import BoxLoss, box_iou_loss, delta_loss
from tinyscope.types import Coder, DenseOutputs, Matches, Priors, Pyramid


class RetinaHead(nn.Module):
    """Two towers shared by all levels: a sigmoid per class, and four deltas, for every anchor.

    Args:
        channels: Of the pyramid; supplied by the neck.
        strides: Of the pyramid; supplied by the neck.
        classes: Number of classes.
        priors_per_cell: Anchors per cell; supplied by the priors.
        depth: Convolutions per tower.
        norm: In the towers.
        prior_probability: Score that every anchor starts with.
        alpha: Of the focal loss.
        gamma: Of the focal loss.
        box_loss: On deltas (l1, smooth_l1) or on decoded boxes (giou, diou).
        beta: Of smooth_l1.
        box_weight: Of the box loss.
        count_floor: Positives of an image count as at least so many when losses are divided by
            their number. mmdetection takes 1.
        groups: Labels of the classes of each group, from 0, for classes of which some are rare
            (`GroupSigmoid`); None: no groups.
        others_ratio: Of a group: priors of no class of it to one of its classes that it learns
            from.

    Raises:
        SettingsError: The groups do not divide the classes.
    """

    def __init__(
        self,
        channels: int,
        strides: Sequence[int],
        classes: int,
        priors_per_cell: int,
        *,
        depth: NonNegativeInt = 4,
        norm: HeadNorm = "none",
        prior_probability: Probability = 0.01,
        alpha: Share = 0.25,
        gamma: NonNegativeFloat = 2.0,
        box_loss: BoxLoss = "l1",
        beta: PositiveFloat = 1 / 9,
        box_weight: NonNegativeFloat = 1.0,
        count_floor: NonNegativeInt = 0,
        groups: Groups | None = None,
        others_ratio: NonNegativeFloat = 8.0,
    ) -> None:
        super().__init__()
        self.box_weight = box_weight
        self.box_loss, self.beta, self.classes = box_loss, beta, classes
        self.count_floor = count_floor
        self.groups = groups
        self.layer = prior_classes(classes, groups, others_ratio, alpha=alpha, gamma=gamma)
        self.classification_tower = Tower(channels, depth, norm, len(strides))
        self.box_tower = Tower(channels, depth, norm, len(strides))
        last = nn.Conv2d(channels, priors_per_cell * self.layer.width, 3, padding=1)
        self.classification = init_convolution(last)
        assert last.bias is not None
        self.layer.start(last.bias, prior_probability)
        self.box = init_convolution(nn.Conv2d(channels, priors_per_cell * 4, 3, padding=1))

    def forward(self, pyramid: Pyramid) -> DenseOutputs:
        """Pyramid to logits (b, p, k) and deltas (b, p, 4)."""
        logits = [self.classification(x) for x in self.classification_tower(pyramid.levels)]
        deltas = [self.box(x) for x in self.box_tower(pyramid.levels)]
        return DenseOutputs(pyramid, rows(logits, self.layer.width), rows(deltas, 4))

    def class_logits(self, logits: Float[Tensor, "*p w"]) -> Float[Tensor, "*p k"]:
        """Logits of the classes' scores, from those that `forward` gave for some priors."""
        return self.layer.class_logits(logits)

    def loss(
        self, outputs: DenseOutputs, matches: Sequence[Matches], priors: Priors, coder: Coder
    ) -> dict[str, Tensor]:
        """Named losses (), normalized by the positives of all processes."""
        image, prior, _, boxes = positives(matches)
        count = shared_count(count_of([m.positive for m in matches], self.count_floor))
        box = prior_box_loss(
            outputs.deltas[image, prior], priors[prior], boxes, coder, self.box_loss, self.beta
        )
        return {
            "classification": self.layer.loss(outputs.logits, matches, count),
            "box": self.box_weight * box.sum() / count,
        }


def prior_box_loss(
    deltas: Tensor, priors: Priors, boxes: Tensor, coder: Coder, kind: BoxLoss, beta: float
) -> Tensor:
    """Loss (m,) of predicted deltas (m, 4) of priors that answer for `boxes` (m, 4)."""
    if kind == "giou" or kind == "diou":
        return box_iou_loss(coder.decode(priors, deltas), boxes, kind)
    return delta_loss(
        deltas, coder.encode(priors, boxes), beta=beta if kind == "smooth_l1" else 0.0
    )
