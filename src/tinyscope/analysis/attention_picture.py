"""Attention of all levels over their image, side by side, with what its colors mean."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tinyscope.analysis.pictures import Layer, paint, with_legend

HEAT = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64
)
"""Colors of attention 0 to 1 at even distances; red, green, blue."""
LEAST = 320
"""Pixels that panels of small images are enlarged to, about."""
COLUMNS = 5
WIDEST = 2500
"""Pixels that panels side by side may take together; more go below."""
TITLE = 320
"""Pixels that a title may take in a narrower panel; longer ones are cut."""
HIDING = 0.8
"""How much of the image attention of 1 hides."""
_LINE, _BAR, _MARGIN = 18, 120, 4
_ZERO, _ONE = "attention 0", "1"
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
        titles: Of the image and of every level; panels are as wide as theirs.
        layers: Boxes to draw on all of them.
    """
    factor = max(1, LEAST // max(image.shape[-2:]))
    panels = [image, *(overlaid(image, level) for level in attention)]
    painted = [paint(panel, layers, enlarge=factor, legend=False) for panel in panels]
    font = ImageFont.load_default(12)
    width, height = painted[0].size
    texts = [_fitting(title, max(width, TITLE), font) for title in titles]
    step = (
        max(width, *(round(font.getlength(text)) + _MARGIN for text in texts)) + _MARGIN,
        height + _LINE + _MARGIN,
    )
    # Flat images would make a long strip of panels next to each other.
    columns = 1 if width > 3 * height else min(COLUMNS, len(painted), max(1, WIDEST // step[0]))
    lines = -(-len(painted) // columns)
    least = _MARGIN + round(font.getlength(_ZERO + _ONE)) + _BAR + 5 * _MARGIN
    size = (max(columns * step[0], least), lines * step[1] + _LINE)
    whole = Image.new("RGB", size, _BACKDROP)
    draw = ImageDraw.Draw(whole)
    for i, (panel, text) in enumerate(zip(painted, texts, strict=True)):
        x, y = (i % columns) * step[0], (i // columns) * step[1]
        draw.text((x + _MARGIN, y + _LINE / 2), text, fill=_INK, font=font, anchor="lm")
        whole.paste(panel, (x, y + _LINE))
    _draw_scale(whole)
    return with_legend(whole, layers) if layers else whole


def overlaid(
    image: UInt8[Tensor, "3 h w"], attention: Float32[Tensor, "h w"]
) -> UInt8[Tensor, "3 h w"]:
    """The image in dark gray, and attention on it the more, the stronger it is.

    A pixel is the mix of both with a share of `HIDING` times the root of the attention.
    """
    gray = image.float().mean(dim=0).mul(0.6).numpy()[..., None]
    strength = attention.clamp(0, 1).numpy()
    share = HIDING * np.sqrt(strength)[..., None]  # weak attention is to be seen too
    mixed = gray * (1 - share) + heat(strength) * share
    return torch.from_numpy(np.ascontiguousarray(mixed.round().astype(np.uint8))).permute(2, 0, 1)


def heat(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Colors (..., 3), 0 to 255, of values 0 to 1."""
    stops = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(values, stops, HEAT[:, i]) for i in range(3)], axis=-1)


def _draw_scale(whole: Image.Image) -> None:
    """In the last line: the colors from 0 to 1."""
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(12)
    top = whole.height - _LINE
    middle = top + _LINE / 2
    ramp = heat(np.linspace(0, 1, _BAR, dtype=np.float32)).round().astype(np.uint8)
    bar = Image.fromarray(np.ascontiguousarray(np.broadcast_to(ramp, (_LINE - 6, _BAR, 3))))
    draw.text((_MARGIN, middle), _ZERO, fill=_INK, font=font, anchor="lm")
    x = round(_MARGIN + font.getlength(_ZERO) + 2 * _MARGIN)
    whole.paste(bar, (x, top + 3))
    draw.text((x + _BAR + 2 * _MARGIN, middle), _ONE, fill=_INK, font=font, anchor="lm")


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, or as much of its end as fits: names of files differ there."""
    if font.getlength(text) + _MARGIN <= width:
        return text
    while text and font.getlength("..." + text) + _MARGIN > width:
        text = text[1:]
    return "..." + text
