"""A detector without weights: every gray value of an image is one object. For tests."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinyscope.engine.detector import Detector
from tinyscope.settings import load_recipe
from tinyscope.types import Detections, Size

LEAST = 150
"""Values from here on are objects; darker ones and the colored padding are background."""


class Finder(nn.Module):
    """Finds the extent of every gray value above `LEAST`; odd values are of class 1."""

    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.shapes: list[tuple[int, ...]] = []
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        self.modes.append(self.training)
        return images

    def decode(
        self, outputs: Tensor, sizes: Sequence[Size], score_threshold: float | None = None
    ) -> list[Detections]:
        return [self._find(image[0, :h, :w]) for image, (h, w) in zip(outputs, sizes, strict=True)]

    def _find(self, image: Tensor) -> Detections:
        values = sorted((v for v in image.unique().tolist() if v >= LEAST), reverse=True)
        boxes = []
        for value in values:
            y, x = (image == value).nonzero(as_tuple=True)
            boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        return Detections(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor([v / 255 for v in values]),
            torch.tensor([int(v) % 2 for v in values], dtype=torch.int64),
        )


def finder(names: Sequence[str] = ("even", "odd"), **predict: object) -> Detector:
    """The detector with a recipe of the package, changed in how it looks through images."""
    recipe = load_recipe(
        "quick/small", ["predict.tile=null", *(f"predict.{k}={v}" for k, v in predict.items())]
    )
    return Detector(Finder(), recipe, names)


def picture(objects: Sequence[tuple[int, int, int, int, int]], size: Size = (90, 130)) -> Tensor:
    """An image with a rectangle for each x1 y1 x2 y2 value."""
    image = torch.full((3, *size), 20, dtype=torch.uint8)
    for x1, y1, x2, y2, value in objects:
        image[:, y1:y2, x1:x2] = value
    return image
