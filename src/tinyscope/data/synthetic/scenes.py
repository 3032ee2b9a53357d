"""Grounds that the synthetic objects lie on: water, fields, roads and bare land from above."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinyscope.types import Size

Ground = NDArray[np.float32]
"""(h, w, 3) RGB, 0..255, not rounded."""

KINDS = ("water", "fields", "roads", "bare")


def ground(kind: str, size: Size, rng: np.random.Generator) -> Ground:
    """A textured ground with a gradient of light; `kind` is one of `KINDS`."""
    makers = {"water": _water, "fields": _fields, "roads": _roads, "bare": _bare}
    image = makers[kind](size, rng)
    y, x = _grid(size)
    slope = rng.uniform(-0.12, 0.12, 2)
    light = 1 + slope[0] * (x / size[1] - 0.5) + slope[1] * (y / size[0] - 0.5)
    return np.asarray(image * light[..., None], dtype=np.float32)


def noise(size: Size, cells: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise (h, w) of about unit deviation; coarse `cells` (pixels) weigh most."""
    total = np.zeros(size, dtype=np.float32)
    weights = np.sqrt(np.asarray(cells) / sum(cells))
    for cell, weight in zip(cells, weights, strict=True):
        height, width = size[0] // cell + 3, size[1] // cell + 3
        values = Image.fromarray(rng.standard_normal((height, width), dtype=np.float32))
        corner = rng.uniform(0, 1, 2)
        box = (*corner, corner[0] + size[1] / cell, corner[1] + size[0] / cell)
        smooth = values.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=tuple(box))
        total += np.float32(weight * 1.4) * np.asarray(smooth)
    return total


def _grid(size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return y, x


def _waves(
    size: Size, direction: float, length: float, bend: NDArray[np.float32] | float = 0.0
) -> NDArray[np.float32]:
    y, x = _grid(size)
    turn = np.float32(2 * np.pi / length)
    along = x * np.float32(np.cos(direction)) + y * np.float32(np.sin(direction))
    return np.asarray(np.sin(along * turn + bend), dtype=np.float32)


def _water(size: Size, rng: np.random.Generator) -> Ground:
    color = np.array([(38, 68, 92), (30, 78, 84), (62, 84, 88), (24, 44, 66)])[rng.integers(4)]
    bend = 2.5 * noise(size, (40,), rng)
    wind = rng.uniform(0, np.pi)
    value = 7 * noise(size, (64, 16, 5), rng)
    for _ in range(4):
        length, strength = rng.uniform(6, 22), rng.uniform(2, 6)
        value += strength * _waves(size, wind + rng.normal(0, 0.25), length, bend)
    foam = np.clip(noise(size, (24, 7, 3), rng) - 1.7, 0, 0.6) * rng.uniform(0, 90)
    return np.asarray(color + (value + foam)[..., None] * (0.9, 1, 1), dtype=np.float32)


def _fields(size: Size, rng: np.random.Generator) -> Ground:
    count = int(rng.integers(5, 12))
    y, x = _grid(size)
    bend = noise(size, (32, 12), rng)
    seeds = rng.uniform(0, 1, (count, 2)) * size
    turn = rng.uniform(0.5, 2.0, count)[:, None, None]  # makes cells of unequal width
    distance = turn * np.abs(y - seeds[:, 0, None, None]) + np.abs(x - seeds[:, 1, None, None])
    owner = np.argmin(distance + 3 * bend, axis=0)
    greens = np.array([(86, 112, 62), (112, 126, 74), (136, 124, 84), (74, 94, 60), (150, 142, 98)])
    colors = greens[rng.integers(len(greens), size=count)] + rng.normal(0, 8, (count, 3))
    image = colors[owner].astype(np.float32)
    for field in range(count):
        rows = _waves(size, rng.uniform(0, np.pi), rng.uniform(4, 12), 0.6 * bend)
        image += (rng.uniform(0, 9) * rows * (owner == field))[..., None].astype(np.float32)
    return np.asarray(image + 7 * noise(size, (24, 8, 3), rng)[..., None], dtype=np.float32)


def _roads(size: Size, rng: np.random.Generator) -> Ground:
    image = _bare(size, rng) if rng.random() < 0.5 else _fields(size, rng)
    y, x = _grid(size)
    asphalt = rng.uniform(85, 125) + 4 * noise(size, (20, 4), rng)
    for _ in range(int(rng.integers(2, 5))):
        angle = rng.uniform(0, np.pi)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        middle = rng.uniform(0.1, 0.9, 2) * (size[1], size[0])
        across = (x - middle[0]) * sin - (y - middle[1]) * cos
        along = (x - middle[0]) * cos + (y - middle[1]) * sin
        half = rng.uniform(7, 16)
        road = np.clip(half - np.abs(across) + 0.5, 0, 1)[..., None]
        image = image * (1 - road) + asphalt[..., None] * road
        line = np.clip(1.1 - np.abs(across), 0, 1) * (along % 14 < 7)
        edge = np.clip(1 - np.abs(np.abs(across) - half + 2), 0, 1)
        image += (np.maximum(line, 0.6 * edge) * rng.uniform(30, 80))[..., None]
    return np.asarray(image, dtype=np.float32)


def _bare(size: Size, rng: np.random.Generator) -> Ground:
    color = np.array([(158, 142, 116), (128, 122, 112), (176, 170, 158), (112, 104, 88)])
    image = color[rng.integers(4)] + 13 * noise(size, (96, 32, 10, 4), rng)[..., None]
    bushes = np.clip(3 * (noise(size, (7,), rng) * noise(size, (64,), rng) - 1.5), 0, 1)
    green = np.array((62, 74, 48)) + 8 * noise(size, (3,), rng)[..., None]
    share = (bushes * rng.uniform(0, 1))[..., None]
    return np.asarray(image * (1 - share) + green * share, dtype=np.float32)
