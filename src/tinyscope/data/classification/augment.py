"""Random changes of images with a label, as one tensor; more stand in `library.py`."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.data.classification.draws import Draws
from tinyscope.types import Size


@runtime_checkable
class Augmentation(Protocol):
    """A change of images of one size, random for each of them."""

    def __call__(
        self, images: UInt8[Tensor, "b 3 h w"], draws: Draws
    ) -> UInt8[Tensor, "b 3 _ _"]: ...

    def size(self, before: Size) -> Size:
        """The size of the images that come out.

        Raises:
            ValueError: Images of the size `before` are too small.
        """


@dataclass(frozen=True)
class Flip:
    """Mirrors left and right.

    Args:
        probability: That an image is mirrored.
    """

    probability: Share = 0.5

    def size(self, before: Size) -> Size:
        return before

    def __call__(self, images: UInt8[Tensor, "b 3 h w"], draws: Draws) -> UInt8[Tensor, "b 3 h w"]:
        chosen = torch.from_numpy(draws.uniform() < self.probability)
        return torch.where(chosen[:, None, None, None], images.flip(-1), images)


@dataclass(frozen=True)
class Crop:
    """A square somewhere in the image, after zeros (black) were put around it.

    Args:
        side: Of the square.
        padding: Width of the zeros on every side.
    """

    side: PositiveInt = 32
    padding: NonNegativeInt = 4

    def size(self, before: Size) -> Size:
        if min(before) + 2 * self.padding < self.side:
            raise ValueError(
                f"{before[1]} x {before[0]} pixels with {self.padding} around them hold no square "
                f"of {self.side}"
            )
        return self.side, self.side

    def __call__(self, images: UInt8[Tensor, "b 3 h w"], draws: Draws) -> UInt8[Tensor, "b 3 s s"]:
        count, channels, height, width = images.shape
        p = self.padding
        padded = images.new_zeros(count, channels, height + 2 * p, width + 2 * p)
        padded[:, :, p : p + height, p : p + width] = images
        squares = padded.unfold(2, self.side, 1).unfold(3, self.side, 1)  # (b, 3, y, x, s, s)
        y = torch.from_numpy(draws.below(squares.shape[2]))
        x = torch.from_numpy(draws.below(squares.shape[3]))
        return squares[torch.arange(count), :, y, x]
