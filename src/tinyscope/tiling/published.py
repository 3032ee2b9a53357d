"""How published code merges the detections of TinyPerson's tiles, for figures like theirs.

All three suppress among all detections of an image whatever their class, with boxes that include
their last pixel; they differ where the IoU is exactly the threshold, in a least score, and in the
order of what remains. Found by running each on the same input.
"""

from tinyscope.catalog import Share
from tinyscope.tiling.pooled import PooledNmsMerge


def tinybenchmark(iou_threshold: Share = 0.5) -> PooledNmsMerge:
    """TinyBenchmark's and huicv's `COCOMergeResult` (Yu et al. 2020, arXiv:1912.10664)."""
    return PooledNmsMerge(
        iou_threshold, at_threshold="drop", last_pixel=True, class_blind=True, order="input"
    )


def sspnet(iou_threshold: Share = 0.5) -> PooledNmsMerge:
    """SSPNet's `split_and_merge_image` (Hong et al. 2021, arXiv:2107.01548)."""
    return PooledNmsMerge(iou_threshold, last_pixel=True, class_blind=True)


def bottom_heavy(iou_threshold: Share = 0.5, score_above: Share | None = 0.05) -> PooledNmsMerge:
    """`merge.py` of SSPNet and of the bottom-heavy backbones, for detections per tile."""
    return PooledNmsMerge(
        iou_threshold,
        last_pixel=True,
        class_blind=True,
        one_class=True,
        score_above=score_above,
    )
