"""Keeps the best of boxes that overlap, class by class, without a loop over boxes.

Both rules are exact: they give what the sequential algorithms give. A box that scores higher than
every undecided box it overlaps is decided whatever happens elsewhere, so all such boxes are
decided at once, round by round; tiny objects need few rounds.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torchvision.ops import nms

from tinyscope.ops.near import Near

SPARSE_FROM = 5000
"""Boxes from which looking only at near ones can be faster than at all pairs, measured."""
CROWD = 64
"""Near boxes per box from which it is not: of boxes that pile up few are kept."""


def nms_per_class(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, "n"],
    labels: Int64[Tensor, "n"],
    iou_threshold: float,
    limit: int | None = None,
) -> Int64[Tensor, "m"]:
    """Non-maximum suppression among boxes of the same label.

    A box is dropped if its IoU with a kept one of higher score is above the threshold; of equal
    scores the earlier row wins.

    Args:
        boxes: xyxy, pixels.
        scores: Higher is better.
        labels: From 0 to 65535.
        iou_threshold: From 0 to 1; at 1 nothing is dropped.
        limit: At most so many rows are returned.

    Returns:
        Rows that are kept, best first.
    """
    if iou_threshold >= 1:
        kept = torch.arange(len(boxes), device=boxes.device)
    elif len(boxes) < SPARSE_FROM or boxes.device.type != "cpu":
        kept = _all_pairs(boxes, scores, labels, iou_threshold)
    else:
        near = Near.of(boxes, labels, min_ratio=iou_threshold)
        crowded = near.candidates > CROWD * len(boxes)
        kept = (
            _all_pairs(boxes, scores, labels, iou_threshold)
            if crowded
            else greedy(*overlapping(near, boxes, iou_threshold)[:2], scores).nonzero()[:, 0]
        )
    kept = kept.sort().values
    return kept[scores[kept].argsort(descending=True, stable=True)][:limit]


def soft_nms_per_class(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, "n"],
    labels: Int64[Tensor, "n"],
    *,
    decay: Literal["linear", "gaussian"] = "gaussian",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
    limit: int | None = None,
) -> tuple[Int64[Tensor, "m"], Float[Tensor, "m"]]:
    """Lowers the scores of boxes that overlap a better one, instead of dropping them.

    Args:
        boxes: xyxy, pixels.
        scores: From 0 to 1.
        labels: From 0 to 65535.
        decay: `linear` multiplies by 1 - IoU where the IoU is `iou_threshold` or more, `gaussian`
            by exp(-IoU^2 / sigma) wherever boxes overlap.
        iou_threshold: For `linear` alone.
        sigma: For `gaussian` alone; the smaller, the harder.
        score_threshold: Boxes whose score falls below are dropped, and decay no others.
        limit: At most so many rows are returned.

    Returns:
        Rows that are kept, best first by their new scores, and these scores.

    Source: Bodla et al. 2017, arXiv:1704.04503.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    least = _just_below(iou_threshold, boxes) if decay == "linear" else 0.0
    first, second, iou = overlapping(Near.of(boxes, labels, min_ratio=least), boxes, least)
    factor = 1 - iou if decay == "linear" else torch.exp(-(iou**2) / sigma)
    decayed = decay_scores(first, second, factor, scores, score_threshold)
    kept = (decayed >= score_threshold).nonzero()[:, 0]
    kept = kept[decayed[kept].argsort(descending=True, stable=True)][:limit]
    return kept, decayed[kept]


def decay_scores(
    first: Int64[Tensor, "m"],
    second: Int64[Tensor, "m"],
    factor: Float[Tensor, "m"],
    scores: Float[Tensor, "n"],
    score_threshold: float,
) -> Float[Tensor, "n"]:
    """Scores after each box, best first, has multiplied those of its lesser partners.

    Args:
        first: Rows of one box of each pair, in any order.
        second: Rows of the other one.
        factor: In [0, 1]; what the lesser one's score is multiplied by.
        scores: Before; of equal ones the earlier row is the better.
        score_threshold: Boxes that fall below it multiply no others.
    """
    # Both directions: which of two decays the other is only known once the better is settled.
    settler, other = torch.cat([first, second]), torch.cat([second, first])
    factor = torch.cat([factor, factor])
    row = torch.arange(len(scores), device=scores.device)
    scores = scores.clone()
    open_ = scores >= score_threshold
    while len(settler):
        worse = (scores[settler] < scores[other]) | (
            (scores[settler] == scores[other]) & (row[settler] > row[other])
        )
        settled = open_.clone()
        settled[settler[worse]] = False  # an open neighbor is better, and may still decay this
        decays = settled[settler]
        # One by one in the sequential algorithm; the order of a product does not matter.
        scores.scatter_reduce_(0, other[decays], factor[decays], "prod")
        open_ &= ~settled & (scores >= score_threshold)
        both = open_[settler] & open_[other]
        settler, other, factor = settler[both], other[both], factor[both]
    return scores


def greedy(
    first: Int64[Tensor, "m"], second: Int64[Tensor, "m"], scores: Float[Tensor, "n"]
) -> Bool[Tensor, "n"]:
    """Which boxes remain when each, best first, drops its lesser partners.

    Args:
        first: Rows of one box of each pair, in any order.
        second: Rows of the other one.
        scores: Of equal ones the earlier row is the better.
    """
    swap = (scores[second] > scores[first]) | ((scores[second] == scores[first]) & (second < first))
    better, worse = torch.where(swap, second, first), torch.where(swap, first, second)
    dropped = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    while len(better):
        beaten = torch.zeros_like(dropped)
        beaten[worse] = True
        winner = ~beaten[better]
        dropped[worse[winner]] = True
        left = ~(winner | dropped[better] | dropped[worse])
        better, worse = better[left], worse[left]
    return ~dropped


def overlapping(
    near: Near, boxes: Float[Tensor, "n 4"], threshold: float
) -> tuple[Int64[Tensor, "m"], Int64[Tensor, "m"], Float[Tensor, "m"]]:
    """Pairs of rows with an IoU above the threshold, and the IoU."""
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides[:, 0] * sides[:, 1]
    parts = [(near.order[:0], near.order[:0], areas[:0])]
    for first, second in near.pairs():
        corner = torch.maximum(boxes[first, :2], boxes[second, :2])
        shared = (torch.minimum(boxes[first, 2:], boxes[second, 2:]) - corner).clamp(min=0)
        inter = shared[:, 0] * shared[:, 1]
        iou = inter / (areas[first] + areas[second] - inter)
        # In float64, as torchvision compares: 0.3 in float32 is above 0.3.
        above = iou.double() > threshold
        parts.append((first[above], second[above], iou[above]))
    firsts, seconds, ious = zip(*parts, strict=True)
    return torch.cat(firsts), torch.cat(seconds), torch.cat(ious)


def _just_below(threshold: float, like: Tensor) -> float:
    """What only numbers of `like`'s precision from the threshold on are above; at least 0."""
    value = torch.tensor(threshold, dtype=like.dtype)
    return max(0.0, float(torch.nextafter(value, torch.full_like(value, -1.0))))


def _all_pairs(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Class by class: one call with the classes moved apart would lose coordinates to rounding."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    parts = torch.split(order, counts[counts > 0].tolist())
    kept = [rows[nms(boxes[rows], scores[rows], iou_threshold)] for rows in parts]
    return torch.cat(kept) if kept else order
