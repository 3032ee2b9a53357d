"""One synthetic picture: a ground, objects, look-alikes, a crowd, then the lens and the sensor."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tinyscope.data.synthetic.canvas import Canvas
from tinyscope.data.synthetic.scenes import KINDS, Ground, ground
from tinyscope.types import Size


@dataclass(frozen=True)
class Picture:
    """Pixels (h, w, 3) and what is in them: boxes xyxy (n, 4), labels and ignore (n,)."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def picture(seed: int, split: str, number: int, size: Size) -> Picture:
    """The picture of that number; it depends on nothing but the arguments.

    Args:
        seed: Of the data set.
        split: Name of the split.
        number: Position in the split.
        size: Mean height and width; each picture has 0.75 to 1.25 times as much.
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), number])
    height, width = (int(n * rng.uniform(0.75, 1.25)) for n in size)
    kind = KINDS[int(rng.choice(len(KINDS), p=(0.32, 0.22, 0.26, 0.2)))]
    canvas = Canvas(ground(kind, (height, width), rng), rng, water=kind == "water")
    empty = rng.random() < 0.1
    if not empty:
        if kind != "water" and rng.random() < 0.25:
            canvas.add_crowd()
        if kind != "water" and rng.random() < 0.3:
            canvas.add_parking()
        count = int(np.exp(rng.uniform(np.log(6), np.log(48))))
        for _ in range(count):
            canvas.add_object()
    for _ in range(int(rng.integers(0, 7))):
        canvas.add_look_alike()
    return Picture(
        expose(canvas.image, rng),
        np.array(canvas.boxes, dtype=np.float64).reshape(-1, 4),
        np.array(canvas.labels, dtype=np.int64),
        np.array(canvas.ignore, dtype=np.bool_),
    )


def expose(image: Ground, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lens blur, then the sensor's noise; one picture in six has no color."""
    sharp = Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))
    blurred = sharp.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    values = np.asarray(blurred, dtype=np.float32)
    if rng.random() < 1 / 6:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    height, width = values.shape[:2]
    strength = np.float32(rng.uniform(2, 5))
    gray = rng.standard_normal((height, width, 1), dtype=np.float32)
    values = values + strength * gray
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
