"""Frames of a video, as they come, to what a detector finds in each; memory is bounded.

What a frame says of itself is computed once and kept as long as a window in time asks for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from tinyscope.detectors.looks import Look
from tinyscope.detectors.seen import Seen
from tinyscope.engine.machine import autocast
from tinyscope.engine.predictor import Layout, Predictor
from tinyscope.errors import DataError
from tinyscope.settings import PredictSettings
from tinyscope.types import Detections, Size

_ENDLESS = 2**62
"""Length of a video whose end has not come."""


@dataclass(frozen=True)
class _Part:
    """Windows of one size in a frame, and what was seen in them at `size` before padding."""

    rows: NDArray[np.int64]
    size: Size
    seen: Seen


@dataclass(frozen=True)
class _Frame:
    layout: Layout
    parts: tuple[_Part, ...]


class VideoPredictor:
    """Finds objects in the frames of one video after the other, each in order.

    A detector of videos judges a frame when the frames after it that `predict.frames` asks for
    have come: a sliding window answers `radius * stride` frames later, one spread over the video
    at its end. A detector of images answers at once. Frames that are held: those of the window,
    with their maps, on the device; a spread window holds the pixels of the whole video.

    Args:
        model: A detector, which is put in eval mode.
        names: The classes.
        settings: How frames are looked through; tiles of a frame see tiles of others.

    Raises:
        SettingsError: As `Predictor`.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...], settings: PredictSettings) -> None:
        self.predictor = Predictor(model, names, settings)
        self.rule, self.video = self.predictor.frames, self.predictor.video
        self.forget()

    def forget(self) -> None:
        """Drops all frames; the next one begins a video."""
        self._held: dict[int, _Frame] = {}
        self._pixels: list[Tensor] = []  # of a video whose end must be known first
        self._pushed = self._judged = 0
        self._size: Size | None = None

    @property
    def delay(self) -> int | None:
        """Most frames that have to follow before a frame is answered for; None: all of them."""
        return 0 if self.video is None else self.rule.delay

    def push(self, frame: UInt8[Tensor, "3 h w"]) -> list[Detections]:
        """Takes the next frame; what is found in those that can be judged now, in order.

        Raises:
            DataError: The frame has another size than those before; `finish` ends their video.
        """
        if self.video is None:
            return [self.predictor(frame)]
        self._check(frame)
        if self.rule.delay is None:
            self._pixels.append(frame.clone())  # a camera may fill the same memory again
        else:
            self._held[self._pushed] = self._see(frame)
        self._pushed += 1
        return list(self._ready())

    def finish(self) -> list[Detections]:
        """Ends the video: what is found in the frames that still wait; then it is as new."""
        try:
            return list(self._rest())
        finally:
            self.forget()

    def run(self, frames: Iterable[Tensor]) -> Iterator[Detections]:
        """What is found in each frame of a video, in order and as soon as it is known."""
        self.forget()
        try:
            for frame in frames:
                yield from self.push(frame)
            yield from self._rest()
        finally:
            self.forget()

    def _check(self, frame: Tensor) -> None:
        size = (int(frame.shape[-2]), int(frame.shape[-1]))
        if self._size not in (None, size):
            assert self._size is not None
            raise DataError(
                f"frame {self._pushed} of the video is {size[1]} x {size[0]} pixels, those before "
                f"are {self._size[1]} x {self._size[0]}; frames of different sizes cannot be "
                "joined, so make them videos of their own"
            )
        self._size = size

    def _ready(self) -> Iterator[Detections]:
        """Of frames whose whole window has come."""
        while self.rule.delay is not None and self._judged < self._pushed:
            window = self.rule(self._judged, _ENDLESS)
            if max(window.frames) >= self._pushed:
                return
            yield self._next(_ENDLESS)

    def _rest(self) -> Iterator[Detections]:
        """Of all others, once the last frame has come."""
        if self._pixels:
            numbers = set(self.rule(0, self._pushed).frames)
            self._held = {number: self._see(self._pixels[number]) for number in sorted(numbers)}
        while self._judged < self._pushed:
            yield self._next(self._pushed)

    def _next(self, length: int) -> Detections:
        """Of the next frame, in a video of so many."""
        key = self._judged
        alone = key not in self._held  # of a video that was kept as pixels
        frame = self._see(self._pixels[key]) if alone else self._held[key]
        found = self._judge(frame, key, length)
        self._judged += 1
        if not self._pixels:
            kept = self.rule.kept(self._judged)
            self._held = {n: f for n, f in self._held.items() if n > key or n in kept}
        return found

    @torch.no_grad()
    def _see(self, frame: Tensor) -> _Frame:
        predictor, video = self.predictor, self.video
        assert video is not None
        image, layout = predictor.laid_out(frame)
        parts = []
        with autocast(predictor.precision, predictor.device):
            for rows, tiles in predictor.batches(image, layout.windows):
                images, size = predictor.shown(tiles, layout.window_size(rows))
                parts.append(_Part(rows, size, video.see(images, [size] * len(rows))))
        return _Frame(layout, tuple(parts))

    @torch.no_grad()
    def _judge(self, key: _Frame, number: int, length: int) -> Detections:
        predictor, video = self.predictor, self.video
        assert video is not None
        window = self.rule(number, length)
        others = [self._held[n] for n in window.frames]
        found: list[Detections] = []
        with autocast(predictor.precision, predictor.device):
            for i, part in enumerate(key.parts):
                seen = [frame.parts[i].seen for frame in others]
                outputs = video.judge(part.seen, seen, window.slot)
                sizes = [part.size] * len(part.rows)
                found += predictor.decoded(iter([Look(outputs, sizes)]), sizes)
        return predictor.joined(key.layout, [part.rows for part in key.parts], found)
