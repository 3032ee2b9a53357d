"""Regions of an image painted over, so that nothing is learned from them."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from tinyscope.formats.tables import Annotations

ERASE = "erase"
"""Mark of rows whose pixels are painted over when an image is loaded; they are no targets."""

Region = tuple[int, int, int, int]
"""x1 y1 x2 y2 in whole pixels, right and bottom exclusive."""


def erased_regions(annotations: Annotations, image: int) -> tuple[Region, ...]:
    """What is painted over in the image at position `image`: all pixels that the boxes touch."""
    marked = annotations.marks.get(ERASE)
    if marked is None:
        return ()
    rows = annotations.rows(image)
    height, width = annotations.sizes[image].tolist()
    boxes = annotations.boxes[rows][marked[rows]]
    whole = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1)
    return tuple(_regions(np.clip(whole, 0, [width, height, width, height]).astype(np.int64)))


def _regions(boxes: NDArray[np.int64]) -> list[Region]:
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.tolist() if x2 > x1 and y2 > y1]


def erased(image: UInt8[Tensor, "3 h w"], regions: Sequence[Region]) -> UInt8[Tensor, "3 h w"]:
    """A copy in which each region has one color, its mean; of overlapping ones the last.

    Source: the erased images of TinyPerson (arXiv:1912.10664). How their authors rounded is not
    known: here, as the means are taken from the image as it was, the order matters only where
    regions overlap.
    """
    result = image.clone()
    for x1, y1, x2, y2 in regions:
        color = image[:, y1:y2, x1:x2].to(torch.float64).mean(dim=(1, 2))
        result[:, y1:y2, x1:x2] = color.round().to(torch.uint8)[:, None, None]
    return result
