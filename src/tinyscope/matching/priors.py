"""The boxes that heads predict from: anchors with chosen sides, and points."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from tinyscope.types import Priors, Size


class Anchors:
    """Boxes of chosen sides and shapes at every cell of every level.

    Args:
        strides: Of the levels, pixels; supplied by the neck.
        scale: Side of the smallest anchor of a level in strides of it.
        octaves: Anchors per shape and level, at sides scale * 2^(i / octaves).
        ratios: Height over width, at constant area.
        offset: Where a cell's anchors are centered, in strides from its upper left corner.
        sides: Sides in pixels, one list per level; replaces `scale` and `octaves`.
        rounded: Half widths and half heights are whole pixels, as those of torchvision's detectors.
        whole_shapes: Shapes are made of whole pixels at a side of one stride, and only then
            enlarged to the sides, as Caffe's detectors and those after them did; their anchors
            stand in the middle of cells (`offset` 0.5).

    Raises:
        ValueError: `sides` has another number of levels than the neck.

    Per cell the order is ratio-major, side-minor.
    """

    def __init__(
        self,
        strides: Sequence[int],
        *,
        scale: PositiveFloat = 2.0,
        octaves: PositiveInt = 1,
        ratios: tuple[PositiveFloat, ...] = (0.5, 1.0, 2.0),
        offset: float = 0.0,
        sides: tuple[tuple[PositiveFloat, ...], ...] | None = None,
        rounded: bool = False,
        whole_shapes: bool = False,
    ) -> None:
        if sides is None:
            sides = tuple(
                tuple(stride * scale * 2 ** (i / octaves) for i in range(octaves))
                for stride in strides
            )
        if len(sides) != len(strides):
            raise ValueError(f"sides has {len(sides)} levels, the neck has {len(strides)}")
        if len(counts := {len(level) for level in sides}) != 1:
            raise ValueError(f"every level needs the same number of sides, got {sorted(counts)}")
        self.strides, self.offset = tuple(strides), offset
        self.per_cell = len(ratios) * len(sides[0])
        shape = _whole_shape if whole_shapes else equal_area
        self._cells = tuple(
            tuple(shape(side, ratio, stride) for ratio in ratios for side in level)
            for stride, level in zip(strides, sides, strict=True)
        )
        if rounded:
            self._cells = tuple(
                tuple((2.0 * round(width / 2), 2.0 * round(height / 2)) for width, height in level)
                for level in self._cells
            )

    def __call__(self, sizes: Sequence[Size], device: torch.device) -> Priors:
        """Anchors of levels of `sizes` (cells), fine to coarse."""
        return grid(tuple(sizes), self.strides, self._cells, self.offset, device)


class Points:
    """One prior per cell, a square of `side` strides about a point.

    Args:
        strides: Of the levels, pixels; supplied by the neck.
        offset: Where the point lies, in strides from the cell's upper left corner.
        side: Side of the square in strides; only assigners and coders that use boxes see it.
    """

    per_cell = 1

    def __init__(
        self, strides: Sequence[int], *, offset: float = 0.5, side: PositiveFloat = 1.0
    ) -> None:
        self.strides, self.offset = tuple(strides), offset
        self._cells = tuple(((stride * side, stride * side),) for stride in strides)

    def __call__(self, sizes: Sequence[Size], device: torch.device) -> Priors:
        """Priors of levels of `sizes` (cells), fine to coarse."""
        return grid(tuple(sizes), self.strides, self._cells, self.offset, device)


def equal_area(side: float, ratio: float, _: int) -> tuple[float, float]:
    """Width and height of the area `side`**2."""
    # Rounded as published detectors round: two anchors at equal distance from an object share its
    # highest IoU, or one alone has it, by the last bit of their sides.
    # On the CPU also where a model is built on the meta device.
    root = torch.tensor(ratio, device="cpu").sqrt()
    length = torch.tensor(side, device="cpu")
    return float(length * (1 / root)), float(length * root)


def _whole_shape(side: float, ratio: float, stride: int) -> tuple[float, float]:
    """The same, enlarged from a shape of whole pixels at a side of one stride."""
    width = round(stride / ratio**0.5)  # of halves the even one, here and in the height
    return side / stride * width, side / stride * round(width * ratio)


Cells = tuple[tuple[tuple[float, float], ...], ...]


# A run meets few input sizes; the cache is bounded all the same, as images may have any.
@lru_cache(maxsize=8)
def grid(
    sizes: tuple[Size, ...],
    strides: tuple[int, ...],
    cells: Cells,
    offset: float,
    device: torch.device,
) -> Priors:
    """Boxes of the given (width, height) at every cell, location-major, all levels."""
    assert len(sizes) == len(strides) == len(cells)
    boxes = [
        _level(size, stride, cell) + offset * stride
        for size, stride, cell in zip(sizes, strides, cells, strict=True)
    ]
    counts = torch.tensor([len(b) for b in boxes])
    return Priors(
        torch.cat(boxes).to(device),
        torch.tensor(strides, dtype=torch.float32).repeat_interleave(counts).to(device),
        torch.arange(len(sizes)).repeat_interleave(counts).to(device),
    )


def _level(size: Size, stride: int, cell: tuple[tuple[float, float], ...]) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(n) * float(stride) for n in size), indexing="ij")
    centers = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    sides = torch.tensor(cell) / 2
    return (centers + torch.cat([-sides, sides], dim=1)).reshape(-1, 4)
