"""Puts synthetic objects on a ground and notes where they are."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tinyscope.data.synthetic import shapes
from tinyscope.data.synthetic.scenes import Ground
from tinyscope.data.synthetic.shapes import Array, Placed, Shape, placed

NAMES = ("boat", "car", "person", "tank", "plane")
SIDES = (3.0, 24.0)
"""Range of the sides of objects in pixels; they are log-uniform in it."""

Window = tuple[int, int, int, int]
"""Whole pixels x1 y1 x2 y2."""

_MAKERS: dict[str, tuple[Callable[[float], Shape], float, float]] = {
    "boat": (shapes.boat, 2.6, 3.6),
    "car": (shapes.car, 1.8, 2.3),
    "person": (shapes.person, 1.5, 2.0),
    "tank": (shapes.tank, 0.45, 0.65),
    "plane": (shapes.plane, 0.2, 0.28),
    "bar": (shapes.bar, 5.0, 9.0),
    "crate": (shapes.crate, 0.0, 1.0),
    "disk": (shapes.disk, 0.0, 1.0),
    "corner": (shapes.corner, 0.3, 0.5),
}
# How often lighter than the ground, tint in RGB, and spread of the tint. Objects of 3 px have no
# shape to be told by, so that every class has its colors, if not to itself.
_PAINTS: dict[str, tuple[float, tuple[int, int, int], float]] = {
    "boat": (0.85, (10, 4, -8), 8.0),
    "car": (0.5, (-42, -4, 46), 14.0),
    "person": (0.35, (52, -18, -34), 14.0),
    "tank": (0.95, (22, 16, -38), 8.0),
    "plane": (0.9, (-14, 2, 12), 8.0),
}
_LOOK_ALIKES = ("bar", "crate", "disk", "corner")
_ON_WATER = {"boat": 0.75, "person": 0.25}
_ON_LAND = {"car": 0.34, "person": 0.26, "tank": 0.2, "plane": 0.2}
_GAP = 2.0  # pixels between boxes


@dataclass
class Canvas:
    """A ground while things are put on it; `taken` are the boxes of all of them."""

    image: Ground
    rng: np.random.Generator
    water: bool
    boxes: list[Array] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)
    taken: list[Array] = field(default_factory=list)

    def add_object(self) -> None:
        chances = _ON_WATER if self.water else _ON_LAND
        name = str(self.rng.choice(list(chances), p=list(chances.values())))
        thing = self._make(name, _side(self.rng, *SIDES), self.rng.uniform(0, 2 * np.pi))
        if (there := self._somewhere(thing)) is not None:
            self._draw(name, there)
            self._note(name, there.box)

    def add(self, name: str, side: float) -> Array | None:
        """One thing of a kind, noted as an object if it is one; its box, if there was room."""
        thing = self._make(name, side, self.rng.uniform(0, 2 * np.pi))
        if (there := self._somewhere(thing)) is None:
            return None
        self._draw(name, there)
        if name in NAMES:
            self._note(name, there.box)
        else:
            self.taken.append(there.box)
        return there.box

    def blur(self, box: Array, radius: float) -> None:
        """Blurs what lies in a box, least at its border."""
        self._blur(self._window(box), radius)

    def add_look_alike(self) -> None:
        """Something that is no object. Below 8 px it could not be told from one."""
        name = str(self.rng.choice(_LOOK_ALIKES))
        thing = self._make(name, _side(self.rng, 8.0, 24.0), self.rng.uniform(0, 2 * np.pi))
        if (there := self._somewhere(thing)) is not None:
            self._draw(name, there)
            self.taken.append(there.box)

    def add_parking(self) -> None:
        """A row of cars side by side, close to each other."""
        heading, side = self.rng.uniform(0, 2 * np.pi), _side(self.rng, 6.0, 14.0)
        first = self._somewhere(self._make("car", side, heading))
        if first is None:
            return
        step = first.scale * self.rng.uniform(1.35, 1.7)
        step_x, step_y = -np.sin(heading) * step, np.cos(heading) * step
        row = []
        for i in range(int(self.rng.integers(3, 10))):
            x, y = first.center[0] + i * step_x, first.center[1] + i * step_y
            car = replace(first, center=(x, y))
            if self._fits(car.box[None], 0.0)[0] and self.rng.random() < 0.85:
                row.append(car)
        for car in row:
            self._draw("car", car)
            self._note("car", car.box)

    def add_crowd(self) -> None:
        """People too close and blurred to be told apart, in a region to be ignored."""
        width, height = self.rng.uniform(36, 80), self.rng.uniform(28, 60)
        box = self._free_spot(np.array([0, 0, width, height]))
        if box is None:
            return
        for _ in range(int(width * height / 60)):
            one = self._make("person", _side(self.rng, 4.0, 8.0), self.rng.uniform(0, 2 * np.pi))
            share = np.clip(self.rng.normal(0.5, 0.22, 2), 0, 1)
            low, high = box[:2] - one.box[:2], box[2:] - one.box[2:]
            self._draw("person", _moved(one, *(low + share * (high - low))))
        self._blur(self._window(box), self.rng.uniform(1.2, 1.8))
        self._note("person", box, ignore=True)

    def _blur(self, window: Window, radius: float) -> None:
        x1, y1, x2, y2 = window
        patch = self.image[y1:y2, x1:x2]
        sharp = Image.fromarray(np.clip(patch, 0, 255).astype(np.uint8))
        blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
        # From sharp at the border to blurred 6 px inside, so that no edge is seen.
        x = np.minimum(np.arange(x2 - x1), np.arange(x2 - x1)[::-1]) / 6
        y = np.minimum(np.arange(y2 - y1), np.arange(y2 - y1)[::-1]) / 6
        share = np.clip(np.minimum(x, y[:, None]), 0, 1)[..., None]
        self.image[y1:y2, x1:x2] = patch * (1 - share) + blurred * share

    def _make(self, name: str, side: float, heading: float) -> Placed:
        make, low, high = _MAKERS[name]
        return placed(make(self.rng.uniform(low, high)), side, heading)

    def _note(self, name: str, box: Array, ignore: bool = False) -> None:
        self.boxes.append(box)
        self.labels.append(NAMES.index(name))
        self.ignore.append(ignore)
        self.taken.append(box)

    def _somewhere(self, thing: Placed) -> Placed | None:
        before = thing.box
        after = self._free_spot(before)
        return None if after is None else _moved(thing, *(after[:2] - before[:2]))

    def _free_spot(self, box: Array, tries: int = 20) -> Array | None:
        """The box moved to where it lies in the image and on nothing; none if that is not found."""
        room = np.array(self.image.shape[1::-1]) - (box[2:] - box[:2])
        if (room < 0).any():
            return None
        corners = self.rng.uniform(0, 1, (tries, 2)) * room
        boxes = np.concatenate([corners, corners + box[2:] - box[:2]], axis=1)
        free = np.flatnonzero(self._fits(boxes, _GAP))
        return boxes[free[0]] if len(free) else None

    def _fits(self, boxes: Array, gap: float) -> NDArray[np.bool_]:
        height, width = self.image.shape[:2]
        within = np.all((boxes[:, :2] >= 0) & (boxes[:, 2:] <= (width, height)), axis=1)
        if not self.taken:
            return np.asarray(within)
        taken = np.stack(self.taken)
        apart = (boxes[:, None, :2] >= taken[:, 2:] + gap) | (
            boxes[:, None, 2:] <= taken[:, :2] - gap
        )
        return np.asarray(within & np.all(np.any(apart, axis=2), axis=1))

    def _draw(self, name: str, thing: Placed) -> None:
        below = self._mean_color(thing.box)
        side = float(np.sqrt(np.prod(thing.box[2:] - thing.box[:2])))
        body, detail = _colors(name, below, side, self.rng)
        if name == "person" and not self.water:
            long = replace(thing, scale=thing.scale * 0.9)
            self._blend(
                long, long.shape.body, below * 0.45, 0.7, thing.scale * np.array([0.9, 0.5])
            )
        if name == "boat" and self.water and self.rng.random() < 0.7:
            self._wake(thing)
        self._blend(thing, thing.shape.body, body)
        if thing.shape.detail is not None:
            self._blend(thing, thing.shape.detail, detail)

    def _wake(self, thing: Placed) -> None:
        """Foam behind a boat; it does not belong to the box."""
        wake = shapes.wake(self.rng.uniform(0.12, 0.25), self.rng.uniform(1.5, 4))
        foam = np.full(3, 205.0)
        self._blend(replace(thing, shape=wake), wake.body, foam, self.rng.uniform(0.25, 0.5))

    def _mean_color(self, box: Array) -> Array:
        x1, y1, x2, y2 = self._window(box + np.array([-3, -3, 3, 3]))
        return np.asarray(self.image[y1:y2, x1:x2].mean(axis=(0, 1)), dtype=np.float64)

    def _blend(
        self,
        thing: Placed,
        part: shapes.Inside,
        color: Array,
        opacity: float = 1.0,
        offset: Array | None = None,
    ) -> None:
        if offset is not None:
            thing = _moved(thing, *offset)
        x1, y1, x2, y2 = window = self._window(thing.box)
        if x2 <= x1 or y2 <= y1:
            return
        samples = 8 if thing.scale < 8 else 4
        alpha = (opacity * thing.coverage(part, window, samples))[..., None]
        patch = self.image[y1:y2, x1:x2]
        self.image[y1:y2, x1:x2] = patch * (1 - alpha) + color * alpha

    def _window(self, box: Array) -> Window:
        """Whole pixels that a box touches within the image."""
        height, width = self.image.shape[:2]
        x1, y1 = np.clip(np.floor(box[:2]).astype(int), 0, (width, height))
        x2, y2 = np.clip(np.ceil(box[2:]).astype(int), 0, (width, height))
        return int(x1), int(y1), int(x2), int(y2)


def _side(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _moved(thing: Placed, x: float, y: float) -> Placed:
    return replace(thing, center=(thing.center[0] + x, thing.center[1] + y))


def _colors(name: str, below: Array, side: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """RGB of body and detail; the body differs from what lies below by 60 gray values or more."""
    if name in _LOOK_ALIKES:
        name = str(rng.choice(NAMES))
    often_light, tint, spread = _PAINTS[name]
    level = float(below.mean())
    up = (rng.random() < often_light and level < 180) or level < 70
    # The lens takes much of the contrast of the smallest objects.
    contrast = rng.uniform(60, 130) + 8 * max(8 - side, 0)
    gray = np.clip(level + (contrast if up else -contrast), 10, 240)
    body = np.clip(gray + np.array(tint) + rng.normal(0, spread, 3), 4, 252)
    detail = body * 0.3 if gray > 90 else body * 0.5 + 75
    return body, detail
