"""Images of any size to a size range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeFloat

from tinyscope.data.resize import resized
from tinyscope.data.sampling import Sampling
from tinyscope.types import Sample


@dataclass(frozen=True)
class Fit:
    """Resizes, keeping the ratio, so that the short side is one of `short`.

    The long side stays at most `long` pixels, where the short one is then shorter than asked.
    Sides are rounded to whole pixels, halves up as in mmdetection. `sampling` says which pixels
    of an image count; `points` is what most published detectors were trained with.
    """

    short: Sequence[int] = (800,)
    long: int = 1333
    min_side: NonNegativeFloat = 1.0
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        if not self.short or min(self.short) < 1:
            raise ValueError(f"short must hold positive numbers of pixels, got {self.short}")
        if self.long < max(self.short):
            raise ValueError(f"long must be at least the largest of short, got {self.long}")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        short = self.short[int(random.integers(len(self.short)))]
        factor = min(short / min(sample.size), self.long / max(sample.size))
        height, width = (max(1, math.floor(side * factor + 0.5)) for side in sample.size)
        return resized(sample, (height, width), self.min_side, self.sampling)
