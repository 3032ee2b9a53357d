"""A grid of overlapping windows over every image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.checks import check_share, sides_of
from tinyscope.data.cut import Cut, CutRule
from tinyscope.data.windows.objects import centers, objects_per_window
from tinyscope.data.windows.order import EpochOrder
from tinyscope.data.windows.window import Window
from tinyscope.formats.tables import Annotations
from tinyscope.tiling import Tiling
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.seen import parts_seen


@dataclass(frozen=True)
class GridWindows:
    """Cuts every image into windows.

    Args:
        size: Side of a window in pixels, or its (height, width); smaller images are shown as they
            are.
        overlap: Pixels that neighbors share; at least the longest object, or it is never whole.
        tiling: What becomes of windows that reach over the border, see `grid_windows`.
        keep_empty: Share of the windows without an object that an epoch holds. A window has those
            objects whose center it holds; under the published rules for cut objects, those that
            they keep.
        cut, min_visible, min_side: See `CutRule`.
    """

    size: int | tuple[int, int] = 512
    overlap: int = 64
    tiling: Tiling = "flush"
    keep_empty: float = 0.1
    cut: Cut = "clip"
    min_visible: float | None = None
    min_side: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < min(sides_of(self.size)):
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
        tile = sides_of(self.size)
        for image, (height, width) in enumerate(annotations.sizes.tolist()):
            windows = grid_windows((height, width), tile, self.overlap, self.tiling)
            rows = annotations.rows(image)
            objects = annotations.boxes[rows][~annotations.ignore[rows]]
            frames.append(windows.astype(np.int32))
            counts.append(self._held(windows, objects))
        images = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        held = np.concatenate(counts)
        order = EpochOrder(np.flatnonzero(held), np.flatnonzero(held == 0), self.keep_empty, seed)
        return GridPlan(images, np.concatenate(frames), order)

    def _held(self, windows: NDArray[np.int64], objects: NDArray[np.float64]) -> NDArray[np.int64]:
        """How many objects (n, 4) each window (t, 4) has."""
        if self.cut == "flush" or self.cut == "clipped":
            none = np.zeros(len(objects), dtype=np.bool_)
            parts = parts_seen(objects, none, windows, self.cut, self.min_visible)
            return np.bincount(parts.windows, minlength=len(windows))
        return objects_per_window(windows, centers(objects))


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
