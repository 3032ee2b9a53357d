"""Noise of a sensor."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from tinyscope.data.checks import check_range, check_share
from tinyscope.data.transforms.values import to_bytes
from tinyscope.types import Sample


@dataclass(frozen=True)
class Noise:
    """Adds Gaussian noise whose deviation, in values of 0..255, is drawn from `deviation`.

    `gray` adds the same to all three colors, as infrared and monochrome sensors do.
    """

    deviation: tuple[float, float] = (0.0, 6.0)
    gray: bool = False
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_range("deviation", self.deviation)
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        deviation = float(random.uniform(*self.deviation))
        if not wanted:
            return sample
        shape = (1 if self.gray else 3, *sample.size)
        noise = torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
        return replace(sample, image=to_bytes(sample.image + deviation * noise))
