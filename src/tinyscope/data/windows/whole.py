"""Every image as it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.checks import check_share
from tinyscope.data.cut import Cut, CutRule
from tinyscope.data.windows.objects import objects_per_image
from tinyscope.data.windows.order import EpochOrder
from tinyscope.data.windows.window import Window
from tinyscope.formats.tables import Annotations


@dataclass(frozen=True)
class WholeImages:
    """Shows every image once per epoch.

    Args:
        keep_empty: Share of the images without objects that an epoch holds.
        cut, min_visible, min_side: See `CutRule`; here they meet boxes that reach out of the image.
    """

    keep_empty: float = 1.0
    cut: Cut = "clip"
    min_visible: float | None = None
    min_side: float = 1.0

    def __post_init__(self) -> None:
        check_share("keep_empty", self.keep_empty)
        _ = self.rule

    @property
    def rule(self) -> CutRule:
        return CutRule(self.cut, self.min_visible, self.min_side)

    def __call__(self, annotations: Annotations, seed: int) -> "WholePlan":
        counts = objects_per_image(annotations)
        order = EpochOrder(
            np.flatnonzero(counts), np.flatnonzero(counts == 0), self.keep_empty, seed
        )
        return WholePlan(annotations.sizes, order)


@dataclass(frozen=True)
class WholePlan:
    """Images in the order of each epoch."""

    sizes: NDArray[np.int32]
    order: EpochOrder

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Window:
        image = self.order[position]
        height, width = (int(n) for n in self.sizes[image])
        return Window(image, (0, 0, width, height), (height, width))
