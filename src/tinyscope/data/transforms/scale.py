"""Another scale by chance."""

import math
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeFloat

from tinyscope.data.checks import check_share
from tinyscope.data.resize import resized, scaled_size
from tinyscope.types import Sample


@dataclass(frozen=True)
class Scale:
    """Resizes by a factor drawn evenly on a log scale; equal ends make it a fixed factor.

    Args:
        smallest, largest: Range of the factor; 2 makes objects twice as large.
        probability: Of resizing at all.
        min_side: Objects that shrink below it, in pixels, become ignored.
    """

    smallest: float = 1.0
    largest: float = 2.0
    probability: float = 1.0
    min_side: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest:
            raise ValueError(
                f"smallest must be positive and at most largest {self.largest}, got {self.smallest}"
            )
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        factor = math.exp(random.uniform(math.log(self.smallest), math.log(self.largest)))
        size = scaled_size(sample.size, factor) if wanted else sample.size
        return resized(sample, size, self.min_side)
