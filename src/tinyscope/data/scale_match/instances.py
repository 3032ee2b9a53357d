"""Objects cut out of an image with a soft border, made larger or smaller, and put back."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from tinyscope.data.cut import Frame
from tinyscope.data.resize import scaled_size
from tinyscope.types import Size


@dataclass(frozen=True)
class Move:
    """An object whose window `old` becomes the window `new` of the same image.

    `box` is the object's xyxy before, `moved` its xyxy afterwards.
    """

    box: Float[Tensor, "4"]
    moved: Float[Tensor, "4"]
    old: Frame
    new: Frame
    border: float

    @property
    def reach(self) -> Float[Tensor, "4"]:
        """xyxy of all pixels that the move changes."""
        old, new = torch.tensor(self.old), torch.tensor(self.new)
        return torch.cat([old[:2].minimum(new[:2]), old[2:].maximum(new[2:])]).float()


def plan_move(box: Float[Tensor, "4"], factor: float, border: float, size: Size) -> Move:
    """How an object becomes `factor` times as large about its center, within the image.

    Args:
        box: xyxy of the object in an image of `size`.
        factor: Of width and height; whole pixels make the true one of each axis differ a little.
        border: Pixels around the box that fade into the background.
        size: Of the image.
    """
    height, width = size
    x1, y1 = (max(0, int(v)) for v in (box[:2] - border).floor().tolist())
    x2, y2 = (int(v) for v in (box[2:] + border).ceil().tolist())
    x2, y2 = min(width, x2), min(height, y2)
    wanted = scaled_size((y2 - y1, x2 - x1), factor)
    new_height, new_width = min(height, wanted[0]), min(width, wanted[1])
    left = min(max(0, round((x1 + x2 - new_width) / 2)), width - new_width)
    top = min(max(0, round((y1 + y2 - new_height) / 2)), height - new_height)
    factors = torch.tensor([new_width / (x2 - x1), new_height / (y2 - y1)]).repeat(2)
    moved = (box - torch.tensor([x1, y1, x1, y1])) * factors
    moved = moved + torch.tensor([left, top, left, top])
    new = (left, top, left + new_width, top + new_height)
    return Move(box, moved, (x1, y1, x2, y2), new, border)


def put_back(
    image: UInt8[Tensor, "3 h w"], background: UInt8[Tensor, "3 h w"], move: Move
) -> Float[Tensor, "3 y x"]:
    """Pixels of the new window: the object of `image` at its new size over the background."""
    x1, y1, x2, y2 = move.old
    left, top, right, bottom = move.new
    size = [bottom - top, right - left]
    opacity: Tensor = resize(
        soft_opacity(move.box, move.old, move.border)[None], size, antialias=True
    )
    pixels: Tensor = resize(image[:, y1:y2, x1:x2].float(), size, antialias=True)
    below = background[:, top:bottom, left:right].float()
    return below + (pixels - below) * opacity


def soft_opacity(box: Float[Tensor, "4"], frame: Frame, border: float) -> Float[Tensor, "y x"]:
    """1 in the box, falling to 0 over `border` pixels around it, for the pixels of a window."""
    x1, y1, x2, y2 = frame
    across = _ramp(torch.arange(x1, x2) + 0.5, float(box[0]), float(box[2]), border)
    down = _ramp(torch.arange(y1, y2) + 0.5, float(box[1]), float(box[3]), border)
    return down[:, None] * across[None]


def _ramp(places: Tensor, start: float, end: float, border: float) -> Tensor:
    inside = torch.minimum(places - start, end - places)
    return (1 + inside / border).clamp(0, 1)
