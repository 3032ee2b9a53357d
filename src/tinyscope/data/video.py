"""Frames of a video file, one after the other: upright, with the time at which each is shown.

Reads what FFmpeg reads, through PyAV, the extra `video`. Damage that FFmpeg notices is not passed
over: decoders hide lost parts by what was there before, and many files end early without a word.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from tinyscope.errors import DataError, SettingsError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SHORT = 0.5
"""Seconds that a video may end before the end that it states: headers round, and count sound."""
DEFAULT_RATE = 25.0
"""Frames per second where a file says neither a rate nor times."""


@dataclass(frozen=True)
class Frame:
    """Pixels, the number within the video from 0, and when it is shown, in seconds."""

    image: UInt8[Tensor, "3 h w"]
    number: int
    seconds: float


class VideoFile:
    """The frames of a video file, decoded when they are asked for; some are in memory at a time.

    Colors become RGB by the file's own matrix, a quarter turn that a phone noted is done, frames
    keep their own times (a rate may vary), and sound is left alone. Of several streams of pictures
    the first is read.

    Args:
        path: Of any format that FFmpeg reads.
        damaged: Gets a message about what cannot be decoded, which is then left out: lost frames
            are not shown, those that a decoder patched are. None makes it an error.

    Raises:
        DataError: The file is missing, or no video.
        SettingsError: PyAV is not installed.
    """

    def __init__(self, path: Path, damaged: list[str] | None = None) -> None:
        self.path, self.damaged = path, damaged
        with closing(_opened(path)) as container:
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
            seconds = _stated_end(container, stream) - _start(stream)
        self.count = stream.frames or round(max(0.0, seconds) * self.rate) or None
        """Frames as the file states it, None where it does not; it may be wrong."""

    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order in which they are shown.

        Raises:
            DataError: There is none, or the file is damaged, and nobody takes the message.
        """
        damage = _Damage(self.path)
        number, seconds = 0, 0.0
        with closing(_opened(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"  # frames in parallel too: several times as fast
            for frame in _decoded(container, stream, damage):
                if frame is None or frame.is_corrupt:
                    damage.note(number, "is damaged")
                    self._unless_taken(damage)
                if frame is None:
                    continue
                told = frame.time
                seconds = number / self.rate if told is None else float(told)
                yield Frame(_pixels(frame), number, seconds)
                number += 1
            end = _stated_end(container, stream)
        if not number:
            nothing = f"video {self.path}: not one frame can be decoded; check the file"
            if self.damaged is None:
                raise DataError(nothing)
            self.damaged.append(nothing)
            return
        if seconds + 1 / self.rate < end - SHORT:
            damage.note(number, f"is missing: {seconds:.1f} of {end:.1f} seconds are there")
            self._unless_taken(damage)
        if damage.count and self.damaged is not None:
            self.damaged.append(str(damage))

    def _unless_taken(self, damage: "_Damage") -> None:
        if self.damaged is None:
            raise DataError(
                f"{damage}; copy the file again, or go on with what can be read (--keep-going)"
            )


@dataclass
class _Damage:
    """What could not be decoded: the first of it in words, the rest counted."""

    path: Path
    count: int = 0
    first: str = ""

    def note(self, number: int, what: str) -> None:
        self.count += 1
        self.first = self.first or f"frame {number} (from 0) {what}"

    def __str__(self) -> str:
        more = f", and {self.count - 1} more places" if self.count > 1 else ""
        return f"video {self.path}: {self.first}{more}"


def load_av() -> ModuleType:
    """PyAV.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise SettingsError("video needs PyAV; pip install 'tinyscope[video]'") from error
    return av


def _opened(path: Path) -> "InputContainer":
    av = load_av()
    if not path.is_file():
        raise DataError(f"video {path}: no such file; check the path")
    try:
        # Absolute, so that no name is taken for an address.
        container: InputContainer = av.open(str(path.absolute()), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(
            f"video {path}: cannot be opened ({_reason(error)}); it is no video, or its end, where "
            "many formats keep their index, is missing"
        ) from error
    if not container.streams.video:
        container.close()
        raise DataError(f"video {path}: holds no pictures; check the file")
    return container


def _decoded(
    container: "InputContainer", stream: "VideoStream", damage: _Damage
) -> Iterator["VideoFrame | None"]:
    """The frames, and None for every packet that is not decodable."""
    errors = load_av().error.FFmpegError
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except errors:  # the file ends within a packet, or is unreadable from here
            yield None
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except errors:
            yield None
            continue
        yield from frames


def _pixels(frame: "VideoFrame") -> UInt8[Tensor, "3 h w"]:
    array: NDArray[Any] = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counterclockwise
    if turns:
        array = np.ascontiguousarray(np.rot90(array, turns))
    return torch.from_numpy(array).permute(2, 0, 1)


def _start(stream: "VideoStream") -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _stated_end(container: "InputContainer", stream: "VideoStream") -> float:
    """When the last frame should end, in seconds; 0 where the file does not say it."""
    if stream.frames and stream.average_rate and container.format.name == "avi":
        # Its duration is made to fit a file that was cut; the header's count is not. MP4 counts
        # frames that an edit hides as well.
        return _start(stream) + float(stream.frames / stream.average_rate)
    if stream.duration and stream.time_base:
        return _start(stream) + float(stream.duration * stream.time_base)
    tag = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), "")
    hours, _, rest = tag.partition(":")  # Matroska: 00:01:02.500000000
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        pass
    if container.duration and len(container.streams) == 1:  # else it may be that of the sound
        return container.duration / 1e6
    return 0.0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
