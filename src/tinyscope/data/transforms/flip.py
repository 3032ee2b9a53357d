"""Mirror images."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinyscope.data.checks import check_share
from tinyscope.types import Sample, Size


@dataclass(frozen=True)
class Flip:
    """Swaps left and right, and top and bottom, each with its probability."""

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        check_share("horizontal", self.horizontal)
        check_share("vertical", self.vertical)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        draws = random.random(2)
        if draws[0] < self.horizontal:
            sample = flipped(sample, axis=-1)
        if draws[1] < self.vertical:
            sample = flipped(sample, axis=-2)
        return sample


def flipped(sample: Sample, axis: int) -> Sample:
    """The sample mirrored along x (axis -1) or y (axis -2)."""
    boxes = flip_boxes(sample.target.boxes, sample.size, axis)
    target = replace(sample.target, boxes=boxes)
    return replace(sample, image=sample.image.flip(axis), target=target)


def flip_boxes(boxes: Float[Tensor, "n 4"], size: Size, axis: int) -> Float[Tensor, "n 4"]:
    """Boxes of an image of `size` mirrored along x (axis -1) or y (axis -2)."""
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    if axis == -1:
        x1, x2 = size[1] - x2, size[1] - x1
    else:
        y1, y2 = size[0] - y2, size[0] - y1
    return torch.stack((x1, y1, x2, y2), dim=1)
