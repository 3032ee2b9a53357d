"""Priors on regions that count neither for nor against."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.ops.boxes import covered_fractions
from tinyscope.types import BACKGROUND, IGNORED, Priors


def spare_ignored(
    assigned: Int64[Tensor, "p"],
    priors: Priors,
    regions: Float[Tensor, "n 4"],
    *,
    threshold: float,
) -> Int64[Tensor, "p"]:
    """Background priors of which a region covers more than `threshold` become IGNORED.

    Priors that answer for an object keep it: an object that lies on an ignored crowd is still
    to be found.
    """
    if not len(regions):
        return assigned
    background = (assigned == BACKGROUND).nonzero()[:, 0]
    covered = assigned.new_zeros(len(background), dtype=priors.boxes.dtype)
    boxes = priors.boxes[background]
    for part in torch.split(regions, 64):  # bounds the memory; crowds are few
        covered = covered.maximum(covered_fractions(boxes, part).amax(dim=1))
    result = assigned.clone()
    result[background[covered > threshold]] = IGNORED
    return result
