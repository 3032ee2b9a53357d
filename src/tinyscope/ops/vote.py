"""One box from those that several views of an image show of the same object.

Source: the score-weighted mean box of Gidaris and Komodakis 2015, arXiv:1505.01749 (box voting);
scores that are divided by all views, so that what few of them see loses, of Solovyev, Wang and
Gabruseva 2021, arXiv:1910.13302 (weighted boxes fusion).
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.ops.near import Near
from tinyscope.ops.suppress import nms_per_class, overlapping


def mean_of_views(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, "n"],
    labels: Int64[Tensor, "n"],
    views: Int64[Tensor, "n"],
    count: int,
    iou_threshold: float = 0.5,
) -> tuple[Float[Tensor, "m 4"], Float[Tensor, "m"], Int64[Tensor, "m"]]:
    """Mean boxes and scores of what overlaps between views, class by class.

    The best box of a place leads. Every other one joins the better leader that it overlaps most,
    and of those of one view only the best speaks for it.

    Args:
        boxes: xyxy, pixels, all in one frame.
        scores: Higher is better; above 0.
        labels: From 0 to 65535.
        views: Which view each is from, from 0 on.
        count: Of the views, also of those that show nothing.
        iou_threshold: Boxes join a leader with which their IoU is above this.

    Returns:
        Boxes weighted by their scores, the sum of scores over `count`, and labels, best first.
    """
    leaders = nms_per_class(boxes, scores, labels, iou_threshold)
    leads = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    leads[leaders] = True
    near = Near.of(boxes, labels, min_ratio=iou_threshold)
    first, second, iou = overlapping(near, boxes, iou_threshold)
    rank = torch.empty_like(labels)
    rank[scores.argsort(descending=True, stable=True)] = torch.arange(
        len(boxes), device=boxes.device
    )
    swap = rank[second] < rank[first]
    leader, member = torch.where(swap, second, first), torch.where(swap, first, second)
    # A lesser leader would be silent where its own view has the better member.
    joins = leads[leader] & ~leads[member]
    leader, member, iou = leader[joins], member[joins], iou[joins]
    # Ties go to the better leader, and all is independent of the order of the pairs.
    order = rank[leader].argsort(stable=True)
    order = order[iou[order].argsort(descending=True, stable=True)]
    chosen = order[_first_of_each(member[order], len(boxes))]
    rows = torch.cat([leaders, member[chosen]])
    joined = torch.cat([leaders, leader[chosen]])
    order = rank[rows].argsort()
    rows, joined = rows[order], joined[order]
    speaks = _first_of_each(joined * count + views[rows], len(boxes) * count)
    rows, joined = rows[speaks], joined[speaks]
    total = torch.zeros_like(scores).index_add_(0, joined, scores[rows])
    weighted = torch.zeros_like(boxes).index_add_(0, joined, boxes[rows] * scores[rows, None])
    means = (weighted / total[:, None])[leaders]
    best = total[leaders].argsort(descending=True, stable=True)
    return means[best], (total[leaders] / count)[best], labels[leaders][best]


def _first_of_each(keys: Int64[Tensor, "n"], count: int) -> Int64[Tensor, "m"]:
    """Where each number of `keys`, all of them below `count`, stands for the first time."""
    place = torch.arange(len(keys), device=keys.device)
    first = keys.new_full((count,), len(keys)).scatter_reduce(0, keys, place, "amin")
    return (first[keys] == place).nonzero()[:, 0]
