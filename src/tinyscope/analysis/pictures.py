"""Boxes on images, so that objects of a few pixels can still be seen.

Lines are drawn around a box, never on it, one pixel wide for tiny objects; images of these are
enlarged without smoothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tinyscope.analysis.compare import compare
from tinyscope.errors import DataError
from tinyscope.formats.atomic import replaced
from tinyscope.types import Detections, Target

Color = tuple[int, int, int]

FOUND: Color = (0, 230, 0)
MISSED: Color = (255, 0, 0)
FALSE: Color = (40, 120, 255)
IGNORED: Color = (160, 160, 160)
OF_CLASSES: tuple[Color, ...] = (
    (255, 200, 0),
    (0, 220, 255),
    (255, 0, 200),
    (120, 255, 0),
    (255, 110, 0),
    (170, 120, 255),
    (0, 255, 170),
    (255, 160, 190),
)
"""One after the other, from the first again where there are more classes."""

LONGEST = 2400
"""Pixels that an enlarged picture's longer side may have."""
VISIBLE = 16
"""Pixels that the median side of the objects is enlarged to."""
PER_LINE = 24
"""Pixels of an object's side for every pixel of its line's width; tiny objects get 1."""
_MARGIN = 4


@dataclass(frozen=True)
class Layer:
    """Boxes of one color, what they are called in the legend, and perhaps a text for each."""

    name: str
    boxes: Float[Tensor, "n 4"]
    color: Color
    texts: tuple[str, ...] = ()


def detection_layers(found: Detections, scores: bool = True) -> list[Layer]:
    """One layer for each class that was found."""
    layers = []
    for label in torch.unique(found.labels).tolist():
        rows = found[found.labels == label]
        name = found.names[label] if found.names else str(label)
        layers.append(
            Layer(
                name,
                rows.boxes,
                OF_CLASSES[label % len(OF_CLASSES)],
                tuple(f"{score:.2f}" for score in rows.scores.tolist()) if scores else (),
            )
        )
    return layers


def comparison_layers(found: Detections, target: Target, iou_threshold: float = 0.5) -> list[Layer]:
    """Found, missed, false and ignored, whether there are any or not."""
    outcomes = compare(found, target, iou_threshold)
    false = found[outcomes.false]
    return [
        Layer("ignored", target.boxes[target.ignore], IGNORED),
        Layer("found", found.boxes[outcomes.found], FOUND),
        Layer("missed", target.boxes[outcomes.missed], MISSED),
        Layer("false", false.boxes, FALSE, tuple(f"{s:.2f}" for s in false.scores.tolist())),
    ]


def paint(
    image: UInt8[Tensor, "3 h w"],
    layers: Sequence[Layer],
    *,
    enlarge: int | None = None,
    line: int = 1,
    legend: bool = True,
) -> Image.Image:
    """The image with boxes on it, and below it what their colors mean.

    Args:
        image: Pixels.
        layers: Drawn in order; later ones lie on top.
        enlarge: Whole number that the image is enlarged by; by default so much that objects of
            median size become visible.
        line: Least width of lines, pixels of the picture.
        legend: Whether a line below the image names the layers and counts their boxes.

    Returns:
        A picture; texts are left out where they would cover a box or another text.
    """
    boxes = torch.cat([layer.boxes for layer in layers]) if layers else torch.zeros(0, 4)
    factor = enlargement(boxes, max(image.shape[-2:])) if enlarge is None else enlarge
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    if factor > 1:
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    line = max(line, round(_median_side(boxes) * factor / PER_LINE))
    seen = [_inside(layer, image.shape[-1], image.shape[-2]) for layer in layers]
    frames = [_frames(layer.boxes * factor, picture, line) for layer in seen]
    for layer, rows in zip(seen, frames, strict=True):
        for frame in rows.tolist():
            draw.rectangle(frame, outline=layer.color, width=line)
    _write_texts(draw, seen, frames, picture)
    return with_legend(picture, layers) if legend and layers else picture


