"""Enlarged views of single objects: found, missed and false ones side by side."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from tinyscope.analysis.charts import FALSE, FOUND, MISSED
from tinyscope.analysis.outcomes import Outcomes
from tinyscope.data.images import read_image
from tinyscope.formats.tables import Annotations, DetectionTable

VIEW, ENLARGED = 48, 4
"""Side of what is shown around an object, pixels, at least; and how many times it is enlarged."""


@dataclass(frozen=True)
class View:
    """One object in its surroundings: a PNG as a data address, and a line about it."""

    picture: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Examples of each outcome, spread over all sizes."""

    found: tuple[View, ...]
    missed: tuple[View, ...]
    false: tuple[View, ...]


def gallery(
    truth: Annotations, detections: DetectionTable, outcomes: Outcomes, each: int = 12
) -> Gallery:
    """Views of at most `each` examples per outcome.

    Objects are picked evenly from the smallest to the largest, false detections from the highest
    score down.
    """
    objects = np.flatnonzero(outcomes.counted)
    image_of, sides = truth.images, truth.sides
    found = objects[outcomes.found[objects]]
    missed = objects[~outcomes.found[objects]]
    false = np.flatnonzero(outcomes.false)
    false = false[np.argsort(-detections.scores[false], kind="stable")][:each]
    painter = _Painter(truth, detections, outcomes)

    def of_objects(rows: np.ndarray) -> Iterator[View]:
        for row in _spread(rows[np.argsort(sides[rows], kind="stable")], each):
            caption = f"{truth.names[truth.labels[row]]}, {sides[row]:.1f} px"
            yield View(painter(int(image_of[row]), truth.boxes[row]), caption)

    def of_detections(rows: np.ndarray) -> Iterator[View]:
        for row in rows:
            name, score = truth.names[detections.labels[row]], detections.scores[row]
            view = painter(int(detections.images[row]), detections.boxes[row])
            yield View(view, f"{name}, score {score:.2f}")

    return Gallery(tuple(of_objects(found)), tuple(of_objects(missed)), tuple(of_detections(false)))


def _spread(rows: np.ndarray, count: int) -> Sequence[int]:
    if len(rows) <= count:
        return [int(r) for r in rows]
    places = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return [int(r) for r in rows[places]]


class _Painter:
    """Cuts out, enlarges and paints the surroundings of a box."""

    def __init__(self, truth: Annotations, detections: DetectionTable, outcomes: Outcomes) -> None:
        self.truth, self.detections, self.outcomes = truth, detections, outcomes
        self._file, self._image = -1, Image.new("RGB", (1, 1))

    def __call__(self, image: int, box: np.ndarray) -> str:
        """The view of `box` in the image at a position, as a data address."""
        whole = self._open(image)
        side = max(VIEW, int(np.ceil(2 * (box[2:] - box[:2]).max())))
        corner = np.floor((box[:2] + box[2:]) / 2 - side / 2).astype(int)
        limit = np.maximum(np.array(whole.size) - side, 0)
        corner = np.clip(corner, 0, limit)
        enlarged = max(1, ENLARGED * VIEW // side)
        view = whole.crop((*corner.tolist(), *(corner + side).tolist()))
        view = view.resize((side * enlarged, side * enlarged), Image.Resampling.NEAREST)
        self._paint(ImageDraw.Draw(view), image, corner, enlarged)
        file = io.BytesIO()
        view.save(file, "PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

    def _open(self, image: int) -> Image.Image:
        if image != self._file:
            pixels = read_image(self.truth.path(image)).permute(1, 2, 0).contiguous()
            self._file, self._image = image, Image.fromarray(pixels.numpy())
        return self._image

    def _paint(
        self, draw: ImageDraw.ImageDraw, image: int, corner: np.ndarray, enlarged: int
    ) -> None:
        rows = self.truth.rows(image)
        boxes, counted = self.truth.boxes[rows], self.outcomes.counted[rows]
        found = self.outcomes.found[rows]
        here = self.detections.images == image
        layers = (
            (boxes[~counted], "#999999"),
            (self.detections.boxes[here & self.outcomes.false], FALSE),
            (boxes[counted & ~found], MISSED),
            (boxes[counted & found], FOUND),
        )
        for some, color in layers:
            for x1, y1, x2, y2 in ((some - np.tile(corner, 2)) * enlarged).tolist():
                draw.rectangle((x1 - 1, y1 - 1, max(x2, x1), max(y2, y1)), outline=color)
