"""What the paths of a prediction hold: images of their own, video files, frames of videos."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyscope.data.video import DEFAULT_RATE, Frame, VideoFile
from tinyscope.engine.images import read_ahead
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.errors import DataError

VIDEO_SUFFIXES = frozenset(
    (
        *(".3gp", ".asf", ".avi", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov"),
        *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    )
)
"""Endings of files that are taken as videos, in any case."""


@dataclass(frozen=True)
class Video:
    """A video file, or images that are the frames of one.

    Args:
        path: The file, or the folder of the frames and, if it holds several videos, a name.
        files: The frames in order; empty for a video file.
    """

    path: Path
    files: tuple[Path, ...] = ()

    def open(self, rate: float, failed: list[str] | None) -> "OpenVideo":
        """Its frames, of which `rate` are shown per second unless the file says it.

        Raises:
            DataError: It cannot be opened.
        """
        if not self.files:
            file = VideoFile(self.path, failed)
            return OpenVideo(iter(file), file.count, file.rate)
        return OpenVideo(_frames(self, rate, failed), len(self.files), rate)


@dataclass(frozen=True)
class OpenVideo:
    """Frames to come, how many that should be (None: not known), and how many per second."""

    frames: Iterator[Frame]
    count: int | None
    rate: float = DEFAULT_RATE


def is_video(path: Path) -> bool:
    """Whether a file is taken as a video, by its ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def sorted_out(
    files: Sequence[Path], as_video: bool, truth: TruthOfFiles | None
) -> tuple[list[Path], list[Video]]:
    """Images that are looked at one by one, and videos.

    Args:
        files: Images and videos, each once.
        as_video: Take images as frames: those of one folder are one video, in the order of the
            numbers in their names; with truth that states videos, its videos and order count.
        truth: Of the images.

    Raises:
        DataError: There is truth, which speaks of images, but a file is a video.
    """
    videos = [Video(file) for file in files if is_video(file)]
    if videos and truth is not None:
        raise DataError(
            f"video {videos[0].path}: truth speaks of images; give the folder of the frames that "
            "were annotated, or predict without truth"
        )
    images = [file for file in files if not is_video(file)]
    if not as_video:
        return images, videos
    if truth is not None and truth.annotations.video is not None:
        return [], _videos_of_truth(images, truth)
    folders: dict[Path, list[Path]] = {}
    for image in images:
        folders.setdefault(image.parent, []).append(image)
    framed = [Video(_named(at), tuple(sorted(held, key=by_number))) for at, held in folders.items()]
    return [], [*framed, *videos]


def _named(folder: Path) -> Path:
    """The folder by a path that ends in its name: "." and ".." do not."""
    return folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))


def by_number(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Orders frame2.png before frame10.png."""
    parts = re.findall(r"\d+|\D+", path.name)
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p.lower()) for p in parts)


def _videos_of_truth(files: Sequence[Path], truth: TruthOfFiles) -> list[Video]:
    stated = truth.annotations.video
    assert stated is not None
    order = sorted(
        (int(stated.videos[at]), int(stated.frames[at]), number)
        for number, at in enumerate(truth.positions)
    )
    held: dict[int, list[Path]] = {}
    for video, _, number in order:
        held.setdefault(video, []).append(files[number])
    # What a data set calls a video becomes a file's name, and need not be one or the only one.
    names = {video: re.sub(r"[^\w.-]+", "_", stated.names[video]).strip(".") for video in held}
    uses = Counter(names.values())
    return [
        Video(
            frames[0].parent / (names[video] if uses[names[video]] == 1 else f"video_{video}"),
            tuple(frames),
        )
        for video, frames in held.items()
    ]


def _frames(video: Video, rate: float, failed: list[str] | None) -> Iterator[Frame]:
    """Frames that cannot be read are left out where `failed` takes the message; the rest keep
    their numbers and times."""
    for number, (_, image) in enumerate(read_ahead(video.files)):
        if not isinstance(image, DataError):
            yield Frame(image, number, number / rate)
        elif failed is None:
            raise image
        else:
            failed.append(str(image))
