"""Objects of a window and the priors that answer for them, one panel for each assignment."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tinyscope.analysis.pictures import (
    IGNORED,
    MISSED,
    OF_CLASSES,
    Color,
    Layer,
    enlargement,
    paint,
    with_legend,
)
from tinyscope.types import Target

OBJECT: Color = (255, 255, 255)
SHOWN = 192
"""Longest side of what a panel shows of a window, pixels."""
LONGEST = 960
"""Pixels that a panel's longer side may have."""
DOT = 2
"""Pixels from the middle of a prior's dot to its border."""
_LINE, _MARGIN = 18, 4
_BACKDROP, _INK = (24, 24, 24), (240, 240, 240)


@dataclass(frozen=True)
class Panel:
    """An assignment of a window.

    Args:
        title: Whose it is.
        strides: Of the levels, pixels.
        target: What is to be found.
        owners: Object of every positive prior, a row of the target without its ignored ones.
        centers: Of these priors, x y.
        levels: Of them.
    """

    title: str
    strides: tuple[int, ...]
    target: Target
    owners: Int64[Tensor, "m"]
    centers: Float[Tensor, "m 2"]
    levels: Int64[Tensor, "m"]

    @property
    def poor(self) -> Bool[Tensor, "n"]:
        """Objects that no prior answers for."""
        objects = int((~self.target.ignore).sum())
        return torch.bincount(self.owners, minlength=objects) == 0


def assignment_picture(
    image: UInt8[Tensor, "3 h w"], panels: Sequence[Panel], title: str
) -> Image.Image:
    """Panels side by side below their titles; of a large window the surroundings of one object.

    Dots are centers of positive priors in the color of their level, with a line to their object;
    objects without any prior are red. The object is one without a prior, where there is one.

    Args:
        image: The window.
        panels: At least one, all of this window.
        title: Of the whole.
    """
    x, y, x2, y2 = _shown(panels, (int(image.shape[-2]), int(image.shape[-1])))
    part = image[:, y:y2, x:x2]
    painted = [_painted(part, panel, torch.tensor([x, y])) for panel in panels]
    width, height = painted[0].width, max(panel.height for panel in painted)
    whole = Image.new(
        "RGB", (len(painted) * (width + _MARGIN), height + 2 * _LINE + _MARGIN), _BACKDROP
    )
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(12)
    draw.text((_MARGIN, _LINE / 2), title, fill=_INK, font=font, anchor="lm")
    for i, (panel, picture) in enumerate(zip(panels, painted, strict=True)):
        left = i * (width + _MARGIN)
        place = (left + _MARGIN, 1.5 * _LINE)
        draw.text(place, panel.title, fill=_INK, font=font, anchor="lm")
        whole.paste(picture, (left, 2 * _LINE))
    return whole


def _shown(panels: Sequence[Panel], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """What the panels show, x1 y1 x2 y2."""
    boxes = panels[0].target.boxes[~panels[0].target.ignore]
    poor = torch.stack([panel.poor for panel in panels]).any(dim=0)
    center = torch.tensor(size[::-1]) / 2
    if len(boxes):
        center = (boxes[:, :2] + boxes[:, 2:])[poor.int().argmax()] / 2
    ends = []
    for middle, length in zip(center.tolist(), size[::-1], strict=True):
        start = max(0, min(round(middle - SHOWN / 2), length - SHOWN))
        ends.append((start, min(length, start + SHOWN)))
    (x1, x2), (y1, y2) = ends
    return x1, y1, x2, y2


def _painted(image: Tensor, panel: Panel, corner: Tensor) -> Image.Image:
    target = panel.target
    boxes = target.boxes - corner.repeat(2)
    objects = boxes[~target.ignore]
    layers = [
        Layer("ignored", boxes[target.ignore], IGNORED),
        Layer("with priors", objects[~panel.poor], OBJECT),
        Layer("without", objects[panel.poor], MISSED),
    ]
    longest = max(image.shape[-2:])
    factor = min(max(2, enlargement(objects, longest)), max(1, LONGEST // longest))
    picture = paint(image, layers, enlarge=factor, legend=False)
    draw = ImageDraw.Draw(picture)
    points = ((panel.centers - corner) * factor).tolist()
    ends = ((objects[:, :2] + objects[:, 2:])[panel.owners] / 2 * factor).tolist()
    colors = [OF_CLASSES[level % len(OF_CLASSES)] for level in panel.levels.tolist()]
    for (x, y), (x2, y2), color in zip(points, ends, colors, strict=True):
        draw.line([x, y, x2, y2], fill=color)
    for (x, y), color in zip(points, colors, strict=True):
        draw.rectangle([x - DOT, y - DOT, x + DOT, y + DOT], fill=color, outline=(0, 0, 0))
    levels = [
        Layer(
            f"stride {stride}:",
            torch.zeros(int((panel.levels == i).sum()), 4),
            OF_CLASSES[i % len(OF_CLASSES)],
        )
        for i, stride in enumerate(panel.strides)
    ]
    return with_legend(picture, [*layers, *levels])
