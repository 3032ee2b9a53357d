"""Boxes as Gaussians, and how alike two of them are, also where they do not overlap.

A box is a Gaussian at its center whose standard deviations are half its sides (Xu et al. 2022,
"RFLA: Gaussian Receptive Field based Label Assignment for Tiny Object Detection",
arXiv:2208.08738). Everything is computed in float32: squares of coordinates overflow in half
precision. All functions have gradients, so that losses can be made of them too.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Kind = Literal[
    "kullback_leibler",
    "kullback_leibler_10",
    "kullback_leibler_exp",
    "wasserstein",
    "jensen_shannon",
    "center",
    "iou",
    "giou",
]
"""What makes two boxes alike, best 1 (`giou` from -1, `kullback_leibler_10` to 0.1), by a distance
D of theirs:

- kullback_leibler: 1 / (1 + D); how badly the object's Gaussian describes the prior's, squares of
  distances counting in sides of the object
- kullback_leibler_10: 1 / (10 + D); kullback_leibler_exp: exp(-D / 10)
- wasserstein: 1 / (1 + D); square of the 2-Wasserstein distance, square pixels
- jensen_shannon: 1 / (1 + 2 sqrt(D)); the geometric divergence with equal weights, symmetric
- center: 1 / (1 + D); square of the distance of the centers, square pixels
- iou, giou: overlap, and overlap less the share of the hull that neither fills (arXiv:1902.09630)
"""

EPSILON = 1e-6
"""Pixels added to all sides, so that boxes without an extent have a (huge) distance too."""


class Gaussians(NamedTuple):
    """Centers and sides (two deviations) of boxes, of shapes that broadcast."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor

    @classmethod
    def of(cls, boxes: Float[Tensor, "... 4"]) -> "Gaussians":
        """Of xyxy boxes in pixels, in float32."""
        left, top, right, bottom = boxes.float().unbind(dim=-1)
        return cls(
            (left + right) / 2, (top + bottom) / 2, right - left + EPSILON, bottom - top + EPSILON
        )


def similarity(
    boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"], kind: Kind = "kullback_leibler"
) -> Float[Tensor, "n m"]:
    """How alike each box and each other one are; larger is nearer.

    Holds about ten values per pair; `tinyscope.ops.similar` finds the best pairs of many.

    Args:
        boxes: Objects, xyxy in pixels.
        others: Priors. `kullback_leibler` in its forms is not symmetric; the rest is.
        kind: By what measure.
    """
    return paired_similarity(boxes[:, None], others[None], kind)


def paired_similarity(
    boxes: Float[Tensor, "*#n 4"], others: Float[Tensor, "*#n 4"], kind: Kind = "kullback_leibler"
) -> Float[Tensor, "*n"]:
    """How alike the boxes and the others at the same place are; shapes broadcast."""
    if kind == "iou" or kind == "giou":
        return _overlap(boxes.float(), others.float(), generalized=kind == "giou")
    return SIMILARITIES[kind](paired_distance(boxes, others, kind))


def paired_distance(
    boxes: Float[Tensor, "*#n 4"], others: Float[Tensor, "*#n 4"], kind: Kind = "kullback_leibler"
) -> Float[Tensor, "*n"]:
    """The distance that a similarity is made of, at least 0 but for rounding."""
    if kind == "iou" or kind == "giou":
        return 1 - paired_similarity(boxes, others, kind)
    return DISTANCES[kind](Gaussians.of(boxes), Gaussians.of(others))


def _kullback_leibler(box: Gaussians, prior: Gaussians) -> Tensor:
    """KL(prior || box): the box's deviations are those that are divided by."""
    # In the order of the published sum: which priors tie depends on the last bit.
    terms = prior.width**2 / box.width**2 + prior.height**2 / box.height**2
    terms = terms + 4 * (box.x - prior.x) ** 2 / box.width**2
    terms = terms + 4 * (box.y - prior.y) ** 2 / box.height**2
    terms = terms + torch.log(box.width**2 / prior.width**2)
    terms = terms + torch.log(box.height**2 / prior.height**2)
    return (terms - 2) / 2


def _wasserstein(box: Gaussians, prior: Gaussians) -> Tensor:
    sides = (box.width - prior.width) ** 2 + (box.height - prior.height) ** 2
    return _center(box, prior) + sides / 4


def _center(box: Gaussians, prior: Gaussians) -> Tensor:
    return (box.x - prior.x) ** 2 + (box.y - prior.y) ** 2 + EPSILON


def _jensen_shannon(box: Gaussians, prior: Gaussians) -> Tensor:
    """Nielsen 2019, arXiv:1904.04017; at equal weights it is the Bhattacharyya distance, halved.

    Written in differences of centers, where the general form cancels large numbers.
    """
    across = _jensen_shannon_on_axis(box.x - prior.x, box.width, prior.width)
    return across + _jensen_shannon_on_axis(box.y - prior.y, box.height, prior.height)


def _jensen_shannon_on_axis(shift: Tensor, side: Tensor, other: Tensor) -> Tensor:
    squares = side**2 + other**2
    return shift**2 / squares + torch.log(squares / (2 * side * other)) / 2


def _overlap(boxes: Tensor, others: Tensor, *, generalized: bool) -> Tensor:
    low = (
        torch.minimum(boxes[..., :2], others[..., :2]),
        torch.minimum(boxes[..., 2:], others[..., 2:]),
    )
    high = (
        torch.maximum(boxes[..., :2], others[..., :2]),
        torch.maximum(boxes[..., 2:], others[..., 2:]),
    )
    shared = (low[1] - high[0]).clamp(min=0).prod(dim=-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(dim=-1) for b in (boxes, others)]
    union = (areas[0] + areas[1] - shared).clamp(min=EPSILON)
    if not generalized:
        return shared / union
    hull = (high[1] - low[0]).prod(dim=-1).clamp(min=EPSILON)
    return shared / union - (hull - union) / hull


DISTANCES: Mapping[Kind, Callable[[Gaussians, Gaussians], Tensor]] = {
    "kullback_leibler": _kullback_leibler,
    "kullback_leibler_10": _kullback_leibler,
    "kullback_leibler_exp": _kullback_leibler,
    "wasserstein": _wasserstein,
    "jensen_shannon": _jensen_shannon,
    "center": _center,
}
"""The distance of a box's Gaussian and a prior's, for the kinds that have one."""
SIMILARITIES: Mapping[Kind, Callable[[Tensor], Tensor]] = {
    "kullback_leibler": lambda d: 1 / (1 + d),
    "kullback_leibler_10": lambda d: 1 / (10 + d),
    "kullback_leibler_exp": lambda d: torch.exp(-d / 10),
    "wasserstein": lambda d: 1 / (1 + d),
    # Below 0 by rounding; at 0 itself the root has no gradient.
    "jensen_shannon": lambda d: 1 / (1 + 2 * d.clamp(min=1e-12).sqrt()),
    "center": lambda d: 1 / (1 + d),
}
"""The similarity that a distance stands for, for the same kinds."""
