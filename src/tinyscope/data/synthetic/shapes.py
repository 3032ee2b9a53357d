"""Outlines of the synthetic objects and of what only looks like them, painted by coverage.

A shape lives in its own frame: u along its heading, v across, longest half about 1. Boxes come
from the outline, not from the pixels, so that they are exact to a fraction of a pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Inside = Callable[[Array, Array], NDArray[np.bool_]]
"""Which points (u, v) belong to a part."""


@dataclass(frozen=True)
class Shape:
    """A body, a detail painted over it, and points whose hull is the hull of the body."""

    outline: Array  # (k, 2) u v
    body: Inside
    detail: Inside | None = None


@dataclass(frozen=True)
class Placed:
    """A shape in an image: `scale` pixels per unit, heading in radians, center (x, y)."""

    shape: Shape
    scale: float
    heading: float
    center: tuple[float, float] = (0.0, 0.0)

    @property
    def box(self) -> Array:
        """Exact extent x1 y1 x2 y2 of the body."""
        points = self.shape.outline * self.scale @ _turn(self.heading).T + self.center
        return np.concatenate([points.min(axis=0), points.max(axis=0)])

    def coverage(
        self, part: Inside, window: tuple[int, int, int, int], samples: int
    ) -> NDArray[np.float64]:
        """The share (h, w) of every pixel of a window x1 y1 x2 y2 that a part covers.

        Args:
            part: Of this shape.
            window: Whole pixels.
            samples: Points per pixel and axis.
        """
        x1, y1, x2, y2 = window
        x = (np.arange((x2 - x1) * samples) + 0.5) / samples + x1 - self.center[0]
        y = (np.arange((y2 - y1) * samples) + 0.5) / samples + y1 - self.center[1]
        cos, sin = np.cos(self.heading) / self.scale, np.sin(self.heading) / self.scale
        covered = part(x * cos + y[:, None] * sin, y[:, None] * cos - x * sin)
        blocks = covered.reshape(y2 - y1, samples, x2 - x1, samples)
        return np.asarray(blocks.mean(axis=(1, 3)))


def placed(shape: Shape, side: float, heading: float) -> Placed:
    """A shape turned to `heading` whose box has the area `side` squared, centered on its box."""
    x1, y1, x2, y2 = Placed(shape, 1.0, heading).box
    scale = side / float(np.sqrt((x2 - x1) * (y2 - y1)))
    return Placed(shape, scale, heading, (-(x1 + x2) / 2 * scale, -(y1 + y2) / 2 * scale))


def boat(aspect: float) -> Shape:
    """A pointed hull with a cabin."""

    def half_width(u: Array) -> Array:
        return np.where(u < 0, 1 - 0.25 * u**2, 1 - u**2) / aspect

    u = np.linspace(-1, 1, 65)
    return Shape(
        np.concatenate([np.stack([u, s * half_width(u)], axis=1) for s in (1, -1)]),
        lambda u, v: (np.abs(u) <= 1) & (np.abs(v) <= half_width(u)),
        lambda u, v: (np.abs(u + 0.35) < 0.35) & (np.abs(v) < 0.5 / aspect),
    )


def car(aspect: float) -> Shape:
    """A rounded rectangle with a windshield and a rear window."""
    half, radius = 1 / aspect, 0.4 / aspect

    def body(u: Array, v: Array) -> NDArray[np.bool_]:
        du = np.maximum(np.abs(u) - (1 - radius), 0)
        dv = np.maximum(np.abs(v) - (half - radius), 0)
        return np.asarray(du**2 + dv**2 <= radius**2)

    def windows(u: Array, v: Array) -> NDArray[np.bool_]:
        front, rear = np.abs(u - 0.25) < 0.16, np.abs(u + 0.68) < 0.1
        return (front | rear) & (np.abs(v) < 0.8 * half)

    angle = np.linspace(0, np.pi / 2, 17)
    corner = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius
    corner += (1 - radius, half - radius)
    return Shape(_mirrored(corner), body, windows)


def person(aspect: float) -> Shape:
    """Shoulders and a head, from above."""
    return Shape(
        _circle() * (1 / aspect, 1),
        lambda u, v: (u * aspect) ** 2 + v**2 <= 1,
        lambda u, v: u**2 + v**2 < 0.42**2,
    )


def tank(hole: float) -> Shape:
    """A ring through which the ground is seen."""
    return Shape(_circle(), lambda u, v: (hole**2 <= u**2 + v**2) & (u**2 + v**2 <= 1))


def plane(width: float) -> Shape:
    """A fuselage, wings and a tail."""
    return Shape(
        _both_sides(np.array([(1, width), (0.35, 0.95), (-0.05, 0.95), (-1, 0.45)])),
        lambda u, v: (
            _bar(u, v, -1.0, 1.0, width)
            | _bar(u, v, -0.05, 0.35, 0.95)
            | _bar(u, v, -1.0, -0.75, 0.45)
        ),
    )


def wake(spread: float, length: float) -> Shape:
    """Two lines of foam that drift apart behind a boat."""

    def foam(u: Array, v: Array) -> NDArray[np.bool_]:
        behind = -1 - u
        on_arm = np.abs(np.abs(v) - 0.15 - spread * behind) < 0.09
        return (behind > 0) & (behind < length) & on_arm

    end = 0.25 + spread * length
    return Shape(_both_sides(np.array([(-1, end), (-1 - length, end)])), foam)


def bar(aspect: float) -> Shape:
    """Too long for a car, without windows: no object."""
    return _polygon_bar(1 / aspect)


def crate(aspect: float) -> Shape:
    """Too short for a car, without windows: no object."""
    return _polygon_bar(1 / (1 + 0.1 * aspect))


def disk(_: float) -> Shape:
    """A tank without a hole: no object."""
    return Shape(_circle(), lambda u, v: u**2 + v**2 <= 1)


def corner(width: float) -> Shape:
    """Two bars that meet at their ends, where those of a plane cross: no object."""
    return Shape(
        np.array([(-1, -1), (1, -1), (1, width - 1), (width - 1, 1), (-1, 1)]),
        lambda u, v: (np.maximum(np.abs(u), np.abs(v)) <= 1) & (np.minimum(u, v) <= width - 1),
    )


def _both_sides(points: Array) -> Array:
    return np.concatenate([points, points * (1, -1)])


def _turn(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _circle() -> Array:
    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _mirrored(points: Array) -> Array:
    return np.concatenate([points * (a, b) for a in (1, -1) for b in (1, -1)])


def _bar(u: Array, v: Array, start: float, end: float, half: float) -> NDArray[np.bool_]:
    return (start <= u) & (u <= end) & (np.abs(v) <= half)


def _polygon_bar(half: float) -> Shape:
    return Shape(_mirrored(np.array([(1.0, half)])), lambda u, v: _bar(u, v, -1.0, 1.0, half))
