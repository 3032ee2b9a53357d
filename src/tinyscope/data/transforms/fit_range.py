"""Images of any size to a size drawn from two ranges."""

from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeFloat

from tinyscope.data.resize import resized, scaled_size
from tinyscope.types import Sample


@dataclass(frozen=True)
class FitRange:
    """Resizes, keeping the ratio, to the largest size within two limits.

    The limits of the short and of the long side are drawn independently, all whole numbers of
    pixels of a range (smallest, largest) as likely, so either may be the one that binds.
    """

    short: tuple[int, int] = (512, 768)
    long: tuple[int, int] = (640, 960)
    min_side: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        for name, (smallest, largest) in (("short", self.short), ("long", self.long)):
            if not 1 <= smallest <= largest:
                raise ValueError(
                    f"{name} must be (smallest, largest) with smallest at least 1, got "
                    f"{(smallest, largest)}"
                )

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        short, long = (int(random.integers(a, b + 1)) for a, b in (self.short, self.long))
        factor = min(short / min(sample.size), long / max(sample.size))
        return resized(sample, scaled_size(sample.size, factor), self.min_side)
