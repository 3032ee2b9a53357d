"""Background near objects, and what an earlier stage took for one, is drawn more often.

SSPNet's weighted negative sampler (Hong et al. 2021, arXiv:2107.01548).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.matching.assign.max_iou import PAIRS
from tinyscope.matching.sample.random import draw
from tinyscope.ops.boxes import covered_fractions
from tinyscope.types import BACKGROUND, Matches, Priors, Target


@dataclass(frozen=True)
class WeightedNegativeSampler:
    """At most `positive_fraction` of `count` priors positive, the rest background by weight.

    Positives are drawn evenly. Background priors are drawn one after the other, each time with
    chances in proportion to exp(cover_weight * covered + score_weight * score), where `covered`
    is the largest share of an object that the prior covers: 1 for a huge prior around a tiny
    object. In an image without objects all have the same chance.

    Args:
        count: Priors that take part in the loss of an image.
        positive_fraction: Share of them that may be positive.
        cover_weight: Of the share of an object that a prior covers.
        score_weight: Of the score that an earlier stage gave the prior; without effect in a first
            stage, whose priors have none.

    Draws from torch's generator, which the training loop seeds at every step.
    """

    count: PositiveInt = 256
    positive_fraction: Share = 0.5
    cover_weight: NonNegativeFloat = 0.6
    score_weight: NonNegativeFloat = 0.4

    def __call__(
        self,
        assigned: Int64[Tensor, "p"],
        target: Target,
        priors: Priors,
        scores: Float[Tensor, "p"] | None = None,
    ) -> Matches:
        """`assigned` holds rows of `target`; rows of the result ascend."""
        positive = (assigned >= 0).nonzero()[:, 0]
        positive = draw(positive, int(self.count * self.positive_fraction)).sort().values
        negative = (assigned == BACKGROUND).nonzero()[:, 0]
        wanted = self.count - len(positive)
        if len(negative) > wanted:
            preference = self.preference(
                priors.boxes[negative], target.boxes, None if scores is None else scores[negative]
            )
            negative = negative[weighted_draw(preference, wanted)]
        rows = assigned[positive]
        return Matches(positive, negative, target.labels[rows], target.boxes[rows])

    def preference(
        self,
        boxes: Float[Tensor, "q 4"],
        objects: Float[Tensor, "n 4"],
        scores: Float[Tensor, "q"] | None = None,
    ) -> Float[Tensor, "q"]:
        """Logarithms of the weights that background priors are drawn by.

        Args:
            boxes: Of the priors.
            objects: Of the image.
            scores: Of the priors, where an earlier stage gave them any.
        """
        if not len(objects):
            return boxes.new_zeros(len(boxes))
        preference = self.cover_weight * most_covered(objects, boxes)
        return preference if scores is None else preference + self.score_weight * scores


def most_covered(objects: Float[Tensor, "n 4"], boxes: Float[Tensor, "q 4"]) -> Float[Tensor, "q"]:
    """The largest share of any object that each box covers, in [0, 1]; 0 without objects."""
    most = boxes.new_zeros(len(boxes))
    step = max(1, PAIRS // max(1, len(boxes)))
    for start in range(0, len(objects) if len(boxes) else 0, step):
        shares = covered_fractions(objects[start : start + step], boxes)
        most = torch.maximum(most, shares.amax(dim=0))
    return most


def weighted_draw(preference: Float[Tensor, "q"], count: int) -> Int64[Tensor, "c"]:
    """Rows drawn one after the other without putting back, ascending.

    Args:
        preference: Logarithms of weights; the chance of a row is its share in the weights of the
            rows that are left.
        count: How many, at most as many as there are.
    """
    # The rows whose exponential waiting times at rates of the weights end first are such a draw
    # (Efraimidis and Spirakis 2006), in any number: torch.multinomial takes 2^24 at most. Of so
    # many the shortest times are alike in float32.
    waiting = torch.empty_like(preference, dtype=torch.float64).exponential_()
    return (waiting.log() - preference).topk(count, largest=False).indices.sort().values
