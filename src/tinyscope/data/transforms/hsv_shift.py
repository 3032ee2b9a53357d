"""Hue, saturation and value."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.checks import check_share
from tinyscope.data.transforms.values import to_bytes
from tinyscope.types import Sample


@dataclass(frozen=True)
class HsvShift:
    """Adds to hue, saturation and value, each drawn evenly to either side.

    Unlike the hue of `photometric`, this one goes around the hexagon of HSV, and brightness is
    the largest of the three colors.

    Args:
        hue: Largest shift in degrees. Publications that count in OpenCV's steps mean half as many.
        saturation: Largest shift in 255ths.
        value: Likewise.
        probability: Of changing anything.
    """

    hue: float = 40.0
    saturation: float = 30.0
    value: float = 20.0
    probability: float = 0.2

    def __post_init__(self) -> None:
        for name, most in (("hue", 180), ("saturation", 255), ("value", 255)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be between 0 and {most}, got {getattr(self, name)}")
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        hue, saturation, value = random.uniform(-1, 1, 3)
        if not wanted:
            return sample
        image = shift_hsv(
            sample.image,
            float(hue) * self.hue,
            float(saturation) * self.saturation / 255,
            float(value) * self.value,
        )
        return replace(sample, image=image)


def shift_hsv(
    image: UInt8[Tensor, "3 h w"], degrees: float, saturation: float, value: float
) -> UInt8[Tensor, "3 h w"]:
    """Hue turned by `degrees`, saturation (0..1) and value (0..255) changed by a sum, clamped.

    Gray has no hue, and stays gray.
    """
    colors = image.float()
    red, green, blue = colors
    high = colors.amax(dim=0)  # (h, w), the value
    chroma = high - colors.amin(dim=0)
    whole = chroma.clamp(min=1)  # of whole numbers, chroma is 0 or at least 1
    sextant = torch.where(
        high == red,
        (green - blue) / whole,
        torch.where(high == green, 2 + (blue - red) / whole, 4 + (red - green) / whole),
    )
    share = (chroma / high.clamp(min=1) + saturation).clamp_(0, 1) * (chroma > 0)
    high = (high + value).clamp_(0, 255)
    steps = (sextant + degrees / 60 + torch.tensor([5.0, 3.0, 1.0])[:, None, None]) % 6
    return to_bytes(high * (1 - share * torch.minimum(steps, 4 - steps).clamp_(0, 1)))
