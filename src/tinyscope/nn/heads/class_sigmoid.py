"""How a head that scores every prior tells classes apart: a sigmoid for each of them."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from tinyscope.nn.heads.classify import focal_classification
from tinyscope.nn.heads.group_sigmoid import GroupSigmoid
from tinyscope.nn.heads.groups import ClassGroups, Groups
from tinyscope.nn.heads.tower import prior_bias
from tinyscope.types import Matches


class ClassSigmoid(nn.Module):
    """A logit for each class, for every prior; `width` is their number.

    Args:
        classes: Number of classes.
        alpha: Of the focal loss.
        gamma: Of the focal loss.
    """

    def __init__(self, classes: int, *, alpha: float, gamma: float) -> None:
        super().__init__()
        self.width, self.alpha, self.gamma = classes, alpha, gamma

    def start(self, bias: Tensor, probability: float) -> None:
        """Sets the bias of a last layer, so that every class begins with this score."""
        nn.init.constant_(bias, prior_bias(probability))

    def class_logits(self, logits: Float[Tensor, "*p k"]) -> Float[Tensor, "*p k"]:
        """Logits of the classes' scores: these."""
        return logits

    def loss(
        self, logits: Float[Tensor, "b p k"], matches: Sequence[Matches], count: Tensor
    ) -> Float[Tensor, ""]:
        """Focal loss of all classes divided by `count`."""
        return focal_classification(logits, matches, alpha=self.alpha, gamma=self.gamma) / count


def prior_classes(
    classes: int, groups: Groups | None, others_ratio: float, *, alpha: float, gamma: float
) -> ClassSigmoid | GroupSigmoid:
    """A sigmoid for each class, or one of foreground and those of the groups.

    Raises:
        SettingsError: The groups do not divide the classes.
    """
    if groups is None:
        return ClassSigmoid(classes, alpha=alpha, gamma=gamma)
    return GroupSigmoid(ClassGroups(groups, classes), others_ratio, alpha=alpha, gamma=gamma)
