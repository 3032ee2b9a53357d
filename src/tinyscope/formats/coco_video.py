"""What CocoVID files say beyond COCO: which image is which frame of which video.

Such a file lists `videos`; its images have `video_id`, `frame_id` and perhaps `is_vid_train_frame`,
its annotations perhaps `instance_id` (the layout of mmtracking). An image without a `video_id` is
a still one, which is a video of one frame.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.columns import positions, rows_of, unique_ids
from tinyscope.formats.rows import Rows
from tinyscope.formats.tables import VideoFrames

KEY_FRAME = "is_vid_train_frame"


def read(
    content: dict[str, Any],
    pictures: Rows,
    objects: Rows,
    files: NDArray[np.character],
    path: Path,
) -> VideoFrames | None:
    """The columns that the file has of videos; rows are in the order of the file.

    Args:
        content: The whole file.
        pictures, objects: Its images (i,) and annotations (n,).
        files: Of the images (i,).
        path: Of the file, for errors.

    Returns:
        None where the file speaks of no video and of no key frame.

    Raises:
        DataError: An image names no video of the file or lacks its number in it, or a number is
            negative or used twice in one video.
    """
    if "videos" not in content and not any(map(pictures.mentions, ("video_id", KEY_FRAME))):
        return None
    listed = rows_of({"videos": [], **content}, "videos", "video", path)
    ids = unique_ids(listed)
    moves = np.array([row.get("video_id") is not None for row in pictures.rows], dtype=np.bool_)
    stills = VideoFrames.stills(files[~moves].tolist(), len(objects))
    videos, frames = np.zeros((2, len(pictures)), dtype=np.int64)
    videos[~moves] = len(ids) + stills.videos
    if moves.any():
        if not len(ids):
            raise DataError(f"{path}: images name a video_id, but no videos are listed; list them")
        moving = Rows([pictures.rows[i] for i in np.flatnonzero(moves).tolist()], pictures.name)
        videos[moves] = positions(moving, "video_id", ids, "video")
        frames[moves] = _numbers(moving, videos[moves])
    return VideoFrames(
        names=(*(str(row.get("name", row["id"])) for row in listed.rows), *stills.names),
        videos=videos,
        frames=frames,
        keys=_keys(pictures),
        instances=_instances(objects),
    )


def video_rows(video: VideoFrames) -> Iterator[dict[str, Any]]:
    """The `videos` to write, ids from 1."""
    for number, name in enumerate(video.names):
        yield {"id": number + 1, "name": name}


def frame_keys(video: VideoFrames, image: int) -> dict[str, Any]:
    """What to write of the image at position `image`."""
    return {
        "video_id": int(video.videos[image]) + 1,
        "frame_id": int(video.frames[image]),
        KEY_FRAME: bool(video.keys[image]),
    }


def object_columns(video: VideoFrames, rows: slice, images: NDArray[np.int64]) -> dict[str, Any]:
    """What to write of some annotations, None where a row has nothing to say.

    Args:
        video: The columns.
        rows: Which annotations.
        images: Position of the image of each of them.
    """
    instances = video.instances[rows].astype(object)
    instances[video.instances[rows] < 0] = None
    return {"video_id": video.videos[images] + 1, "instance_id": instances}


def _numbers(frames: Rows, videos: NDArray[np.int64]) -> NDArray[np.int64]:
    """The frame numbers, none negative and none twice in one video."""
    numbers = frames.integers("frame_id")
    if (wrong := numbers < 0).any():
        row = int(wrong.argmax())
        frames.refuse(row, f"frame_id {numbers[row]} is negative; number frames from 0")
    order = np.lexsort((numbers, videos))  # stable, so that the later row is the one refused
    same = (np.diff(numbers[order]) == 0) & (np.diff(videos[order]) == 0)
    if same.any():
        row = int(order[1:][same].min())
        frames.refuse(
            row,
            f"frame_id {numbers[row]} is used twice in video {frames.rows[row]['video_id']}; "
            "number the frames of a video anew or remove one",
        )
    return numbers


def _keys(pictures: Rows) -> NDArray[np.bool_]:
    """What the file flags; every image where it flags none."""
    if pictures.mentions(KEY_FRAME):
        return pictures.flags(KEY_FRAME)
    return np.ones(len(pictures), dtype=np.bool_)


def _instances(objects: Rows) -> NDArray[np.int64]:
    """Numbers of the tracks, -1 where a row has none."""
    if not objects.mentions("instance_id"):
        return np.full(len(objects), -1, dtype=np.int64)
    numbers = objects.numbers_or_nan("instance_id")
    if (wrong := (numbers < 0) | (numbers != np.rint(numbers)) & ~np.isnan(numbers)).any():
        row = int(wrong.argmax())
        objects.refuse(
            row, f"instance_id must be a whole number from 0, got {numbers[row]:g}; correct it"
        )
    return np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
