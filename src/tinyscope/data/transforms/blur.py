"""Lack of focus."""

import math
from dataclasses import dataclass, replace

import numpy as np
from torchvision.transforms.v2.functional import gaussian_blur

from tinyscope.data.checks import check_range, check_share
from tinyscope.types import Sample


@dataclass(frozen=True)
class Blur:
    """Blurs by a Gaussian whose deviation, in pixels, is drawn evenly from `deviation`.

    Boxes stay: a blurred object is where it was. An object of 2 px is gone from about 2 px of
    deviation, so the default range is small.
    """

    deviation: tuple[float, float] = (0.2, 0.8)
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_range("deviation", self.deviation, least=0.01)
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        deviation = float(random.uniform(*self.deviation))
        # Reflection at the border, as torch pads it, needs more pixels than it adds.
        reach = min(math.ceil(3 * deviation), min(sample.size) - 1)
        if not wanted or reach < 1:
            return sample
        image = gaussian_blur(sample.image, [2 * reach + 1] * 2, [deviation] * 2)
        return replace(sample, image=image)
