"""Fills the holes that objects leave, so that no trace tells where they were.

A hole takes the pixels of a place nearby whose surroundings look most alike, shifted by a smooth
difference so that no seam remains. It keeps texture, and lines as far as they run on there.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from tinyscope.data.cut import Frame

TRIES = 12
"""Places that are looked at for each hole."""
_REACH = 3  # sides of the hole that such a place may be away


def filled(
    image: UInt8[Tensor, "3 h w"],
    holes: Bool[Tensor, "h w"],
    frame: Frame,
    random: np.random.Generator,
) -> Float[Tensor, "3 y x"]:
    """What a window of the image could show in place of its holes.

    Args:
        image: Pixels.
        holes: Which of them are to be replaced, in the window and elsewhere.
        frame: The window; its rim outside of the holes says what a place must look like.
        random: Draws the places.
    """
    x1, y1, x2, y2 = frame
    here = image[:, y1:y2, x1:x2].float()
    known = ~holes[y1:y2, x1:x2]
    best, least = torch.zeros_like(here), float("inf")
    for x, y in _places(frame, (image.shape[-2], image.shape[-1]), random):
        if holes[y : y + y2 - y1, x : x + x2 - x1].any():
            continue
        there = image[:, y : y + y2 - y1, x : x + x2 - x1].float()
        apart = float(((there - here).abs() * known).sum())
        if apart < least:
            best, least = there, apart
    return best + smooth_fill(here - best, known)


def smooth_fill(
    values: Float[Tensor, "c h w"], known: Bool[Tensor, "h w"]
) -> Float[Tensor, "c h w"]:
    """The values, and where they are not known a smooth surface between those that are.

    Unknown places take the average of what is known around them at the finest scale at which
    anything is; where nothing is known at all, they become 0.
    """
    height, width = known.shape
    values = values * known
    if bool(known.all()) or max(height, width) == 1:
        return values
    weights = F.avg_pool2d(known[None].float(), 2, ceil_mode=True)
    means = F.avg_pool2d(values[None], 2, ceil_mode=True)[0] / weights.clamp(min=1e-6)
    coarse = smooth_fill(means, weights[0] > 0)
    wide = F.interpolate(coarse[None], size=(height, width), mode="bilinear")[0]
    return torch.where(known, values, wide)


def _places(
    frame: Frame, size: tuple[int, int], random: np.random.Generator
) -> list[tuple[int, int]]:
    """Left upper corners x, y of windows as large as the frame, in the image and around it."""
    x1, y1, x2, y2 = frame
    reach = _REACH * max(x2 - x1, y2 - y1)
    places = random.integers(-reach, reach + 1, (TRIES, 2)) + np.array([x1, y1])
    last = np.array([size[1] - (x2 - x1), size[0] - (y2 - y1)])
    return [(int(x), int(y)) for x, y in places.clip(0, last)]
