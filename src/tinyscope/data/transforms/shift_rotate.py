"""Turns by any angle, with a shift."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from tinyscope.data.checks import check_share
from tinyscope.data.cut import CutRule, clip
from tinyscope.data.images import BACKDROP
from tinyscope.data.transforms.values import to_bytes
from tinyscope.types import Dropped, Sample, Size

Border = Literal["color", "mirror"]
"""What lies beyond the border of an image: the mean color, or the image again, mirrored."""


@dataclass(frozen=True)
class ShiftRotate:
    """Turns about the middle and shifts, each by an amount drawn evenly; the size stays.

    A box becomes the upright one around the turned one: turned by 45 degrees, that of a square
    object has twice its area.

    Args:
        shift: Largest shift to either side, as a share of the width and of the height.
        degrees: Largest angle, counterclockwise or clockwise.
        probability: Of changing anything.
        border: `mirror` shows objects near the border a second time, as no objects.
        min_visible: Objects of whose box a smaller share stays in the image become ignored.
        min_side: Likewise objects of which less than this many pixels are left.
    """

    shift: float = 0.0625
    degrees: float = 45.0
    probability: float = 0.5
    border: Border = "color"
    min_visible: float = 0.5
    min_side: float = 1.0

    def __post_init__(self) -> None:
        for name in ("shift", "probability"):
            check_share(name, getattr(self, name))
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees must be between 0 and 180, got {self.degrees}")
        _ = self.rule

    @property
    def rule(self) -> CutRule:
        return CutRule("clip", self.min_visible, self.min_side)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        degrees = float(random.uniform(-self.degrees, self.degrees))
        across, down = random.uniform(-self.shift, self.shift, 2)
        if not wanted:
            return sample
        height, width = sample.size
        shift = (float(across) * width, float(down) * height)
        return shifted_and_rotated(sample, degrees, shift, self.border, self.rule)


def shifted_and_rotated(
    sample: Sample, degrees: float, shift: tuple[float, float], border: Border, rule: CutRule
) -> Sample:
    """The sample turned counterclockwise about its middle, then shifted by pixels (x, y)."""
    before = sample.target
    moved = replace(before, boxes=move_boxes(before.boxes, sample.size, degrees, shift))
    inside = clip(moved.boxes, sample.size)
    gone = (inside[:, 2:] <= inside[:, :2]).any(dim=1) & ~before.ignore
    height, width = sample.size
    target, cut = rule(moved, (0, 0, width, height))  # leaves out what is gone, but counts it not
    lost = Dropped.of("moved out of the image: not seen any more", before.boxes[gone])
    image = move_pixels(sample.image, degrees, shift, border)
    return replace(sample, image=image, target=target, dropped=sample.dropped + lost + cut)


def move_boxes(
    boxes: Float[Tensor, "n 4"], size: Size, degrees: float, shift: tuple[float, float]
) -> Float[Tensor, "n 4"]:
    """The upright boxes around boxes that were turned about the middle of `size` and shifted."""
    height, width = size
    center = boxes.new_tensor((width / 2, height / 2))
    turn = _turn(degrees)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 - center
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2
    middles = middles @ turn.T + center + boxes.new_tensor(shift)
    halves = halves @ turn.abs().T
    return torch.cat([middles - halves, middles + halves], dim=1)


def move_pixels(
    image: UInt8[Tensor, "3 h w"], degrees: float, shift: tuple[float, float], border: Border
) -> UInt8[Tensor, "3 h w"]:
    """The image turned counterclockwise about its middle and shifted by pixels (x, y), bilinear."""
    height, width = image.shape[1:]
    back = _turn(-degrees)
    x = torch.arange(width) + (0.5 - width / 2 - shift[0])
    y = torch.arange(height) + (0.5 - height / 2 - shift[1])
    # Pixel centers of the image that each pixel is taken from, (h, w) each.
    from_x = back[0, 0] * x + (back[0, 1] * y)[:, None] + (width / 2 - 0.5)
    from_y = back[1, 0] * x + (back[1, 1] * y)[:, None] + (height / 2 - 0.5)
    scale_x, scale_y = 2 / max(width - 1, 1), 2 / max(height - 1, 1)
    grid = torch.stack((from_x * scale_x - 1, from_y * scale_y - 1), dim=-1)[None]
    values = image.float()
    if border == "mirror":
        return to_bytes(_sampled(values, grid, "reflection"))
    color = torch.tensor(BACKDROP, dtype=torch.float32)[:, None, None]
    return to_bytes(_sampled(values - color, grid, "zeros") + color)


def _sampled(
    values: Float[Tensor, "3 h w"], grid: Float[Tensor, "1 h w 2"], border: str
) -> Float[Tensor, "3 h w"]:
    # Corners are the centers of the outermost pixels, which is where the mirror stands, too.
    return F.grid_sample(values[None], grid, padding_mode=border, align_corners=True)[0]


def _turn(degrees: float) -> Float[Tensor, "2 2"]:
    """Turns columns (x, y) counterclockwise, with y pointing down."""
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine, sine, -sine, cosine]).reshape(2, 2).float()
