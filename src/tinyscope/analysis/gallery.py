"""Enlarged views of single objects: found, missed and false ones side by side."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray
from torch import Tensor

from tinyscope.analysis.outcomes import Outcomes
from tinyscope.analysis.pictures import FALSE, FOUND, IGNORED, MISSED, Layer, paint
from tinyscope.data.images import ImageCache
from tinyscope.data.pixels import pixels
from tinyscope.formats.tables import Annotations, DetectionTable

VIEW = 48
"""Pixels of an image that a view shows at least, along each axis."""
ENLARGED = 192
"""About how many pixels they become."""


@dataclass(frozen=True)
class View:
    """One object in its surroundings: a PNG as a data address, and a line about it."""

    picture: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Examples of each outcome."""

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
    painter = _Painter(truth, detections, outcomes)
    images, sides = truth.images, truth.sides

    def objects(rows: Int64[ndarray, "r"]) -> Iterator[View]:
        rows = rows[np.argsort(sides[rows], kind="stable")]
        for row in rows[np.unique(np.linspace(0, len(rows) - 1, each).round().astype(np.int64))]:
            caption = f"{truth.names[truth.labels[row]]}, {sides[row]:.1f} px"
            yield View(painter(int(images[row]), truth.boxes[row]), caption)

    def inventions(rows: Int64[ndarray, "r"]) -> Iterator[View]:
        for row in rows[np.argsort(-detections.scores[rows], kind="stable")][:each]:
            name, score = truth.names[detections.labels[row]], detections.scores[row]
            view = painter(int(detections.images[row]), detections.boxes[row])
            yield View(view, f"{name}, score {score:.2f}")

    found, missed = outcomes.counted & outcomes.found, outcomes.missed
    return Gallery(
        tuple(objects(np.flatnonzero(found))) if found.any() else (),
        tuple(objects(np.flatnonzero(missed))) if missed.any() else (),
        tuple(inventions(np.flatnonzero(outcomes.false))),
    )


class _Painter:
    """Cuts out, enlarges and paints the surroundings of a box; keeps the last image."""

    def __init__(self, truth: Annotations, detections: DetectionTable, outcomes: Outcomes) -> None:
        self.truth, self.detections, self.outcomes = truth, detections, outcomes
        self._position, self._read = -1, ImageCache()
        self._image = torch.zeros(3, 1, 1, dtype=torch.uint8)

    def __call__(self, image: int, box: Float64[ndarray, "4"]) -> str:
        """The view of `box` in the image at a position, as a data address."""
        if image != self._position:
            self._position, self._image = image, pixels(self.truth, image, self._read)
        height, width = self._image.shape[-2:]
        side = max(VIEW, int(np.ceil(2 * (box[2:] - box[:2]).max())))
        wanted = np.floor((box[:2] + box[2:] - side) / 2).astype(int)
        x, y = (int(n) for n in np.clip(wanted, 0, np.maximum([width - side, height - side], 0)))
        layers = self._layers(image, np.array([x, y, x, y]))
        view = self._image[:, y : y + side, x : x + side]
        picture = paint(view, layers, enlarge=max(1, ENLARGED // side), legend=False)
        file = io.BytesIO()
        picture.save(file, "PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

    def _layers(self, image: int, origin: ndarray) -> list[Layer]:
        rows = self.truth.rows(image)
        boxes, result = self.truth.boxes[rows] - origin, self.outcomes
        here = (self.detections.images == image) & result.false
        return [
            Layer("ignored", _tensor(boxes[~result.counted[rows]]), IGNORED),
            Layer("false", _tensor(self.detections.boxes[here] - origin), FALSE),
            Layer("missed", _tensor(boxes[result.missed[rows]]), MISSED),
            Layer("found", _tensor(boxes[(result.counted & result.found)[rows]]), FOUND),
        ]


def _tensor(boxes: ndarray) -> Tensor:
    return torch.from_numpy(boxes.astype(np.float32))
