"""Writes generated videos as PNG and CocoVID JSON: twelve classes, one a thousand times another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinyscope.data.synthetic.film import Frame, film
from tinyscope.data.synthetic.moving import FREQUENT, VIDEO_NAMES
from tinyscope.data.synthetic.write import begun
from tinyscope.errors import SettingsError
from tinyscope.formats import coco
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations, VideoFrames
from tinyscope.types import Size

DENSITY = 16
"""Objects of a video on average; not all are there all the time."""
SPREAD = 1000.0
"""How often the most frequent class of the training set is there for the rarest one."""
SPREAD_ELSEWHERE = 10.0
"""The same in other splits, where a class with a handful of objects could not be scored."""

Made = tuple[str, Frame]
"""The file of a frame, and the frame without its pixels."""


def write_videos(
    folder: Path,
    videos: Mapping[str, int] | None = None,
    seed: int = 0,
    size: Size = (192, 256),
    frames: int = 32,
) -> dict[str, Annotations]:
    """Writes images/SPLIT/VIDEO/*.png and annotations/SPLIT.json; equal arguments, equal bytes.

    Every split has objects of all classes, in numbers that fall by an equal factor from class to
    class (`quotas`). Objects that are hidden for the most part are to be ignored in that frame.

    Args:
        folder: Where to; a new or empty one, or one in which writing was broken off.
        videos: How many of each split; 48 to train and 16 to validate by default.
        seed: Other seeds give other videos.
        size: Height and width of the frames.
        frames: Of each video.

    Raises:
        SettingsError: A count or the size cannot be right.
        DataError: The folder holds something, or cannot be written.
    """
    counts = {"train": 48, "val": 16} if videos is None else videos
    if frames < 1:
        raise SettingsError(f"frames must be one or more in every video, got {frames}")
    with begun(folder, counts, size):
        made = {
            split: _split(folder / "images", split, count, seed, size, frames)
            for split, count in counts.items()
        }
        (folder / "annotations").mkdir(exist_ok=True)
        for split, annotations in made.items():
            coco.write_annotations(annotations, folder / "annotations" / f"{split}.json")
    return made


def quotas(objects: int, spread: float) -> NDArray[np.float64]:
    """How many objects of each class there are, the most frequent class first.

    A class of less than one object has one that is there for that share of the frames.

    Args:
        objects: Of all classes.
        spread: The first number over the last.
    """
    shares = spread ** -np.linspace(0, 1, len(FREQUENT))
    return np.asarray(objects * shares / shares.sum())


def _split(root: Path, split: str, count: int, seed: int, size: Size, frames: int) -> Annotations:
    made: list[list[Made]] = []
    for number, objects in enumerate(_cast(split, count, seed)):
        place = f"{split}/{number:05d}"
        (root / place).mkdir(parents=True, exist_ok=True)
        video = []
        for position, frame in enumerate(film(seed, split, number, objects, frames, size)):
            file = f"{place}/{position:06d}.png"
            # Noise does not compress: more effort would cost time and save nothing.
            Image.fromarray(frame.image).save(root / file, compress_level=1)
            # A copy: a view of nothing would still hold all pixels of the frame.
            video.append((file, replace(frame, image=frame.image[:0].copy())))
        made.append(video)
    return _annotations(root, size, made)


def _cast(split: str, videos: int, seed: int) -> list[list[tuple[int, float]]]:
    """What appears in each video: labels, and the share of the frames in which they are there."""
    quota = quotas(DENSITY * videos, SPREAD if split == "train" else SPREAD_ELSEWHERE)
    counts = np.maximum(np.rint(quota), 1).astype(int)
    labels = np.repeat([VIDEO_NAMES.index(name) for name in FREQUENT], counts)
    lives = np.repeat(np.minimum(quota / counts, 1), counts)
    lives[lives > 0.75] = 1  # rounding makes these of what are whole objects
    rng = np.random.default_rng([seed, videos, *split.encode()])
    videos_of = rng.integers(videos, size=len(labels))
    return [
        [(int(labels[i]), float(lives[i])) for i in rng.permutation(np.flatnonzero(videos_of == v))]
        for v in range(videos)
    ]


def _annotations(root: Path, size: Size, made: Sequence[Sequence[Made]]) -> Annotations:
    rows = [(number, file, frame) for number, video in enumerate(made) for file, frame in video]
    videos = np.array([number for number, _, _ in rows], dtype=np.int64)
    counts = [len(frame.boxes) for _, _, frame in rows]
    # Numbers of objects go on from video to video, in the order in which objects are first seen.
    tracks = np.concatenate([frame.tracks for _, _, frame in rows])
    both = np.stack([np.repeat(videos, counts), tracks], axis=1)
    _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
    instances = np.argsort(np.argsort(first))[inverse.reshape(-1)] + 1
    annotations = assemble(
        root,
        VIDEO_NAMES,
        [file for _, file, _ in rows],
        np.tile(np.array(size, dtype=np.int32), (len(rows), 1)),
        counts,
        np.round(np.concatenate([frame.boxes for _, _, frame in rows]), 3),
        np.concatenate([frame.labels for _, _, frame in rows]),
        np.concatenate([frame.hidden for _, _, frame in rows]),
    )
    video = VideoFrames(
        names=tuple(video[0][0].rpartition("/")[0] for video in made),
        videos=videos,
        frames=np.concatenate([np.arange(len(video)) for video in made]),
        keys=np.ones(len(rows), dtype=np.bool_),
        instances=instances.astype(np.int64),
    )
    return replace(annotations, video=video)
