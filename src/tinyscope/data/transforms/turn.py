"""Turns by quarters of a circle."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinyscope.types import Sample, Size


@dataclass(frozen=True)
class Turn:
    """Turns counterclockwise by one of `degrees`, all as likely; multiples of 90."""

    degrees: tuple[int, ...] = (0, 90, 180, 270)

    def __post_init__(self) -> None:
        if not self.degrees or any(d % 90 for d in self.degrees):
            raise ValueError(f"degrees must be multiples of 90, got {self.degrees}")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        drawn = self.degrees[int(random.integers(len(self.degrees)))]
        return turned(sample, drawn // 90)


def turned(sample: Sample, quarters: int) -> Sample:
    """The sample turned counterclockwise by `quarters` of a circle."""
    if quarters % 4 == 0:
        return sample
    boxes = turn_boxes(sample.target.boxes, sample.size, quarters)
    image = torch.rot90(sample.image, quarters, (1, 2))
    return replace(sample, image=image, target=replace(sample.target, boxes=boxes))


def turn_boxes(boxes: Float[Tensor, "n 4"], size: Size, quarters: int) -> Float[Tensor, "n 4"]:
    """Boxes of an image of `size` turned counterclockwise by `quarters` of a circle."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    for _ in range(quarters % 4):
        # What was at the right edge is now at the top.
        x1, y1, x2, y2 = y1, width - x2, y2, width - x1
        height, width = width, height
    return torch.stack((x1, y1, x2, y2), dim=1)
