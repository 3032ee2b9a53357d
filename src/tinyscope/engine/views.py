"""Tiles as they are, mirrored, upside down and turned: what each view shows, in one frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tinyscope.detectors.looks import joined_detections
from tinyscope.ops.suppress import nms_per_class
from tinyscope.ops.vote import mean_of_views
from tinyscope.settings import Voting
from tinyscope.types import Detections, Size


@dataclass(frozen=True)
class View:
    """One of the eight ways in which a tile can be laid.

    Args:
        turned: Rows and columns change places, before all else.
        mirrored: Left and right do.
        upended: Top and bottom do.
    """

    turned: bool = False
    mirrored: bool = False
    upended: bool = False

    def show(self, tiles: Tensor, size: Size) -> tuple[Tensor, Size]:
        """Tiles (b, 3, h, w) of `size` before padding in this view, and their size then.

        The padding stays at the right and at the bottom, or cells and pixels part.
        """
        if self.turned:
            tiles, size = tiles.transpose(-1, -2), (size[1], size[0])
        height, width = size
        if self.mirrored:
            tiles = torch.cat([tiles[..., :width].flip(-1), tiles[..., width:]], dim=-1)
        if self.upended:
            tiles = torch.cat([tiles[..., :height, :].flip(-2), tiles[..., height:, :]], dim=-2)
        return tiles, size

    def back(self, found: Detections, size: Size) -> Detections:
        """Detections of this view in the frame of the tile; `size` is the tile's own."""
        height, width = (size[1], size[0]) if self.turned else size
        x1, y1, x2, y2 = found.boxes.unbind(dim=1)
        if self.mirrored:
            x1, x2 = width - x2, width - x1
        if self.upended:
            y1, y2 = height - y2, height - y1
        sides = (y1, x1, y2, x2) if self.turned else (x1, y1, x2, y2)
        return replace(found, boxes=torch.stack(sides, dim=1))


VIEWS = tuple(
    View(turned, mirrored, upended)
    for turned in (False, True)
    for upended in (False, True)
    for mirrored in (False, True)
)
"""The first two are the tile and its mirror image, the first four those that are not turned."""

JOINING_IOU = 0.5


def better_of_views(found: Sequence[Detections]) -> Detections:
    """Of detections of different views that agree, the best."""
    together = joined_detections(found)
    kept = nms_per_class(together.boxes, together.scores, together.labels, JOINING_IOU)
    return together[kept]


def mean_over_views(found: Sequence[Detections]) -> Detections:
    """Of detections of different views that agree, the mean; what a view lacks counts as 0."""
    found = [f[f.scores > 0] for f in found]  # zeros have no weight in a mean
    boxes, scores, labels = mean_of_views(
        torch.cat([f.boxes for f in found]),
        torch.cat([f.scores for f in found]),
        torch.cat([f.labels for f in found]),
        torch.cat([torch.full_like(f.labels, view) for view, f in enumerate(found)]),
        len(found),
        JOINING_IOU,
    )
    return Detections(boxes, scores, labels)


JOINS: Mapping[Voting, Callable[[Sequence[Detections]], Detections]] = {
    "best": better_of_views,
    "mean": mean_over_views,
}
