"""Traces of compression."""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from tinyscope.data.checks import check_share
from tinyscope.types import Sample


@dataclass(frozen=True)
class Jpeg:
    """Packs and unpacks the image as JPEG, of a quality drawn evenly from whole numbers.

    Below about 80, blocks of 8 px swallow objects of 2 px.
    """

    quality: tuple[int, int] = (85, 95)
    probability: float = 0.2

    def __post_init__(self) -> None:
        smallest, largest = self.quality
        if not 1 <= smallest <= largest <= 100:
            raise ValueError(
                f"quality must be (smallest, largest) between 1 and 100, got {self.quality}"
            )
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        quality = int(random.integers(self.quality[0], self.quality[1] + 1))
        return replace(sample, image=packed(sample.image, quality)) if wanted else sample


def packed(image: UInt8[Tensor, "3 h w"], quality: int) -> UInt8[Tensor, "3 h w"]:
    """What is left of the image after JPEG; colors at half the resolution, as is common."""
    # Pillow, since torchvision's own codec is announced to be removed.
    file = BytesIO()
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as unpacked:
        return torch.from_numpy(np.array(unpacked)).permute(2, 0, 1).contiguous()
