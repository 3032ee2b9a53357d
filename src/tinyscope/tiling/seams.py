"""What the rules that compare detections across seams have in common."""

from dataclasses import replace

import torch
from torch import Tensor

from tinyscope.ops.near import Near
from tinyscope.ops.suppress import overlapping
from tinyscope.tiling.found import Found, covered_by_whole


def seam_pairs(
    found: Found, threshold: float, covered: float, touch: float
) -> tuple[Found, Found, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Splits off the detections that another window may have found as well, and pairs them.

    Args:
        found: Of all windows.
        threshold: IoU above which two detections of a class are a pair.
        covered: A box that its window cut is dropped if another window's whole box of its class
            covers at least this share of it.
        touch: A box this close to an inner border of its window counts as cut, pixels.

    Returns:
        Detections that only one window can have found; the others, best first, without the cut
        ones that are dropped; their ranks, in which whole boxes come before cut ones; and rows,
        rows and IoU of the pairs.
    """
    twice = found.seen_twice()
    alone, shared = found[~twice], found[twice].ordered()
    cut = shared.cut(touch)
    if bool(cut.any()):
        near = Near.of(shared.boxes, shared.labels)
        kept = ~covered_by_whole(shared, near, cut, covered)
        shared, cut = shared[kept], cut[kept]
    near = Near.of(shared.boxes, shared.labels, min_ratio=threshold)
    first, second, iou = overlapping(near, shared.boxes, threshold)
    other = shared.from_other_windows(first, second)
    ranks = shared.scores - 2 * cut.float()
    return alone, shared, ranks, (first[other], second[other], iou[other])


def best_first(alone: Found, shared: Found) -> Found:
    """Both together, in an order that does not hang on that of the windows."""
    both = replace(
        alone,
        boxes=torch.cat([alone.boxes, shared.boxes]),
        scores=torch.cat([alone.scores, shared.scores]),
        labels=torch.cat([alone.labels, shared.labels]),
        tiles=torch.cat([alone.tiles, shared.tiles]),
    )
    return both.ordered()
