"""A sample seen through a window, and what becomes of the objects that its border cuts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinyscope.tiling.seen import MIN_VISIBLE as PUBLISHED
from tinyscope.tiling.seen import parts_seen
from tinyscope.types import Dropped, Sample, Size, Target

Frame = tuple[int, int, int, int]
"""x1 y1 x2 y2 of a window in pixels of the image."""

Cut = Literal["clip", "ignore", "keep", "flush", "clipped"]

MIN_VISIBLE: Mapping[Cut, float] = {
    "clip": 0.5,
    "ignore": 0.5,
    "keep": 0.5,
    "flush": PUBLISHED["flush"],
    "clipped": PUBLISHED["clipped"],
}
"""Share of its area from which an object that a window cuts stays an object."""

WHOLE = 0.99
"""Visible share from which an object counts as whole: text files round boxes past the border."""


@dataclass(frozen=True)
class CutRule:
    """What becomes of objects that the border of a window cuts.

    `clip` leaves the visible part of the box as the object, `keep` the whole box though it
    reaches out of the window, `ignore` makes every cut object a region that counts neither for
    nor against. An object of which less than `min_visible` of the area is seen, or of which
    less than `min_side` pixels are left, is ignored under every rule. Ignored regions are
    clipped to the window. Objects that lie outside altogether belong to other windows and are
    not counted as lost.

    `flush` and `clipped` are the rules that published tile files were made by, see
    `tinyscope.tiling.seen`: the visible part is the object, and what is seen too little of, ignored
    regions too, is background. They have no use for `min_side`. Without a `min_visible`, that of
    the rule is taken: 0.5; 0.49 (a ratio of 0.7 in length) of `flush`, 0.3 of `clipped`.
    """

    cut: Cut = "clip"
    min_visible: float | None = None
    min_side: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"min_visible must be a share between 0 and 1, got {self.min_visible}")
        if self.min_side < 0:
            raise ValueError(f"min_side must not be negative, got {self.min_side}")

    @property
    def share(self) -> float:
        """`min_visible`, or that of the rule."""
        return MIN_VISIBLE[self.cut] if self.min_visible is None else self.min_visible

    def __call__(self, target: Target, frame: Frame) -> tuple[Target, Dropped]:
        """The target in the frame of the window, and the objects that are none any more."""
        if self.cut == "flush" or self.cut == "clipped":
            return self._published(target, frame)
        x1, y1, x2, y2 = frame
        moved = target.boxes - target.boxes.new_tensor((x1, y1, x1, y1))
        clipped = clip(moved, (y2 - y1, x2 - x1))
        seen = (clipped[:, 2:] > clipped[:, :2]).all(dim=1)
        boxes, moved, clipped = target.boxes[seen], moved[seen], clipped[seen]
        labels, ignore = target.labels[seen], target.ignore[seen]

        visible = _areas(clipped) / _areas(moved)
        thin = (clipped[:, 2:] - clipped[:, :2] < self.min_side).any(dim=1)
        needed = max(WHOLE, self.share) if self.cut == "ignore" else self.share
        touched = (clipped != moved).any(dim=1)
        lost = touched & ~ignore & ((visible < needed) | (thin & (visible < WHOLE)))
        ignore = ignore | lost

        result = torch.where(ignore[:, None], clipped, moved) if self.cut == "keep" else clipped
        dropped = Dropped.of("cut by the window: now ignored", boxes[lost])
        return Target(result, labels, ignore), dropped

    def _published(self, target: Target, frame: Frame) -> tuple[Target, Dropped]:
        assert self.cut == "flush" or self.cut == "clipped"
        boxes, ignore = target.boxes.numpy().astype(np.float64), target.ignore.numpy()
        window = np.array([frame], dtype=np.int64)
        parts = parts_seen(boxes, ignore, window, self.cut, self.min_visible)
        rows = torch.from_numpy(parts.rows)
        seen = ((boxes[:, :2] < window[0, 2:]) & (boxes[:, 2:] > window[0, :2])).all(axis=1)
        lost = torch.from_numpy(seen & ~ignore)
        lost[rows] = False
        dropped = Dropped.of("cut by the window: now background", target.boxes[lost])
        shown = torch.from_numpy(parts.boxes.astype(np.float32))
        return Target(shown, target.labels[rows], target.ignore[rows]), dropped


def clip(boxes: Float[Tensor, "n 4"], size: Size) -> Float[Tensor, "n 4"]:
    """The part of every box that lies in an image of `size`; empty boxes where there is none."""
    height, width = size
    return boxes.clamp(min=0).minimum(boxes.new_tensor((width, height, width, height)))


def cut_out(sample: Sample, frame: Frame, rule: CutRule) -> Sample:
    """What a window shows of a sample; the image is a view of the sample's.

    Args:
        sample: Image and target.
        frame: Window within the image.
        rule: What becomes of cut objects.
    """
    x1, y1, x2, y2 = frame
    target, dropped = rule(sample.target, frame)
    image = sample.image[:, y1:y2, x1:x2]
    return Sample(image, target, sample.image_id, sample.file, sample.dropped + dropped)


def _areas(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n"]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
