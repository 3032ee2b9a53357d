"""A camera that moves while it looks."""

from dataclasses import dataclass, replace

import numpy as np

from tinyscope.data.checks import check_share
from tinyscope.data.transforms.neighborhood import averaged
from tinyscope.types import Sample

DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Steps (y, x) along a line of pixels: level, upright and the two diagonals."""


@dataclass(frozen=True)
class MotionBlur:
    """Every pixel becomes the mean of a line of `length` pixels, an odd number, with it in the
    middle; along a row, a column or a diagonal, all as likely.
    """

    length: int = 3
    probability: float = 0.2

    def __post_init__(self) -> None:
        if self.length < 1 or self.length % 2 == 0:
            raise ValueError(f"length must be an odd number of pixels, got {self.length}")
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        y, x = DIRECTIONS[int(random.integers(len(DIRECTIONS)))]
        if not wanted:
            return sample
        steps = range(-(self.length // 2), self.length // 2 + 1)
        return replace(sample, image=averaged(sample.image, ((y * k, x * k) for k in steps)))
