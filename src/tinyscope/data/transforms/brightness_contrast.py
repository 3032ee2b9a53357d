"""Brightness added, contrast multiplied."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from tinyscope.data.checks import check_share
from tinyscope.data.transforms.values import through_table
from tinyscope.types import Sample


@dataclass(frozen=True)
class BrightnessContrast:
    """Multiplies values by 1 + a contrast and adds a brightness, each drawn evenly.

    Unlike `photometric`, values spread from black instead of from their mean, and the two ranges
    need not lie about 0, so a set of images may be made brighter on the whole.

    Args:
        brightness: Range of what is added, as a share of 255.
        contrast: Range of what the factor is above 1.
        probability: Of changing anything.
    """

    brightness: tuple[float, float] = (-0.2, 0.2)
    contrast: tuple[float, float] = (-0.2, 0.2)
    probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast"):
            smallest, largest = getattr(self, name)
            if not -1 <= smallest <= largest <= 1:
                raise ValueError(
                    f"{name} must be (smallest, largest) between -1 and 1, got {smallest, largest}"
                )
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        brightness = float(random.uniform(*self.brightness))
        contrast = float(random.uniform(*self.contrast))
        if not wanted:
            return sample
        values = torch.arange(256) * (1 + contrast) + 255 * brightness
        table = values.round().clamp(0, 255).byte()
        return replace(sample, image=through_table(sample.image, table))
