"""A softmax for each group of classes of about equal frequency (arXiv:2006.10408).

In one softmax every example of a frequent class pushes the rare classes down, and few examples ever
push them up. Here only examples of classes as rare do, and a drawn share of all others.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.heads.groups import ClassGroups
from tinyscope.nn.heads.others import taking_part
from tinyscope.ops.distributed import shared_count


class GroupSoftmax(nn.Module):
    """Logits of background and foreground, then of each group its others and its members.

    `width` is their number. Labels count classes from 0; background is the last one.

    Args:
        groups: Of the classes.
        others_ratio: Examples of others to one of a member that a group learns from.
    """

    columns: Tensor
    bins: Tensor

    def __init__(self, groups: ClassGroups, others_ratio: float) -> None:
        super().__init__()
        self.lengths, self.others_ratio = groups.lengths, others_ratio
        self.width = sum(self.lengths)
        # They follow from the settings, so checkpoints do not hold them.
        self.register_buffer("columns", torch.tensor(groups.columns), persistent=False)
        self.register_buffer("bins", torch.tensor(groups.bins), persistent=False)

    def scores(self, logits: Float[Tensor, "r w"]) -> Float[Tensor, "r k1"]:
        """Scores of classes, and of background last.

        That of a class is its probability in its group times that of foreground. The probability
        of others is dropped and nothing is normalized again: a row does not sum to 1.
        """
        slices = torch.split(logits, self.lengths, dim=1)
        probabilities = torch.cat([part.softmax(dim=1) for part in slices], dim=1)
        background, foreground = probabilities[:, :1], probabilities[:, 1:2]
        return torch.cat([probabilities[:, self.columns] * foreground, background], dim=1)

    def best(self, logits: Float[Tensor, "r w"]) -> Int64[Tensor, "r"]:
        """The class with the highest score of each row, background aside."""
        slices = torch.split(logits, self.lengths, dim=1)
        # Foreground is common to all classes; logarithms never vanish, as probabilities do.
        likely = torch.cat([part.log_softmax(dim=1) for part in slices], dim=1)
        return likely[:, self.columns].argmax(dim=1)

    def loss(self, logits: Float[Tensor, "r w"], labels: Int64[Tensor, "r"]) -> Float[Tensor, ""]:
        """Sum of the losses of all groups, with others that are drawn anew.

        Args:
            logits: As the head gives them.
            labels: Class of each row; the number of classes for background.
        """
        bins = self.bins[:, labels]
        groups = taking_part(bins[1:], self.others_ratio)
        return self.losses(logits, bins, torch.cat([torch.ones_like(groups[:1]), groups])).sum()

    def losses(
        self, logits: Float[Tensor, "r w"], bins: Int64[Tensor, "g r"], taking: Bool[Tensor, "g r"]
    ) -> Float[Tensor, "g"]:
        """Mean cross-entropy of each slice over the rows of all processes that take part in it."""
        pairs = zip(torch.split(logits, self.lengths, dim=1), bins, strict=True)
        entropies = torch.stack(
            [functional.cross_entropy(part, own, reduction="none") for part, own in pairs]
        )
        return (entropies * taking).sum(dim=1) / shared_count(taking.sum(dim=1))
