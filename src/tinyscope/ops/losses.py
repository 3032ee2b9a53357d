"""Losses of classification and of boxes, element by element; callers sum and normalize.

Everything here expects float32: in half precision a pixel at x = 2048 is two pixels wide.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torchvision.ops import distance_box_iou_loss, generalized_box_iou_loss

BoxLoss = Literal["l1", "smooth_l1", "giou", "diou"]


def focal_loss(
    logits: Float[Tensor, "n k"], targets: Float[Tensor, "n k"], *, alpha: float, gamma: float
) -> Float[Tensor, "n k"]:
    """Cross-entropy that fades for elements that are right already.

    Args:
        logits: Before the sigmoid.
        targets: 0 or 1.
        alpha: Weight of the ones; zeros weigh 1 - alpha.
        gamma: How fast right elements fade; 0 gives plain weighted cross-entropy.

    Source: Lin et al. 2017, arXiv:1708.02002.
    """
    # With s = +-logit by target, p_t = sigmoid(s) and the loss is a_t (1 - p_t)^g softplus(-s):
    # three passes over memory instead of the ten of the textbook form.
    signed = logits * (2 * targets - 1)
    weight = targets * (2 * alpha - 1) + (1 - alpha)
    return weight * torch.sigmoid(-signed).pow(gamma) * functional.softplus(-signed)


def box_iou_loss(
    boxes: Float[Tensor, "n 4"], targets: Float[Tensor, "n 4"], kind: Literal["giou", "diou"]
) -> Float[Tensor, "n"]:
    """1 - IoU plus the penalty of the generalized (1902.09630) or distance (1911.08287) form."""
    loss = generalized_box_iou_loss if kind == "giou" else distance_box_iou_loss
    result: Tensor = loss(boxes, targets)
    return result


def delta_loss(
    deltas: Float[Tensor, "n 4"], targets: Float[Tensor, "n 4"], *, beta: float
) -> Float[Tensor, "n"]:
    """Absolute difference summed over the four deltas; quadratic below `beta` (0: nowhere)."""
    return functional.smooth_l1_loss(deltas, targets, beta=beta, reduction="none").sum(dim=1)
