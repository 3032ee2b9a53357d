"""Objects on their way through a generated video: what they look like, and where they are when.

Places are those of the middle of an exposure. Boxes come from outlines, so that they are exact
to a fraction of a pixel, as those of the generated pictures are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.synthetic import shapes
from tinyscope.data.synthetic.shapes import Array, Placed, Shape, placed
from tinyscope.types import Size

FREQUENT = (
    *("car", "person", "boat", "truck", "plane", "crate"),
    *("bird", "tank", "bus", "buoy", "drone", "balloon"),
)
"""The classes, the most frequent first."""
VIDEO_NAMES = tuple(sorted(FREQUENT))
"""The classes in the order of their labels, which says nothing of how frequent they are."""
SIDES = (3.0, 24.0)
"""Range of the sides of objects in pixels; they are log-uniform in it."""


@dataclass(frozen=True)
class Kind:
    """How a class is drawn: outline, range of its aspect, tint in RGB, how often it is lighter."""

    make: Callable[[float], Shape]
    low: float
    high: float
    tint: tuple[int, int, int]
    lighter: float


# Objects of 3 px have no shape to be told by, so that every class has its colors. Pairs of a
# frequent and a rare class are alike in shape: car and bus, plane and bird, crate and truck.
_KINDS = {
    "car": Kind(shapes.car, 1.8, 2.3, (-42, -4, 46), 0.5),
    "person": Kind(shapes.person, 1.5, 2.0, (56, -24, -32), 0.4),
    "boat": Kind(shapes.boat, 2.6, 3.6, (12, 4, -12), 0.95),
    "truck": Kind(shapes.bar, 2.2, 3.0, (-34, 42, -20), 0.5),
    "plane": Kind(shapes.plane, 0.2, 0.28, (-16, 2, 14), 0.95),
    "crate": Kind(shapes.crate, 0.0, 1.0, (48, -44, 40), 0.6),
    "bird": Kind(shapes.plane, 0.35, 0.5, (6, 0, -6), 0.05),
    "tank": Kind(shapes.tank, 0.45, 0.65, (30, 22, -56), 0.9),
    "bus": Kind(shapes.car, 3.0, 4.0, (48, 28, -64), 0.6),
    "buoy": Kind(shapes.disk, 0.0, 1.0, (66, 4, -62), 0.8),
    "drone": Kind(shapes.corner, 0.3, 0.5, (-52, 30, 34), 0.7),
    "balloon": Kind(shapes.person, 1.05, 1.2, (26, -44, 60), 0.8),
}


@dataclass(frozen=True)
class Mover:
    """One object in all frames (t,) of a video; places are in pixels of the frame."""

    label: int
    shape: Shape
    scale: float
    body: Array  # RGB
    detail: Array  # RGB
    centers: Array  # (t, 2)
    headings: Array  # (t,), radians
    steps: Array  # (t, 2), how far it comes until the next frame
    boxes: Array  # (t, 4), beyond the frame where the object is
    strength: Array  # (t,), how much of it is seen
    present: NDArray[np.bool_]  # (t,)

    def at(self, frame: int, share: float = 0.0) -> Placed:
        """Where it is that share of a step after the middle of the exposure."""
        x, y = self.centers[frame] + share * self.steps[frame]
        return Placed(self.shape, self.scale, float(self.headings[frame]), (float(x), float(y)))

    def clipped(self, size: Size) -> Array:
        """The boxes (t, 4) within the frame."""
        width, height = float(size[1]), float(size[0])
        return np.clip(self.boxes, 0.0, (width, height, width, height))


def mover(
    label: int, life: float, camera: Array, size: Size, rng: np.random.Generator, taken: Array
) -> Mover:
    """An object of a class, seen in whole in at least one frame.

    Args:
        label: Position in `VIDEO_NAMES`.
        life: Share of the frames in which there is such an object at all.
        camera: Where the view's corner stands, x y, in every frame and one more (t + 1, 2).
        size: Height and width of the frame.
        rng: Decides about everything else.
        taken: Boxes of other objects (m, t, 4), NaN where they are absent. Twenty ways are tried
            for one that crosses none of them.
    """
    for _ in range(20):
        one = _mover(label, life, camera, size, rng)
        apart = (one.boxes[:, :2] >= taken[..., 2:]) | (one.boxes[:, 2:] <= taken[..., :2])
        near = ~apart.any(axis=-1) & one.present & ~np.isnan(taken[..., 0])
        if not near.any():
            break
    return one


def painted(one: Mover, below: float, rng: np.random.Generator) -> Mover:
    """The object in colors that differ from the gray value of the ground below it."""
    kind = _KINDS[VIDEO_NAMES[one.label]]
    x1, y1, x2, y2 = one.boxes[0]
    side = float(np.sqrt((x2 - x1) * (y2 - y1)))
    up = (rng.random() < kind.lighter and below < 190) or below < 60
    # The lens takes much of the contrast of the smallest objects.
    contrast = rng.uniform(40, 80) + 8 * max(8 - side, 0)
    gray = float(np.clip(below + (contrast if up else -contrast), 12, 240))
    body = np.clip(gray + np.array(kind.tint) + rng.normal(0, 10, 3), 4, 252)
    return replace(one, body=body, detail=body * 0.3 if gray > 90 else body * 0.5 + 75)


def _mover(label: int, life: float, camera: Array, size: Size, rng: np.random.Generator) -> Mover:
    kind = _KINDS[VIDEO_NAMES[label]]
    frames = len(camera) - 1
    middle = int(rng.integers(frames))  # here it is seen in whole
    side = float(np.exp(rng.uniform(*np.log(SIDES))))
    since = np.arange(frames + 1) - middle
    headings: Array = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.03) * since.astype(np.float64)
    thing = placed(kind.make(rng.uniform(kind.low, kind.high)), side, float(headings[middle]))
    pace = side * _speed(rng) * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    way = np.concatenate([np.zeros((1, 2)), np.cumsum(pace[:-1], axis=0)]) - camera
    half = (thing.box[2:] - thing.box[:2]) / 2
    place = half + rng.uniform(0, 1, 2) * (np.array(size[::-1]) - 2 * half)
    # `placed` centers the box, not the shape: the center of a boat's hull lies beside it.
    ways = way - way[middle] + place + np.array(thing.center)
    exists = np.abs(since[:-1]) <= max(life * frames / 2, 0.5)
    one = Mover(
        label,
        thing.shape,
        thing.scale,
        np.zeros(3),
        np.zeros(3),
        centers=ways[:-1],
        headings=headings[:-1],
        steps=np.diff(ways, axis=0),
        boxes=np.zeros((frames, 4)),
        strength=_strength(frames, rng),
        present=exists,
    )
    boxes = np.stack([one.at(frame).box for frame in range(frames)])
    one = replace(one, boxes=boxes)
    return replace(one, present=exists & (_areas(one.clipped(size)) >= 0.5 * _areas(boxes)))


def _speed(rng: np.random.Generator) -> float:
    """Sides per frame. A third each is slow, medium and fast by the limits of ImageNet VID.

    Along its heading, an object that comes v sides further per frame overlaps itself within ten
    frames by 1 - 11 v on average; these limits are at 0.9 and 0.7.
    """
    kind = rng.integers(3)
    if kind == 2:
        return float(np.exp(rng.uniform(np.log(0.04), np.log(0.3))))
    return float(rng.uniform(*((0.0, 0.008), (0.01, 0.03))[kind]))


def _strength(frames: int, rng: np.random.Generator) -> Array:
    """Flicker: in three frames of ten an object is hardly seen."""
    faint = rng.random(frames) < 0.3
    return np.where(faint, rng.uniform(0.1, 0.4, frames), rng.uniform(0.6, 1.0, frames))


def _areas(boxes: Array) -> Array:
    sides: Array = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])
