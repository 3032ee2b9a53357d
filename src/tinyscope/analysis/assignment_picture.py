"""Objects of a window and the priors that answer for them, one panel for each assignment."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

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
    paint,
    with_legend,
)
from tinyscope.ops.boxes import box_areas, clip_boxes
from tinyscope.types import Size, Target

OBJECT: Color = (255, 255, 255)
SHOWN = 160
"""Longest side of what a panel shows of a window, pixels."""
WIDE = 640
"""Pixels that a panel's longer side is enlarged to, about."""
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
    """Panels side by side below their titles; of a large window the part with most objects.

    Dots are centers of positive priors in the color of their level, with a line to their object,
    and beside them stands how many share a center, where several do;
    objects without any prior are red, and shown rather than any number of others.

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


def _shown(panels: Sequence[Panel], size: Size) -> tuple[int, int, int, int]:
    """What the panels show, x1 y1 x2 y2."""
    target = panels[0].target
    boxes = target.boxes[~target.ignore]
    center = torch.tensor(size[::-1]) / 2
    if len(boxes):
        poor = torch.stack([panel.poor for panel in panels]).any(dim=0)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        near = ((centers - centers[:, None]).abs() < SHOWN / 2).all(dim=2)  # (n, n)
        center = centers[(near * (1 + len(boxes) * poor)).sum(dim=1).argmax()]
    ends = []
    for middle, length in zip(center.tolist(), size[::-1], strict=True):
        start = max(0, min(round(middle - SHOWN / 2), length - SHOWN))
        ends.append((start, min(length, start + SHOWN)))
    (x1, x2), (y1, y2) = ends
    return x1, y1, x2, y2


def _painted(image: Tensor, panel: Panel, corner: Tensor) -> Image.Image:
    """A part of a window, enlarged; its upper left corner is x y of the window."""
    target, size = panel.target, (int(image.shape[-2]), int(image.shape[-1]))
    boxes = target.boxes - corner.repeat(2)
    objects = boxes[~target.ignore]
    named = {"ignored": boxes[target.ignore], "with priors": objects[~panel.poor]}
    named["without"] = objects[panel.poor]
    layers = [
        Layer(name, rows[box_areas(clip_boxes(rows, size)) > 0], color)
        for (name, rows), color in zip(named.items(), (IGNORED, OBJECT, MISSED), strict=True)
    ]
    factor = max(1, WIDE // max(size))
    picture = paint(image, layers, enlarge=factor, legend=False)
    draw = ImageDraw.Draw(picture)
    points = (panel.centers - corner) * factor
    ends = (objects[:, :2] + objects[:, 2:])[panel.owners] / 2 * factor
    colors = [OF_CLASSES[level % len(OF_CLASSES)] for level in panel.levels.tolist()]
    for line, color in zip(torch.cat([points, ends], dim=1).tolist(), colors, strict=True):
        draw.line(line, fill=color)
    _draw_dots(draw, points, panel.levels)
    inside = ((points >= 0) & (points < torch.tensor(picture.size))).all(dim=1)
    counts = torch.bincount(panel.levels[inside], minlength=len(panel.strides)).tolist()
    levels = [
        Layer(f"stride {stride}:", torch.zeros(count, 4), OF_CLASSES[i % len(OF_CLASSES)])
        for i, (stride, count) in enumerate(zip(panel.strides, counts, strict=True))
    ]
    return with_legend(picture, [*layers, *levels])


def _draw_dots(
    draw: ImageDraw.ImageDraw, points: Float[Tensor, "m 2"], levels: Int64[Tensor, "m"]
) -> None:
    """A dot for every level at every place, side by side, and how many priors they stand for."""
    font = ImageFont.load_default(10)
    spots = torch.cat([points.round(), levels[:, None]], dim=1)
    spots, counts = torch.unique(spots, dim=0, return_counts=True)  # ordered by x, y, level
    rows = zip(spots.tolist(), counts.tolist(), strict=True)
    for (x, y), here in groupby(rows, key=lambda row: row[0][:2]):
        total, right = 0, x
        for (_, _, level), count in here:
            frame = [right - DOT, y - DOT, right + DOT, y + DOT]
            draw.rectangle(frame, OF_CLASSES[int(level) % len(OF_CLASSES)], outline=(0, 0, 0))
            total, right = total + count, right + 2 * DOT + 1
        if total > 1:
            place = (right, y)
            draw.text(place, str(total), _INK, font, "lm", stroke_width=1, stroke_fill=_BACKDROP)
