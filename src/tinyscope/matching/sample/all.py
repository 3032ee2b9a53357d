"""No sampling: every assigned prior takes part in the loss."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.types import BACKGROUND, Matches, Priors, Target


@dataclass(frozen=True)
class TakeAll:
    """All positives and all background priors, as focal losses want them."""

    def __call__(
        self,
        assigned: Int64[Tensor, "p"],
        target: Target,
        priors: Priors,
        scores: Float[Tensor, "p"] | None = None,
    ) -> Matches:
        """`assigned` holds rows of `target`."""
        positive = (assigned >= 0).nonzero()[:, 0]
        negative = (assigned == BACKGROUND).nonzero()[:, 0]
        rows = assigned[positive]
        return Matches(positive, negative, target.labels[rows], target.boxes[rows])
