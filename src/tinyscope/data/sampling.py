"""Ways in which the pixels of an image become those of another size."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from tinyscope.types import Size

Sampling = Literal["antialiased", "points"]
"""`antialiased`: when an image shrinks, every pixel of it counts. `points`: the four pixels around
each point and no others, to the last bit as OpenCV does it and with it most published detectors;
tiny objects lose contrast at random where the image shrinks."""

_STEPS = 2048  # in which OpenCV counts the way from one pixel to the next


def resampled(
    image: UInt8[Tensor, "3 h w"], size: Size, sampling: Sampling = "antialiased"
) -> UInt8[Tensor, "3 y x"]:
    """The image at another size, bilinear."""
    if sampling == "points":
        return _points(image, size)
    result: Tensor = resize(image, list(size), antialias=True)
    return result


def _points(image: UInt8[Tensor, "3 h w"], size: Size) -> UInt8[Tensor, "3 y x"]:
    """Weights of whole steps, products cut to 16 bits: the arithmetic of cv2.INTER_LINEAR."""
    top, bottom, up, down = _neighbors(size[0], image.shape[1])
    left, right, near, far = _neighbors(size[1], image.shape[2], sharp_ends=True)
    values = image.numpy().astype(np.int32)
    rows = (values[..., left] * near + values[..., right] * far) >> 4
    result = (rows[:, top] * up[:, None] >> 16) + (rows[:, bottom] * down[:, None] >> 16)
    return torch.from_numpy(((result + 2) >> 2).astype(np.uint8))


def _neighbors(after: int, before: int, sharp_ends: bool = False) -> tuple[NDArray[np.int32], ...]:
    """Of `after` points on a line of pixels: both pixels around each, and their weights.

    Beyond the first and the last pixel both are the same one; with `sharp_ends`, which columns have
    and rows have not, its weights are not rounded apart.
    """
    places = ((np.arange(after) + 0.5) * (1 / (after / before)) - 0.5).astype(np.float32)
    first = np.floor(places)
    part = places - first
    if sharp_ends:
        part[(first < 0) | (first >= before - 1)] = 0
    weights = (np.rint(share * np.float32(_STEPS)) for share in (np.float32(1) - part, part))
    pixels = (np.clip(first + step, 0, before - 1) for step in (0, 1))
    return tuple(column.astype(np.int32) for column in (*pixels, *weights))
