"""Means of squares of pixels."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from tinyscope.data.checks import check_share
from tinyscope.data.transforms.neighborhood import averaged
from tinyscope.types import Sample


@dataclass(frozen=True)
class BoxBlur:
    """Every pixel becomes the mean of the `size` x `size` pixels around it; an odd number."""

    size: int = 3
    probability: float = 0.2

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"size must be an odd number of pixels, got {self.size}")
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= self.probability:
            return sample
        around = range(-(self.size // 2), self.size // 2 + 1)
        return replace(sample, image=averaged(sample.image, product(around, around)))
