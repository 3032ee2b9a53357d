"""Images of any size to a size range."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeFloat

from tinyscope.data.resize import resized, scaled_size
from tinyscope.types import Sample


@dataclass(frozen=True)
class Fit:
    """Resizes, keeping the ratio, so that the short side is one of `short`.

    The long side stays at most `long` pixels, where the short one is then shorter than asked.
    """

    short: Sequence[int] = (800,)
    long: int = 1333
    min_side: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        if not self.short or min(self.short) < 1:
            raise ValueError(f"short must hold positive numbers of pixels, got {self.short}")
        if self.long < max(self.short):
            raise ValueError(f"long must be at least the largest of short, got {self.long}")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        short = self.short[int(random.integers(len(self.short)))]
        factor = min(short / min(sample.size), self.long / max(sample.size))
        return resized(sample, scaled_size(sample.size, factor), self.min_side)
