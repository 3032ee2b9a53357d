"""A cast of color."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from tinyscope.data.checks import check_share
from tinyscope.types import Sample


@dataclass(frozen=True)
class ColorShift:
    """Adds to red, green and blue a whole number each, drawn evenly from -limit..limit."""

    limit: int = 10
    probability: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= 255:
            raise ValueError(f"limit must be between 0 and 255, got {self.limit}")
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        drawn = random.integers(-self.limit, self.limit + 1, 3)
        if not wanted:
            return sample
        shift = torch.from_numpy(drawn.astype(np.int16))[:, None, None]
        return replace(sample, image=(sample.image + shift).clamp_(0, 255).byte())
