"""How a second stage tells classes and background apart: one softmax over all of them."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.heads.group_softmax import GroupSoftmax
from tinyscope.nn.heads.groups import ClassGroups, Groups
from tinyscope.ops.distributed import shared_count


class ClassSoftmax(nn.Module):
    """A logit for each class and one for background, which is last; `width` is their number.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.width = classes + 1

    def scores(self, logits: Float[Tensor, "r k1"]) -> Float[Tensor, "r k1"]:
        """Probabilities of classes and background."""
        return logits.softmax(dim=1)

    def best(self, logits: Float[Tensor, "r k1"]) -> Int64[Tensor, "r"]:
        """The most probable class of each row that is not background."""
        # Of the logits: scores far below that of background are 0 and all alike.
        return logits[:, :-1].argmax(dim=1)

    def loss(self, logits: Float[Tensor, "r k1"], labels: Int64[Tensor, "r"]) -> Float[Tensor, ""]:
        """Mean cross-entropy over the rows of all processes."""
        count = shared_count(torch.tensor(len(logits), device=logits.device))
        return functional.cross_entropy(logits, labels, reduction="sum") / count


def class_layer(
    classes: int, groups: Groups | None, others_ratio: float
) -> ClassSoftmax | GroupSoftmax:
    """One softmax, or a softmax for each of the groups.

    Raises:
        SettingsError: The groups do not divide the classes.
    """
    if groups is None:
        return ClassSoftmax(classes)
    return GroupSoftmax(ClassGroups(groups, classes), others_ratio)
