"""What was found in the windows of one image, and how it lies to the seams between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tinyscope.ops.near import Near
from tinyscope.types import Detections, Size


@dataclass(frozen=True)
class Found:
    """Detections of all windows of an image, not merged yet.

    `boxes` are in the frame of the image, of `size`; `tiles` are the rows of `windows`
    (x1 y1 x2 y2) that the detections are from.
    """

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    tiles: Int64[Tensor, "n"]
    windows: Int64[Tensor, "t 4"]
    size: Size

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Tensor) -> "Found":
        return replace(
            self,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            tiles=self.tiles[rows],
        )

    def detections(self) -> Detections:
        """The same without the windows."""
        return Detections(self.boxes, self.scores, self.labels)

    def relabeled(self, labels: Int64[Tensor, "n"]) -> "Found":
        """The same with other labels."""
        return replace(self, labels=labels)

    def order(self) -> Int64[Tensor, "n"]:
        """Rows best first; the order of equal scores does not hang on that of the windows."""
        order = self.scores.argsort(descending=True, stable=True)
        ranked = self.scores[order]
        equal = torch.zeros(len(order) + 1, dtype=torch.bool)
        equal[1:-1] = ranked[1:] == ranked[:-1]
        tied = equal[1:] | equal[:-1]
        if bool(tied.any()):
            rows = order[tied]
            corners = self.windows[self.tiles[rows], :2]
            columns = (*corners.T, self.labels[rows], *self.boxes[rows].T, -self.scores[rows])
            keys = [column.contiguous().numpy() for column in columns]
            order[tied] = rows[torch.from_numpy(np.lexsort(keys))]
        return order

    def ordered(self) -> "Found":
        """Best first; see `order`."""
        return self[self.order()]

    def cut(self, touch: float) -> Bool[Tensor, "n"]:
        """Boxes within `touch` pixels of a border of their window that is not the image's.

        What they stand for may go on in the next window.
        """
        height, width = self.size
        windows = self.windows[self.tiles]
        low = (windows[:, :2] > 0) & (self.boxes[:, :2] - windows[:, :2] < touch)
        ends = windows.new_tensor([width, height])
        high = (windows[:, 2:] < ends) & (windows[:, 2:] - self.boxes[:, 2:] < touch)
        return (low | high).any(dim=1)

    def seen_twice(self) -> Bool[Tensor, "n"]:
        """Boxes that reach into pixels which another window may show as well."""
        before, after = neighbors(self.windows, self.size)
        low = self.boxes[:, :2] < before[self.tiles]
        high = self.boxes[:, 2:] > after[self.tiles]
        return (low | high).any(dim=1)

    def from_other_windows(
        self, first: Int64[Tensor, "m"], second: Int64[Tensor, "m"]
    ) -> Bool[Tensor, "m"]:
        """Pairs of rows that are not from the same window."""
        return self.tiles[first] != self.tiles[second]


def in_image(windows: Int64[Tensor, "t 4"], found: Sequence[Detections], size: Size) -> Found:
    """Detections of each window, in its own frame, moved to that of the image.

    Args:
        windows: x1 y1 x2 y2 in the image.
        found: As many; tensors on the CPU.
        size: Of the image.
    """
    counts = np.array([len(f) for f in found], dtype=np.int64)
    tiles = torch.from_numpy(np.repeat(np.arange(len(windows)), counts))
    boxes = torch.cat([f.boxes for f in found]) + windows[tiles][:, [0, 1, 0, 1]]
    scores, labels = torch.cat([f.scores for f in found]), torch.cat([f.labels for f in found])
    return Found(boxes, scores, labels, tiles, windows, size)


def neighbors(
    windows: Int64[Tensor, "t 4"], size: Size
) -> tuple[Int64[Tensor, "t 2"], Int64[Tensor, "t 2"]]:
    """Where, on each axis, the windows before a window end and the next one begins.

    Args:
        windows: x1 y1 x2 y2.
        size: Of the image: (x, y) of a window without a next one; without one before it is 0.

    Returns:
        (x, y) up to which windows that start earlier reach, and from which the next one starts.
    """
    height, width = size
    before, after = [], []
    for axis, length in enumerate((width, height)):
        starts, place = torch.unique(windows[:, axis], return_inverse=True)
        ends = starts.scatter_reduce(0, place, windows[:, axis + 2], "amax")
        reached = torch.cat([ends.new_zeros(1), ends.cummax(0).values])[:-1]
        following = torch.cat([starts, starts.new_tensor([length])])[1:]
        before.append(reached[place])
        after.append(following[place])
    return torch.stack(before, dim=1), torch.stack(after, dim=1)


def covered_by_whole(
    found: Found, near: Near, cut: Bool[Tensor, "n"], share: float
) -> Bool[Tensor, "n"]:
    """Cut boxes of which an uncut box of another window covers at least `share`.

    The measure is the share of the cut box, not the IoU: the half of an object that a window
    shows has an IoU of at most 0.5 with the whole of it.
    """
    covered = torch.zeros_like(cut)
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(dim=1)
    for first, second in near.pairs():
        part, whole = torch.where(cut[first], first, second), torch.where(cut[first], second, first)
        usable = cut[part] & ~cut[whole] & found.from_other_windows(part, whole)
        part, whole = part[usable], whole[usable]
        corner = torch.maximum(found.boxes[part, :2], found.boxes[whole, :2])
        sides = torch.minimum(found.boxes[part, 2:], found.boxes[whole, 2:]) - corner
        shared = sides.clamp(min=0).prod(dim=1)
        covered[part[shared >= share * areas[part]]] = True
    return covered
