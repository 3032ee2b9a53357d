"""Medians of squares of pixels."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.checks import check_share
from tinyscope.data.transforms.neighborhood import mirrored
from tinyscope.types import Sample


@dataclass(frozen=True)
class Median:
    """Every value becomes the median of the 3 x 3 around it.

    Keeps edges, and wipes out what covers fewer than five pixels of every nine: an object of
    2 x 2 px on even ground is gone.
    """

    probability: float = 0.1

    def __post_init__(self) -> None:
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= self.probability:
            return sample
        return replace(sample, image=median_of_nine(sample.image))


def median_of_nine(image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
    """The median of each pixel and its eight neighbors; mirrored at the border."""
    beyond = mirrored(image, 1)
    low, middle, high = _in_order(beyond[:, :-2], beyond[:, 1:-1], beyond[:, 2:])
    # With columns sorted, at least four of nine values lie above or below each one that is not
    # the greatest low, the middle one in the middle or the least high.
    greatest_low = _in_order(*_threes(low))[2]
    middle = _in_order(*_threes(middle))[1]
    least_high = _in_order(*_threes(high))[0]
    return _in_order(greatest_low, middle, least_high)[1]


def _threes(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each value with those to its left and right."""
    return rows[..., :-2], rows[..., 1:-1], rows[..., 2:]


def _in_order(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least, the middle and the greatest of three values, place by place."""
    small, large = torch.minimum(a, b), torch.maximum(a, b)
    middle = torch.maximum(small, torch.minimum(large, c))
    return torch.minimum(small, c), middle, torch.maximum(large, c)
