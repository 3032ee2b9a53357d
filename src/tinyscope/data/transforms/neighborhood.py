"""Pixels among their neighbors."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.transforms.values import to_bytes


def mirrored(image: UInt8[Tensor, "3 h w"], reach: int) -> UInt8[Tensor, "3 y x"]:
    """The image with `reach` pixels more on each side, mirrored at the outermost ones."""
    # Not torch's: it takes no bytes, and no image that is smaller than what is added.
    beyond = ((0, 0), (reach, reach), (reach, reach))
    return torch.from_numpy(np.pad(image.numpy(), beyond, mode="reflect"))


def averaged(
    image: UInt8[Tensor, "3 h w"], offsets: Iterable[tuple[int, int]]
) -> UInt8[Tensor, "3 h w"]:
    """The mean of the pixels at `offsets` (y, x) from every pixel."""
    offsets = list(offsets)
    height, width = image.shape[1:]
    reach = max(abs(step) for offset in offsets for step in offset)
    beyond = mirrored(image, reach)
    total = torch.zeros(image.shape, dtype=torch.int32)
    for y, x in offsets:
        total += beyond[:, reach + y : reach + y + height, reach + x : reach + x + width]
    return to_bytes(total / len(offsets))
