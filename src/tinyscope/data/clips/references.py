"""Which other frames a key frame is shown with in training.

Frames are counted as they follow each other in a data set: where only every fifth is listed, a
radius of 9 spans 45 frames of the video.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class References(Protocol):
    """Draws the references of a key frame."""

    def __call__(self, frame: int, length: int, random: np.random.Generator) -> tuple[int, ...]:
        """Frames in ascending order, at least one; the key itself where there is no other.

        Args:
            frame: The key's place, from 0.
            length: Of the video, frames.
            random: What is drawn from.
        """
        ...


@dataclass(frozen=True)
class BilateralReferences:
    """As many frames from before the key as from after it.

    At either end of a video one side is empty and is not made up for by the other.

    Args:
        radius: Farthest frame to either side.
        count: References in all, an even number; half of them from each side, all different.
        skip_key: Leave the key out; else it stands on both sides, and may be drawn from each.
        copies: Of the key, where there is no other frame: stills and videos of one frame. How many
            changes nothing but the work to be done, since equal maps average to themselves; the
            published code takes 2.

    Source: Zhu et al. 2017, arXiv:1703.10025; sides and counts as in mmtracking.
    """

    radius: int = 9
    count: int = 2
    skip_key: bool = True
    copies: int = 1

    def __post_init__(self) -> None:
        _check(self.radius, self.count, self.copies)
        if self.count % 2:
            raise ValueError(
                f"count must be even, half of it for each side of the key, got {self.count}"
            )

    def sides(self, frame: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is drawn from: frames before the key, and frames after it."""
        key = int(self.skip_key)
        before = np.arange(max(0, frame - self.radius), frame + 1 - key)
        after = np.arange(frame + key, min(frame + self.radius, length - 1) + 1)
        return before, after

    def __call__(self, frame: int, length: int, random: np.random.Generator) -> tuple[int, ...]:
        sides = (_drawn(side, self.count // 2, random) for side in self.sides(frame, length))
        return tuple(sorted(chain(*sides))) or (frame,) * self.copies


@dataclass(frozen=True)
class UniformReferences:
    """Frames from around the key, all as likely.

    Args:
        radius: Farthest frame to either side.
        count: References, all different; fewer where there are fewer frames.
        skip_key: Leave the key out.
        copies: Of the key, where there is no other frame; see `BilateralReferences`.
    """

    radius: int = 9
    count: int = 2
    skip_key: bool = True
    copies: int = 1

    def __post_init__(self) -> None:
        _check(self.radius, self.count, self.copies)

    def candidates(self, frame: int, length: int) -> NDArray[np.int64]:
        """What is drawn from."""
        near = np.arange(max(0, frame - self.radius), min(frame + self.radius, length - 1) + 1)
        return near[near != frame] if self.skip_key else near

    def __call__(self, frame: int, length: int, random: np.random.Generator) -> tuple[int, ...]:
        drawn = _drawn(self.candidates(frame, length), self.count, random)
        return tuple(sorted(drawn)) or (frame,) * self.copies


def _drawn(frames: NDArray[np.int64], count: int, random: np.random.Generator) -> list[int]:
    chosen: list[int] = random.choice(frames, min(count, len(frames)), replace=False).tolist()
    return chosen


def _check(radius: int, count: int, copies: int) -> None:
    for name, value in (("radius", radius), ("count", count), ("copies", copies)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
