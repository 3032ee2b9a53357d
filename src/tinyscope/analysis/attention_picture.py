"""Attention of all levels over their image, side by side, with what its colors mean."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tinyscope.analysis.pictures import Layer, paint

HEAT = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64
)
"""Colors of attention 0 to 1 at even distances; red, green, blue."""
LEAST = 320
"""Pixels that panels of small images are enlarged to, about."""
COLUMNS = 5
_LINE, _BAR, _MARGIN = 18, 120, 4
_BACKDROP, _INK = (24, 24, 24), (240, 240, 240)


def attention_picture(
    image: UInt8[Tensor, "3 h w"],
    attention: Float32[Tensor, "l h w"],
    titles: Sequence[str],
    layers: Sequence[Layer] = (),
) -> Image.Image:
    """The image, then every level's attention over it in gray, each below its title.

    Args:
        image: Pixels.
        attention: 0 to 1, fine to coarse, at the image's size.
        titles: Of the image and of every level.
        layers: Boxes to draw on all of them.
    """
    factor = max(1, LEAST // max(image.shape[-2:]))
    panels = [image, *(overlaid(image, level) for level in attention)]
    painted = [paint(panel, layers, enlarge=factor, legend=False) for panel in panels]
    width, height = painted[0].size
    # Flat images would make a long strip of panels next to each other.
    columns = 1 if width > 3 * height else min(COLUMNS, len(painted))
    lines = -(-len(painted) // columns)
    step = (width + _MARGIN, height + _LINE + _MARGIN)
    whole = Image.new("RGB", (columns * step[0], lines * step[1] + _LINE), _BACKDROP)
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(12)
    for i, (panel, title) in enumerate(zip(painted, titles, strict=True)):
        x, y = (i % columns) * step[0], (i // columns) * step[1]
        draw.text((x + _MARGIN, y + _LINE / 2), title, fill=_INK, font=font, anchor="lm")
        whole.paste(panel, (x, y + _LINE))
    _legend(whole, layers)
    return whole


def overlaid(
    image: UInt8[Tensor, "3 h w"], attention: Float32[Tensor, "h w"]
) -> UInt8[Tensor, "3 h w"]:
    """The image in dark gray, and attention on it the more, the stronger it is."""
    gray = image.float().mean(dim=0).mul(0.6).numpy()[..., None]
    strength = attention.clamp(0, 1).numpy()
    share = np.sqrt(strength)[..., None]  # weak attention is to be seen too
    mixed = gray * (1 - share) + heat(strength) * share
    return torch.from_numpy(np.ascontiguousarray(mixed.round().astype(np.uint8))).permute(2, 0, 1)


def heat(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Colors (..., 3), 0 to 255, of values 0 to 1."""
    stops = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(values, stops, HEAT[:, i]) for i in range(3)], axis=-1)


def _legend(whole: Image.Image, layers: Sequence[Layer]) -> None:
    """In the last line: the colors from 0 to 1, and the boxes' names and counts."""
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(12)
    top = whole.height - _LINE
    middle = top + _LINE / 2
    ramp = heat(np.linspace(0, 1, _BAR, dtype=np.float32))
    bar = np.broadcast_to(ramp.round().astype(np.uint8), (_LINE - 6, _BAR, 3))
    entries = [("attention 0", None), ("1", None), *((_name(x), x.color) for x in layers)]
    x = float(_MARGIN)
    for i, (text, color) in enumerate(entries):
        draw.text((x, middle), text, fill=color or _INK, font=font, anchor="lm")
        x += font.getlength(text) + 2 * _MARGIN
        if i == 0:
            whole.paste(Image.fromarray(np.ascontiguousarray(bar)), (round(x), top + 3))
            x += _BAR + 2 * _MARGIN


def _name(layer: Layer) -> str:
    return f"{layer.name} {len(layer.boxes)}"
