"""Pictures, one after the other, to a video file that browsers and players show.

H.264 in MP4 where FFmpeg was built with an encoder for it, else MPEG-4. Needs PyAV, the extra
`video`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from tinyscope.data.video import load_av
from tinyscope.errors import DataError
from tinyscope.formats.atomic import replaced

TICKS = 60000
"""Per second: whole numbers of them are 1/24, 1/25, 1/30, 1/60 and 1001/30000 of a second, and
MPEG-4 counts no finer than 65535."""
ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "18", "preset": "veryfast"},  # 18: lines of one pixel keep their color
    "h264": {},
    "mpeg4": {},
}
"""In the order in which they are tried, with their options."""
BITS_PER_PIXEL = 0.4
"""Of encoders that have no setting of quality; generous, since boxes have sharp edges."""

AddPicture = Callable[[Image.Image, float], None]
"""Takes a picture and its second; seconds increase."""


@contextmanager
def painted_video(path: Path, rate: float) -> Iterator[AddPicture]:
    """An MP4 file to add pictures to as they come; it takes its name at the end.

    All have the size of the first, made even by a dark border; one of another size is fitted into
    it, so that a change of size within a video is seen and not an error.

    Args:
        path: Of the file; its folder exists.
        rate: Frames per second that are to be expected, which encoders plan by.

    Raises:
        DataError: The file cannot be written, or FFmpeg has none of the encoders.
        SettingsError: PyAV is not installed.
    """
    av = load_av()
    try:
        with replaced(path) as part:
            options = {"movflags": "+faststart"}  # the index first: browsers play it while loading
            with av.open(str(part), "w", format="mp4", options=options) as container:
                film = _Film(av, container, path, rate)
                yield film.add
                film.finish()
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: the video cannot be written ({reason}); choose another place or make room"
        ) from error


class _Film:
    """An open container; the stream starts with the first picture, whose size it has."""

    def __init__(self, av: Any, container: Any, path: Path, rate: float) -> None:
        self.av, self.container, self.path, self.rate = av, container, path, rate
        self.stream: Any = None
        self.start, self.last = 0.0, -1

    def add(self, picture: Image.Image, seconds: float) -> None:
        if self.stream is None:
            self.stream, self.start = self._stream(picture.width, picture.height), seconds
        frame = self.av.VideoFrame.from_image(self._fitted(picture))
        # Players take BT.709 for granted at all sizes of today; FFmpeg's default is BT.601.
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        # Times that stand still or go back, as damaged files have them, would end the encoding.
        self.last = max(self.last + 1, round((seconds - self.start) * TICKS))
        frame.pts, frame.time_base = self.last, Fraction(1, TICKS)
        self.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        if self.stream is not None:
            self.container.mux(self.stream.encode(None))

    def _stream(self, width: int, height: int) -> Any:
        name = next((name for name in ENCODERS if self._there(name)), None)
        if name is None:
            raise DataError(
                f"{self.path}: PyAV's FFmpeg has no encoder of {', '.join(ENCODERS)}; install "
                "another build of it, or leave videos out (--no-pictures)"
            )
        rate = Fraction(self.rate).limit_denominator(1001)
        stream = self.container.add_stream(name, rate=rate, options=ENCODERS[name])
        stream.width, stream.height = width + width % 2, height + height % 2  # colors are halved
        stream.pix_fmt = "yuv420p"  # what every player shows
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        if "crf" not in ENCODERS[name]:
            stream.bit_rate = round(width * height * self.rate * BITS_PER_PIXEL)
        return stream

    def _there(self, name: str) -> bool:
        try:
            self.av.Codec(name, "w")
        except (self.av.error.FFmpegError, ValueError):  # UnknownCodecError is a ValueError
            return False
        return True

    def _fitted(self, picture: Image.Image) -> Image.Image:
        size = (self.stream.width, self.stream.height)
        if picture.size == size:
            return picture
        if picture.width > size[0] or picture.height > size[1] or max(size) > 2 * max(picture.size):
            picture = ImageOps.contain(picture, size)
        canvas = Image.new("RGB", size, (24, 24, 24))
        canvas.paste(picture, (0, 0))
        return canvas
