"""One generated video: a camera over a ground, things that hide it, and what a sensor makes of it.

Every frame alone is hard: objects flicker, are smeared by their own motion and hidden for a
while, and every third frame is out of focus, dim and noisy. What one frame lacks, others show.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tinyscope.data.synthetic.canvas import Window
from tinyscope.data.synthetic.moving import Mover, mover, painted
from tinyscope.data.synthetic.scenes import KINDS, Ground, ground, noise
from tinyscope.data.synthetic.shapes import Array, Inside
from tinyscope.types import Size

SHUTTER = 0.8
"""Share of a frame's time in which the shutter is open."""
_HIDDEN = 0.6  # share of an object behind something from which on it is to be ignored


@dataclass(frozen=True)
class Frame:
    """Pixels (h, w, 3), and the objects in them: boxes xyxy (n, 4) and the rest (n,)."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    tracks: NDArray[np.int64]  # position of the object among those of the video
    hidden: NDArray[np.bool_]  # to be ignored, since too little of it is seen


@dataclass(frozen=True)
class Scene:
    """What does not move by itself, larger than the view."""

    ground: Ground
    cover: Ground
    share: NDArray[np.float32]  # (h, w, 1), how much of the ground and of objects is covered
    camera: Array  # (t + 1, 2), the view's corner x y in it


def film(
    seed: int,
    split: str,
    number: int,
    objects: Sequence[tuple[int, float]],
    frames: int,
    size: Size,
) -> Iterator[Frame]:
    """The frames of the video of that number, which depends on nothing but the arguments.

    Args:
        seed: Of the data set.
        split: Name of the split.
        number: Position in the split.
        objects: Label of each object, and in which share of the frames it exists.
        frames: How many.
        size: Height and width of a frame.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"video {split}".encode()), number])
    scene = _scene(frames, size, rng)
    movers = _movers(objects, scene, size, rng)
    rough = rng.uniform(3, 6)  # deviation of the noise, gray values
    sway = rng.uniform(0, 2 * np.pi)
    for frame in range(frames):
        corner = scene.camera[frame]
        image = seen(scene.ground, corner, size)
        share = seen(scene.share, corner, size)
        present = [i for i, one in enumerate(movers) if one.present[frame]]
        hidden = [_draw(image, share, movers[i], frame) for i in present]
        image = image * (1 - share) + seen(scene.cover, corner, size) * share
        light = 1 + 0.1 * np.sin(sway + frame / 5) + rng.normal(0, 0.06)
        boxes = [movers[i].clipped(size)[frame] for i in present]
        yield Frame(
            _expose(image * np.float32(light), rough, rng),
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array([movers[i].label for i in present], dtype=np.int64),
            np.array(present, dtype=np.int64),
            np.array(hidden, dtype=np.float64) > _HIDDEN,
        )


def seen(image: Ground, corner: Array, size: Size) -> NDArray[np.float32]:
    """The part of that size whose corner lies at x y, at fractions of a pixel."""
    x, y = (int(c) for c in np.floor(corner))
    fx, fy = (np.float32(c) for c in corner - np.floor(corner))
    part = image[y : y + size[0] + 1, x : x + size[1] + 1]
    rows = part[:-1] * (1 - fy) + part[1:] * fy
    return np.asarray(rows[:, :-1] * (1 - fx) + rows[:, 1:] * fx, dtype=np.float32)


def _scene(frames: int, size: Size, rng: np.random.Generator) -> Scene:
    camera = _camera(frames, rng)
    height, width = (
        int(np.ceil(n + r)) + 2 for n, r in zip(size, camera.max(0)[::-1], strict=True)
    )
    whole = (height, width)
    kind, other = (KINDS[int(rng.integers(len(KINDS)))] for _ in range(2))
    cover = np.asarray(0.6 * ground(other, whole, rng), dtype=np.float32)
    return Scene(ground(kind, whole, rng), cover, _share(whole, rng)[..., None], camera)


def _camera(frames: int, rng: np.random.Generator) -> Array:
    """Half of the cameras stand, and tremble a little; the others fly over the ground."""
    times = np.arange(frames + 1)[:, None]
    places = rng.normal(0, 0.03, (frames + 1, 2))
    if rng.random() < 0.5:
        direction = rng.uniform(0, 2 * np.pi)
        speed = np.exp(rng.uniform(np.log(0.1), np.log(1.2)))
        places = places + times * speed * np.array([np.cos(direction), np.sin(direction)])
        places = places + rng.uniform(0, 2, 2) * np.sin(times / 6 + rng.uniform(0, 6, 2))
    return np.asarray(places - places.min(axis=0))


