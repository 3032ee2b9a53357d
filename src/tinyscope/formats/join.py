"""Several splits of a data set as one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations, VideoFrames


def join(parts: Sequence[Annotations]) -> Annotations:
    """The images of all parts, in order; ids are numbered anew from 1.

    Args:
        parts: At least one; of the same classes. Where one has videos, images of another that has
            none become videos of one frame. Where their roots differ, file names of the result
            start from the folder that holds all of them.

    Raises:
        DataError: The parts differ in their classes, or two of them hold the same image.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        if part.names != first.names:
            raise DataError(
                f"splits to be joined have different classes: {', '.join(first.names)}, and "
                f"{', '.join(part.names)}; give all files the same categories"
            )
    if any(part.root != first.root for part in parts):
        root = Path(os.path.commonpath([part.root.absolute() for part in parts]))
        return join([_moved(part, root) for part in parts])
    files = np.concatenate([part.files for part in parts])
    tiles = first.windows is not None  # several share one file
    held = np.concatenate([np.unique(part.files) if tiles else part.files for part in parts])
    names, counts = np.unique(held, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{first.root}: {names[counts > 1][0]} is in more than one of the splits to be "
            f"joined ({int((counts > 1).sum())} such images); an image may be in one of them"
        )
    boxes = np.concatenate([part.boxes for part in parts])
    lengths = [len(part.boxes) for part in parts]
    starts = [0, *np.cumsum(lengths)[:-1].tolist()]
    offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=True)]
    return replace(
        first,
        image_ids=np.arange(1, len(files) + 1),
        files=files,
        sizes=np.concatenate([part.sizes for part in parts]),
        offsets=np.concatenate([[0], *offsets]),
        boxes=boxes,
        labels=np.concatenate([part.labels for part in parts]),
        areas=np.concatenate([part.areas for part in parts]),
        ignore=np.concatenate([part.ignore for part in parts]),
        crowd=np.concatenate([part.crowd for part in parts]),
        annotation_ids=np.arange(1, len(boxes) + 1),
        marks=_columns([part.marks for part in parts], lengths, fill=False),
        measures=_columns([part.measures for part in parts], lengths, fill=np.nan),
        windows=_windows(parts),
        notes=tuple(note for part in parts for note in part.notes),
        source=None,
        video=_video(parts),
    )


def _moved(part: Annotations, root: Path) -> Annotations:
    """The same images, with file names that start from a folder above their own."""
    below = part.root.absolute().relative_to(root).as_posix()
    files = part.files if below == "." else np.array([f"{below}/{file}" for file in part.files])
    return replace(part, root=root, files=files)


def _columns(
    parts: Sequence[Mapping[str, NDArray[np.generic]]],
    lengths: Sequence[int],
    *,
    fill: bool | float,
) -> dict[str, NDArray[Any]]:
    """Columns that at least one part has, filled where others lack them."""
    return {
        key: np.concatenate(
            [p[key] if key in p else np.full(n, fill) for p, n in zip(parts, lengths, strict=True)]
        )
        for key in dict.fromkeys(key for part in parts for key in part)
    }


def _windows(parts: Sequence[Annotations]) -> NDArray[np.int64] | None:
    windows = [part.windows for part in parts if part.windows is not None]
    if not windows:
        return None
    if len(windows) < len(parts):
        raise DataError(
            f"{parts[0].root}: one of the splits to be joined holds tiles of images and another "
            "whole images; join splits of one kind"
        )
    return np.concatenate(windows)


def _video(parts: Sequence[Annotations]) -> VideoFrames | None:
    """The videos of all parts; instances count on, so that no two parts share one."""
    if all(part.video is None for part in parts):
        return None
    videos = [p.video or VideoFrames.stills(p.files.tolist(), len(p.boxes)) for p in parts]
    firsts = np.cumsum([0, *(len(video.names) for video in videos)])
    counts = [int(video.instances.max(initial=-1)) + 1 for video in videos]
    before = np.cumsum([0, *counts])
    instances = [
        np.where(video.instances < 0, -1, video.instances + start)
        for video, start in zip(videos, before, strict=False)
    ]
    return VideoFrames(
        names=tuple(name for video in videos for name in video.names),
        videos=np.concatenate([v.videos + n for v, n in zip(videos, firsts, strict=False)]),
        frames=np.concatenate([video.frames for video in videos]),
        keys=np.concatenate([video.keys for video in videos]),
        instances=np.concatenate(instances),
    )
