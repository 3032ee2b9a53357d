"""Which priors an image has at all, by where they stand."""

import torch
from jaxtyping import Bool
from torch import Tensor

from tinyscope.types import Priors, Size


def taking_part(
    priors: Priors, size: Size, *, overhang: float | None = None, divisor: int | None = None
) -> Bool[Tensor, "p"]:
    """Priors that stand in an image; the others take no part in assignment and loss.

    Args:
        priors: Of the whole batch, whose images are padded to one size.
        size: Of the image before padding.
        overhang: How far a prior may reach out of the image, pixels (Faster R-CNN,
            arXiv:1506.01497); at the right and bottom a little less. None: as far as it does.
        divisor: Cells must begin in the image as it is when its own sides are padded to multiples
            of this, as in MMDetection, where padding to the size of the batch comes later. None:
            those in all padding stand in it too.
    """
    chosen = torch.ones(len(priors), dtype=torch.bool, device=priors.boxes.device)
    sides = priors.boxes.new_tensor([size[1], size[0]])  # x, y
    if overhang is not None:
        chosen &= (priors.boxes[:, :2] >= -overhang).all(dim=1)
        chosen &= (priors.boxes[:, 2:] < sides + overhang).all(dim=1)
    if divisor is not None:
        padded = (sides / divisor).ceil() * divisor
        cells = (padded / priors.strides[:, None]).ceil()
        # A center may lie a rounding before the corner of its cell.
        cell = (priors.centers / priors.strides[:, None] + 1e-3).floor()
        chosen &= (cell < cells).all(dim=1)
    return chosen