def _share(size: Size, rng: np.random.Generator) -> NDArray[np.float32]:
    """Crowns of trees or bridges that objects pass below, in half of the videos."""
    kind = rng.random()
    if kind < 0.25:
        crowns = noise(size, (28, 10), rng) - np.float32(1.6)
        return np.asarray(np.clip(4 * crowns, 0, 1), dtype=np.float32)
    share = np.zeros(size, dtype=np.float32)
    if kind < 0.5:
        y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
        for _ in range(int(rng.integers(1, 4))):
            angle, middle = rng.uniform(0, np.pi), rng.uniform(0.1, 0.9, 2) * size[::-1]
            across = (x - middle[0]) * np.sin(angle) - (y - middle[1]) * np.cos(angle)
            bridge = np.clip(rng.uniform(2, 6) - np.abs(across) + 0.5, 0, 1)
            share = np.maximum(share, bridge.astype(np.float32))
    return share


def _movers(
    objects: Sequence[tuple[int, float]], scene: Scene, size: Size, rng: np.random.Generator
) -> list[Mover]:
    frames = len(scene.camera) - 1
    taken = np.full((len(objects), frames, 4), np.nan)
    movers = []
    for number, (label, life) in enumerate(objects):
        one = mover(label, life, scene.camera, size, rng, taken[:number])
        taken[number, one.present] = one.boxes[one.present]
        frame = int(np.flatnonzero(one.present)[0])
        x1, y1, x2, y2 = _window(one.clipped(size)[frame], size)
        below = seen(scene.ground, scene.camera[frame], size)[y1:y2, x1:x2].mean()
        movers.append(painted(one, float(below), rng))
    return movers


def _draw(image: NDArray[np.float32], share: NDArray[np.float32], one: Mover, frame: int) -> float:
    """Draws an object in place; the share of it that something will hide."""
    alpha, (x1, y1, x2, y2) = _smeared(image, one, frame, one.shape.body)
    _blend(image[y1:y2, x1:x2], one.body, alpha)
    if one.shape.detail is not None:
        detail, (u1, v1, u2, v2) = _smeared(image, one, frame, one.shape.detail)
        _blend(image[v1:v2, u1:u2], one.detail, detail)
    return float((alpha * share[y1:y2, x1:x2]).sum() / max(float(alpha.sum()), 1e-6))


def _blend(patch: NDArray[np.float32], color: Array, alpha: NDArray[np.float32]) -> None:
    patch += (color.astype(np.float32) - patch) * alpha


def _smeared(
    image: NDArray[np.float32], one: Mover, frame: int, part: Inside
) -> tuple[NDArray[np.float32], Window]:
    """How much of each pixel (h, w, 1) of a window a part covers while the shutter is open."""
    way = SHUTTER * float(np.abs(one.steps[frame]).max())
    count = min(1 + int(way / 0.5), 12)
    shares = SHUTTER * ((np.arange(count) + 0.5) / count - 0.5)
    places = [one.at(frame, float(share)) for share in shares]
    boxes = np.stack([place.box for place in (places[0], places[-1])])
    extent = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    height, width = image.shape[:2]
    window = _window(extent, (height, width))
    samples = 6 if one.scale < 8 else 3
    covered = np.mean([place.coverage(part, window, samples) for place in places], axis=0)
    return np.asarray(one.strength[frame] * covered[..., None], dtype=np.float32), window


def _window(box: Array, size: Size) -> Window:
    """Whole pixels x1 y1 x2 y2 that a box touches within the frame."""
    x1, y1 = np.clip(np.floor(box[:2]).astype(int), 0, size[::-1])
    x2, y2 = np.clip(np.ceil(box[2:]).astype(int), 0, size[::-1])
    return int(x1), int(y1), int(x2), int(y2)


def _expose(
    image: NDArray[np.float32], rough: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Lens blur, then the sensor's noise, which is gray for the most part."""
    bad = rng.random() < 0.35
    radius = rng.uniform(1.2, 2.0) if bad else rng.uniform(0.4, 0.7)
    strength = rough * (rng.uniform(1.5, 2.5) if bad else 1.0)
    dim = rng.uniform(0.6, 0.8) if bad else 1.0
    sharp = Image.fromarray(np.clip(np.rint(image * np.float32(dim)), 0, 255).astype(np.uint8))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
    gray = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
    color = rng.standard_normal(image.shape, dtype=np.float32)
    values = blurred + np.float32(strength) * gray + np.float32(0.4 * strength) * color
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
