"""Changes of images that torchvision has, drawn for each image from its own random numbers."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torchvision.transforms import v2

from tinyscope.data.classification.draws import Draws
from tinyscope.types import Size


@dataclass(frozen=True)
class Seeded:
    """A transform of torchvision as an `Augmentation`.

    It draws from torch's generator, which is seeded anew for every image and put back after.

    Args:
        transform: Takes (3, h, w) uint8.
        side: Of the squares that come out; None keeps the size.
        shorter: The shorter side that comes out, where the shape is kept.
        least: The smallest side that it takes.
    """

    transform: Any
    side: int | None = None
    shorter: int | None = None
    least: int = 1

    def size(self, before: Size) -> Size:
        if min(before) < self.least:
            raise ValueError(
                f"{before[1]} x {before[0]} pixels are less than {self.least} on a side"
            )
        if self.side is not None:
            return self.side, self.side
        if self.shorter is not None:
            scale = self.shorter / min(before)
            height, width = (max(self.shorter, int(n * scale)) for n in before)
            return height, width
        return before

    def __call__(self, images: UInt8[Tensor, "b 3 h w"], draws: Draws) -> UInt8[Tensor, "b 3 _ _"]:
        state = torch.random.get_rng_state()
        try:
            changed = []
            for image, seed in zip(images, draws.bits().tolist(), strict=True):
                torch.default_generator.manual_seed(seed)
                changed.append(self.transform(image))
        finally:
            torch.random.set_rng_state(state)
        return torch.stack(changed)


def resized_crop(
    side: PositiveInt = 224,
    scale: tuple[PositiveFloat, PositiveFloat] = (0.08, 1.0),
    ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3),
) -> Seeded:
    """A part of the image of random area (`scale`, shares) and shape (`ratio`), made a square."""
    return Seeded(v2.RandomResizedCrop(side, scale, ratio, antialias=True), side=side)


def resize(shorter: PositiveInt = 256) -> Seeded:
    """Enlarges or reduces the image until its shorter side has that length."""
    return Seeded(v2.Resize(shorter, antialias=True), shorter=shorter)


def center_crop(side: PositiveInt = 224) -> Seeded:
    """The square in the middle of an image that is at least as large."""
    return Seeded(v2.CenterCrop(side), side=side, least=side)


def jitter(
    brightness: NonNegativeFloat = 0.4,
    contrast: NonNegativeFloat = 0.4,
    saturation: NonNegativeFloat = 0.4,
    hue: NonNegativeFloat = 0.0,
) -> Seeded:
    """Random colors; values as of torchvision's ColorJitter."""
    return Seeded(v2.ColorJitter(brightness, contrast, saturation, hue))


def trivial_augment() -> Seeded:
    """One random change of random strength (TrivialAugment, arXiv:2103.10158)."""
    return Seeded(v2.TrivialAugmentWide())


def rand_augment(changes: PositiveInt = 2, magnitude: NonNegativeInt = 9) -> Seeded:
    """Several random changes of one strength (RandAugment, arXiv:1909.13719)."""
    return Seeded(v2.RandAugment(changes, magnitude))
