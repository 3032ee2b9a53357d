"""A fixed number of priors, drawn at random (Fast R-CNN, arXiv:1504.08083)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import PositiveInt
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.types import BACKGROUND, Matches, Priors, Target


@dataclass(frozen=True)
class RandomSampler:
    """At most `positive_fraction` of `count` priors positive, the rest background.

    Draws from torch's generator, which the training loop seeds at every step.
    """

    count: PositiveInt = 256
    positive_fraction: Share = 0.5

    def __call__(
        self,
        assigned: Int64[Tensor, "p"],
        target: Target,
        priors: Priors,
        scores: Float[Tensor, "p"] | None = None,
    ) -> Matches:
        """`assigned` holds rows of `target`."""
        positive = (assigned >= 0).nonzero()[:, 0]
        positive = draw(positive, int(self.count * self.positive_fraction))
        negative = draw((assigned == BACKGROUND).nonzero()[:, 0], self.count - len(positive))
        rows = assigned[positive]
        return Matches(positive, negative, target.labels[rows], target.boxes[rows])


def draw(rows: Int64[Tensor, "n"], count: int) -> Int64[Tensor, "m"]:
    """At most `count` of the rows, all with the same chance."""
    if len(rows) <= count:
        return rows
    return rows[torch.randperm(len(rows), device=rows.device)[:count]]