def enlargement(boxes: Float[Tensor, "n 4"], longest: int) -> int:
    """Whole number that makes boxes of median size `VISIBLE`, and no picture too large."""
    if not len(boxes):
        return 1
    wanted = VISIBLE / max(_median_side(boxes), 1.0)
    return max(1, min(round(wanted), LONGEST // longest))


def _inside(layer: Layer, width: int, height: int) -> Layer:
    """The boxes that meet the image: lines of others would run along its border."""
    x1, y1, x2, y2 = layer.boxes.unbind(dim=1)
    seen = (x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height)
    texts = tuple(t for t, kept in zip(layer.texts, seen.tolist(), strict=False) if kept)
    return replace(layer, boxes=layer.boxes[seen], texts=texts)


def _median_side(boxes: Tensor) -> float:
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).sqrt()
    return float(sides.median()) if len(sides) else 0.0


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a PNG or, by the name, a JPEG of full color resolution.

    Raises:
        DataError: The file cannot be written.
    """
    kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    options = {"quality": 92, "subsampling": 0} if kind == "JPEG" else {"compress_level": 4}
    try:
        with replaced(path) as part:
            picture.save(part, kind, **options)
    except OSError as error:
        raise DataError(
            f"{path}: the picture cannot be written ({error.strerror or error}); choose another "
            "place or make room"
        ) from error


def _frames(boxes: Tensor, picture: Image.Image, line: int) -> Float64[ndarray, "n 4"]:
    """Outer pixels of lines just outside of the boxes, at the border the last ones inside."""
    values = boxes.double().numpy()
    low, high = np.floor(values[:, :2]) - line, np.ceil(values[:, 2:]) + line - 1
    frames = np.concatenate([low, high], axis=1)
    limits = np.array([picture.width, picture.height] * 2, dtype=np.float64) - 1
    clipped: Float64[ndarray, "n 4"] = np.clip(frames, 0, limits)
    return clipped


def _write_texts(
    draw: ImageDraw.ImageDraw,
    layers: Sequence[Layer],
    frames: Sequence[Float64[ndarray, "_ 4"]],
    picture: Image.Image,
) -> None:
    taken = np.concatenate([*frames, np.zeros((0, 4))])
    font = ImageFont.load_default(10)
    for layer, rows in zip(layers, frames, strict=True):
        if not layer.texts:
            continue
        for text, (x1, y1, x2, y2) in zip(layer.texts, rows.tolist(), strict=True):
            left, top, right, bottom = font.getbbox(text)
            width, height = right - left + 1, bottom - top + 1
            for x, y in ((x1, y1 - height - 1), (x1, y2 + 2), (x2 + 2, y1), (x1 - width - 1, y1)):
                place = np.array([x, y, x + width, y + height])
                if not _free(place, taken, picture):
                    continue
                draw.text((x - left, y - top), text, fill=layer.color, font=font)
                taken = np.concatenate([taken, place[None]])
                break


def _free(place: Float64[ndarray, "4"], taken: Float64[ndarray, "n 4"], at: Image.Image) -> bool:
    if min(place[:2]) < 0 or place[2] > at.width or place[3] > at.height:
        return False
    apart = (taken[:, :2] > place[2:]) | (taken[:, 2:] < place[:2])
    return bool(apart.any(axis=1).all())


def with_legend(
    picture: Image.Image, layers: Sequence[Layer], *, steady: bool = False
) -> Image.Image:
    """The picture above lines that say what the colors mean; as many as its width needs.

    With `steady` every count has room for four digits, so that the legends of a video's frames
    stand still and are of one height.
    """
    font = ImageFont.load_default(12)
    entries = [(f"{layer.name} {len(layer.boxes)}", layer.color) for layer in layers]
    room = [f"{layer.name} 8888" for layer in layers] if steady else [text for text, _ in entries]
    square, line = 10, 18
    places: list[tuple[int, int]] = []
    x = y = 0
    for text in room:
        width = square + 3 * _MARGIN + round(font.getlength(text))
        if x and x + width > picture.width:
            x, y = 0, y + line
        places.append((x, y))
        x += width
    result = Image.new("RGB", (picture.width, picture.height + y + line), (24, 24, 24))
    result.paste(picture, (0, 0))
    draw = ImageDraw.Draw(result)
    for (text, color), (x, y) in zip(entries, places, strict=True):
        top = picture.height + y + _MARGIN
        draw.rectangle([x + _MARGIN, top, x + _MARGIN + square, top + square], fill=color)
        place = (x + 2 * _MARGIN + square, top + square / 2)
        draw.text(place, text, fill=(240, 240, 240), font=font, anchor="lm")
    return result
