"""Points for objects that a rule of assignment left without any."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tinyscope.types import BACKGROUND, Priors

Fits = Callable[[Priors, Float[Tensor, "n 4"]], Bool[Tensor, "n p"]]
"""Whether each box is of a size that each point's level takes."""


def give_nearest(
    priors: Priors,
    boxes: Float[Tensor, "n 4"],
    assigned: Int64[Tensor, "p"],
    fits: Fits,
    pairs: int,
) -> Int64[Tensor, "p"]:
    """Objects without a point take the nearest free one of a level that fits their size.

    Args:
        priors: Whose centers are the points.
        boxes: Objects of the image.
        assigned: Rows of `boxes`, or BACKGROUND, which are the free ones.
        fits: By `priors` and some of the `boxes`.
        pairs: Of point and object held at once.
    """
    owned = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    owned[assigned[assigned >= 0]] = True
    poor = (~owned).nonzero()[:, 0]
    assigned = assigned.clone()
    for rows in torch.split(poor, max(1, pairs // len(priors))):
        # Where several want one point the last gets it; the others look again. Every round
        # settles at least one, and few rounds are ever needed.
        while len(rows):
            nearest, found = _nearest_free(priors, boxes[rows], assigned, fits)
            rows, nearest = rows[found], nearest[found]
            assigned[nearest] = rows
            rows = rows[assigned[nearest] != rows]
    return assigned


def _nearest_free(
    priors: Priors, boxes: Tensor, assigned: Tensor, fits: Fits
) -> tuple[Tensor, Tensor]:
    """The nearest background point of the levels of each box, and whether there is one."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = (priors.centers - centers[:, None]).abs().amax(dim=-1)
    free = fits(priors, boxes) & (assigned == BACKGROUND)
    least, nearest = distance.masked_fill(~free, torch.inf).min(dim=1)
    return nearest, least < torch.inf
