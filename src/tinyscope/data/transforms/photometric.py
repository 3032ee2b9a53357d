"""Light and color."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.checks import check_share
from tinyscope.data.transforms.values import through_table, to_bytes
from tinyscope.types import Sample

# Luma, and two axes of color (NTSC); a hue turns the plane of the latter two.
_TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Photometric:
    """Changes brightness, contrast, gamma, saturation and hue, each evenly within its range.

    Args:
        brightness, contrast, saturation: 0.2 multiplies by 0.8..1.2.
        gamma: 0.2 raises values in 0..1 to the power of 0.8..1.2.
        hue: Degrees by which colors turn about the gray axis, to either side.
        probability: Of changing anything.

    Brightness, contrast and gamma are one table of 256 values, saturation and hue one matrix.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    gamma: float = 0.0
    hue: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "gamma", "probability"):
            check_share(name, getattr(self, name))
        if not 0 <= self.hue <= 180:
            raise ValueError(f"hue must be degrees between 0 and 180, got {self.hue}")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        brightness, contrast, saturation, gamma, hue = random.uniform(-1, 1, 5)
        if not wanted:
            return sample
        image = sample.image
        gray = image.stride(0) == 0  # three times the same plane, as gray files are read
        if (self.saturation or self.hue) and not gray:
            image = recolor(image, 1 + self.saturation * saturation, self.hue * hue)
        if self.brightness or self.contrast or self.gamma:
            image = relight(
                image,
                1 + self.brightness * brightness,
                1 + self.contrast * contrast,
                1 + self.gamma * gamma,
            )
        return replace(sample, image=image)


def relight(
    image: UInt8[Tensor, "3 h w"], brightness: float, contrast: float, gamma: float
) -> UInt8[Tensor, "3 h w"]:
    """Values to the power of `gamma` and times `brightness`, then spread about their mean."""
    values = (torch.arange(256) / 255) ** gamma * brightness
    # The mean of a sparse grid of pixels is that of the image, to well below one value.
    middle = values[image[:, ::4, ::4].long()].mean()
    values = middle + (values - middle) * contrast
    table = (values * 255).round().clamp(0, 255).byte()
    return through_table(image, table)


def recolor(
    image: UInt8[Tensor, "3 h w"], saturation: float, degrees: float
) -> UInt8[Tensor, "3 h w"]:
    """Distance from gray times `saturation`, direction turned by `degrees`; luma stays."""
    angle = torch.tensor(degrees).deg2rad()
    cosine, sine = saturation * angle.cos(), saturation * angle.sin()
    turn = torch.eye(3)
    turn[1:, 1:] = torch.stack([cosine, -sine, sine, cosine]).reshape(2, 2)
    matrix = _FROM_YIQ @ turn @ _TO_YIQ
    mixed = matrix @ image.contiguous().reshape(3, -1).float()
    return to_bytes(mixed.reshape(image.shape))
