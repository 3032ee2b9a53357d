"""A grid of overlapping windows over every image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.checks import check_share
from tinyscope.data.cut import Cut, CutRule
from tinyscope.data.windows.objects import centers, objects_per_window
from tinyscope.data.windows.order import EpochOrder
from tinyscope.data.windows.window import Window
from tinyscope.formats.tables import Annotations
from tinyscope.tiling.cut import grid_windows


@dataclass(frozen=True)
class GridWindows:
    """Cuts every image into windows, the last of a row flush with the border.

    Args:
        size: Side of a window in pixels; smaller images are shown as they are.
        overlap: Pixels that neighbors share; at least the longest object, or it is never whole.
        keep_empty: Share of the windows without the center of an object that an epoch holds.
        cut, min_visible, min_side: See `CutRule`.
    """

    size: int = 512
    overlap: int = 64
    keep_empty: float = 0.1
    cut: Cut = "clip"
    min_visible: float = 0.5
    min_side: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.overlap < self.size:
            raise ValueError(
                f"overlap must be at least 0 and smaller than size {self.size}, got {self.overlap}"
            )
        check_share("keep_empty", self.keep_empty)
        _ = self.rule

    @property
    def rule(self) -> CutRule:
        return CutRule(self.cut, self.min_visible, self.min_side)

    def __call__(self, annotations: Annotations, seed: int) -> "GridPlan":
        frames, counts = [], []
        tile = (self.size, self.size)
        for image, (height, width) in enumerate(annotations.sizes.tolist()):
            windows = grid_windows((height, width), tile, self.overlap)
            rows = annotations.rows(image)
            objects = annotations.boxes[rows][~annotations.ignore[rows]]
            frames.append(windows.astype(np.int32))
            counts.append(objects_per_window(windows, centers(objects)))
        images = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        held = np.concatenate(counts)
        order = EpochOrder(np.flatnonzero(held), np.flatnonzero(held == 0), self.keep_empty, seed)
        return GridPlan(images, np.concatenate(frames), order)


@dataclass(frozen=True)
class GridPlan:
    """Windows in the order of each epoch."""

    images: NDArray[np.int64]
    frames: NDArray[np.int32]
    order: EpochOrder

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Window:
        row = self.order[position]
        x1, y1, x2, y2 = (int(n) for n in self.frames[row])
        return Window(int(self.images[row]), (x1, y1, x2, y2), (y2 - y1, x2 - x1))
