"""Windows in time: which frames of a video are looked at together to judge one of them.

The rules are those of MMTracking's flow-guided detectors, each frame's window built from scratch;
filling a memory frame by frame gives the same ones.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import NonNegativeInt, PositiveInt

from tinyscope.errors import SettingsError


@dataclass(frozen=True)
class FrameWindow:
    """Frames of a video, by number from 0; the same ones may stand in it several times.

    The key frame takes the place `slot`, whatever frame stands there. None: it is added.
    """

    frames: tuple[int, ...]
    slot: int | None


@runtime_checkable
class FrameRule(Protocol):
    """Which frames the key frame `key` of a video of `length` frames is judged by."""

    @property
    def delay(self) -> int | None:
        """How many frames after the key frame must be known; None: the whole video."""

    def __call__(self, key: int, length: int) -> FrameWindow: ...

    def kept(self, key: int) -> range:
        """Frames before the key frame `key` that it or a later one may ask for."""


@dataclass(frozen=True)
class SlidingWindow:
    """So many frames before the key frame and after it; ends of the video are repeated.

    Args:
        radius: Frames on either side; 0 leaves the key frame alone.
        stride: From one of them to the next. The window moves on at every so manieth frame and
            stands still between, where key frames take the place of its middle.
    """

    radius: NonNegativeInt = 15
    stride: PositiveInt = 1

    @property
    def delay(self) -> int:
        return self.radius * self.stride

    def __call__(self, key: int, length: int) -> FrameWindow:
        middle, last = key // self.stride, length - 1
        places = range(middle - self.radius, middle + self.radius + 1)
        frames = tuple(min(max(place, 0) * self.stride, last) for place in places)
        return FrameWindow(frames, self.radius)

    def kept(self, key: int) -> range:
        return range(max(key // self.stride - self.radius, 0) * self.stride, key, self.stride)


@dataclass(frozen=True)
class SpreadWindow:
    """Frames spread evenly over the whole video, the same ones for every key frame.

    Nothing is found before the video has ended, and all of its frames are held until then.

    Args:
        count: Frames, beside the key frame; at least 2.

    Raises:
        SettingsError: `count` is 1.
    """

    count: PositiveInt = 30

    def __post_init__(self) -> None:
        if self.count < 2:
            raise SettingsError(f"count {self.count} must be at least 2, the first and the last")

    @property
    def delay(self) -> None:
        return None

    def __call__(self, key: int, length: int) -> FrameWindow:
        del key
        gaps = self.count - 1
        return FrameWindow(tuple(round(i * (length - 1) / gaps) for i in range(self.count)), None)

    def kept(self, key: int) -> range:
        return range(key)
