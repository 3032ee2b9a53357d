"""Second-stage head: two shared linear layers, classes, deltas (arXiv:1612.03144)."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.heads.class_softmax import class_layer
from tinyscope.nn.heads.groups import Groups
from tinyscope.ops.distributed import shared_count
from tinyscope.ops.losses import delta_loss


class TwoFcHead(nn.Module):
    """Pooled features of proposals to logits and deltas.

    The logits are of the classes and of background, which is last; where classes are in groups,
    they are those of `GroupSoftmax`.

    Args:
        channels: Of the pyramid; supplied by the neck.
        classes: Number of classes.
        pool: Cells per side of the pooled features; supplied by the stage.
        width: Of the linear layers.
        per_class: Deltas for every class, or one set for all.
        box_loss: On deltas.
        beta: Of smooth_l1.
        groups: Labels of the classes of each group, from 0, for a softmax per group (balanced
            group softmax, arXiv:2006.10408); None: one softmax for all.
        others_ratio: Of a group: proposals of no class of it to one of its classes that it learns
            from.

    Raises:
        SettingsError: The groups do not divide the classes.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        pool: int,
        *,
        width: PositiveInt = 1024,
        per_class: bool = True,
        box_loss: Literal["l1", "smooth_l1"] = "l1",
        beta: PositiveFloat = 1.0,
        groups: Groups | None = None,
        others_ratio: NonNegativeFloat = 8.0,
    ) -> None:
        super().__init__()
        self.classes, self.per_class, self.groups = classes, per_class, groups
        self.layer = class_layer(classes, groups, others_ratio)
        self.beta = beta if box_loss == "smooth_l1" else 0.0
        self.first = nn.Linear(channels * pool * pool, width)
        self.second = nn.Linear(width, width)
        self.classification = nn.Linear(width, self.layer.width)
        self.box = nn.Linear(width, 4 * classes if per_class else 4)
        for layer in (self.first, self.second):
            nn.init.xavier_normal_(layer.weight)
        nn.init.normal_(self.classification.weight, std=0.01)
        nn.init.normal_(self.box.weight, std=0.001)
        for layer in (self.first, self.second, self.classification, self.box):
            nn.init.zeros_(layer.bias)

    def forward(
        self, features: Float[Tensor, "r c s s"]
    ) -> tuple[Float[Tensor, "r w"], Float[Tensor, "r d 4"]]:
        """Logits of classes and background (r, k + 1, more with groups); deltas (r, k or 1, 4);
        float32."""
        x = functional.relu(self.first(features.flatten(1)), inplace=True)
        x = functional.relu(self.second(x), inplace=True)
        deltas = self.box(x).float()
        return self.classification(x).float(), deltas.unflatten(1, (-1, 4))

    def scores(self, logits: Float[Tensor, "r w"]) -> Float[Tensor, "r k1"]:
        """Scores of the classes, and of background last."""
        return self.layer.scores(logits)

    def best(self, logits: Float[Tensor, "r w"]) -> Int64[Tensor, "r"]:
        """The class of each row with the highest score, background aside."""
        return self.layer.best(logits)

    def class_deltas(
        self, deltas: Float[Tensor, "r d 4"], labels: Int64[Tensor, "r"]
    ) -> Float[Tensor, "r 4"]:
        """The deltas that each row uses for its label."""
        rows = torch.arange(len(deltas), device=deltas.device)
        return deltas[rows, labels if self.per_class else torch.zeros_like(labels)]

    def loss(
        self,
        logits: Float[Tensor, "r w"],
        deltas: Float[Tensor, "r d 4"],
        labels: Int64[Tensor, "r"],
        targets: Float[Tensor, "m 4"],
    ) -> dict[str, Tensor]:
        """Named losses (), both normalized by all sampled proposals of all processes.

        With groups, that of classes is the sum of all groups', each normalized by the proposals
        that take part in it.

        Args:
            logits: As returned.
            deltas: As returned.
            labels: Class of each proposal; `classes` for background.
            targets: Encoded boxes of the rows that are not background, in order.
        """
        count = shared_count(torch.tensor(len(logits), device=logits.device))
        positive = labels < self.classes
        predicted = self.class_deltas(deltas[positive], labels[positive])
        return {
            "classification": self.layer.loss(logits, labels),
            "box": delta_loss(predicted, targets, beta=self.beta).sum() / count,
        }
