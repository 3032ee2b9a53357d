"""Sigmoids of classes in groups of about equal frequency, for heads that score every prior.

The group softmax of second stages (arXiv:2006.10408) for one-stage detectors; the page on
long-tailed classes says why it is as it is.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.heads.classify import focal_classification, positives
from tinyscope.nn.heads.groups import ClassGroups
from tinyscope.nn.heads.others import taking_part
from tinyscope.nn.heads.tower import prior_bias
from tinyscope.ops.distributed import shared_count
from tinyscope.types import Matches

BACKGROUND_PER_OBJECT = 3
"""Background priors to a positive among which groups find their others, as second stages sample."""


class GroupSigmoid(nn.Module):
    """A logit of foreground, then one for each class, for every prior.

    Foreground learns from all priors by the focal loss. The classes of a group learn from the
    positives of its members and a drawn share of others: positives of other groups and background.

    Args:
        groups: Of the classes.
        others_ratio: Others to a positive of a member that a group learns from.
        alpha: Of the focal loss.
        gamma: Of the focal loss.
    """

    bins: Tensor
    group_of: Tensor

    def __init__(
        self, groups: ClassGroups, others_ratio: float, *, alpha: float, gamma: float
    ) -> None:
        super().__init__()
        self.classes, self.width = groups.classes, groups.classes + 1
        self.others_ratio, self.alpha, self.gamma = others_ratio, alpha, gamma
        self.register_buffer("bins", torch.tensor(groups.bins[1:]), persistent=False)
        self.register_buffer("group_of", torch.tensor(groups.group_of), persistent=False)

    def start(self, bias: Tensor, probability: float) -> None:
        """Sets the bias of a last layer: foreground begins with this score, classes with 1/2."""
        with torch.no_grad():
            rows = bias.view(-1, self.width)
            rows[:, 0] = prior_bias(probability)
            rows[:, 1:] = 0

    def class_logits(self, logits: Float[Tensor, "*p w"]) -> Float[Tensor, "*p k"]:
        """Logits of the classes' scores, which are that of foreground times their own."""
        return joint_logits(logits[..., :1], logits[..., 1:])

    def loss(
        self, logits: Float[Tensor, "b p w"], matches: Sequence[Matches], count: Tensor
    ) -> Float[Tensor, ""]:
        """Focal loss of foreground divided by `count`, plus the mean losses of all groups."""
        objects = [replace(m, labels=torch.zeros_like(m.labels)) for m in matches]
        foreground = focal_classification(
            logits[..., :1], objects, alpha=self.alpha, gamma=self.gamma
        )
        image, prior, labels = self._examples(matches)
        return foreground / count + self.losses(logits[image, prior, 1:], labels).sum()

    def losses(
        self, logits: Float[Tensor, "n k"], labels: Int64[Tensor, "n"]
    ) -> Float[Tensor, "g"]:
        """Binary cross-entropy of each group, summed over its classes.

        It is the mean over the examples of all processes that take part.

        Args:
            logits: Of the classes, for some examples.
            labels: Of the examples; the number of classes for background.
        """
        taking = taking_part(self.bins[:, labels], self.others_ratio).float()  # (g, n)
        target = (labels[:, None] == torch.arange(self.classes, device=labels.device)).float()
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        of_class = (entropy * taking[self.group_of].T).sum(dim=0)  # (k,)
        summed = of_class.new_zeros(len(taking)).index_add(0, self.group_of, of_class)
        return summed / shared_count(taking.sum(dim=1))

    def _examples(self, matches: Sequence[Matches]) -> tuple[Tensor, Tensor, Tensor]:
        """Image, prior and label of all positives and of background drawn evenly."""
        image, prior, labels, _ = positives(matches)
        empty_image = torch.cat([torch.full_like(m.negative, i) for i, m in enumerate(matches)])
        empty = torch.cat([m.negative for m in matches])
        drawn = torch.randperm(len(empty), device=empty.device)
        drawn = drawn[: BACKGROUND_PER_OBJECT * len(prior)]
        background = torch.full_like(drawn, self.classes)
        return (
            torch.cat([image, empty_image[drawn]]),
            torch.cat([prior, empty[drawn]]),
            torch.cat([labels, background]),
        )


def joint_logits(
    logits: Float[Tensor, "*p k"], others: Float[Tensor, "*p n"]
) -> Float[Tensor, "*p m"]:
    """Logits of the product of two scores, also where the product rounds to 0 or 1.

    One side may have a single column for all of the other's.
    """
    # With p = sigmoid(a) sigmoid(b): (1 - p) / p = (1 + e^-a) (1 + e^-b) - 1.
    one, two = -logits, -others
    return -torch.logaddexp(torch.logaddexp(one, two), one + two)
