"""How fast objects move: the IoU of a box with those of the same object in nearby frames.

FGFA (Zhu et al. 2017, arXiv:1703.10025) calls an object slow, medium or fast by the mean of these.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations, VideoFrames

STATED = "motion_iou"
"""Number of a row that stands in place of the one that its track would give."""


def motion_ious(truth: Annotations, span: int, pixel: float) -> Float64[ndarray, "n"]:
    """The mean IoU of every box with those of the same object, up to `span` frames before or after.

    A number that the file states (`motion_iou` of a row) is taken as it is.

    Args:
        truth: Its `video` says which boxes are one object.
        span: Frames to each side; the box's own frame is none of them.
        pixel: What is added to sides: 1 where x2 and y2 are the last pixels of a box.

    Returns:
        Values in [0, 1]; 1 stands still. NaN where no such frame shows the object again, or the
        file does not say what is one object.

    Raises:
        DataError: A stated number is no IoU.
    """
    found = np.full(len(truth.boxes), np.nan)
    if truth.video is not None:
        found = _of_tracks(truth, truth.video, span, pixel)
    stated = truth.measures.get(STATED, np.full(len(found), np.nan))
    if (wrong := (stated < 0) | (stated > 1)).any():
        row = int(wrong.argmax())
        raise DataError(
            f"{truth.place}: annotation {truth.annotation_ids[row]}: {STATED} must lie between 0 "
            f"and 1, got {stated[row]:g}; correct it, or leave it out where tracks tell"
        )
    ious: ndarray = np.where(np.isnan(stated), found, stated)
    return ious


def has_motion(truth: Annotations) -> bool:
    """Whether anything is said of how objects move."""
    tracked = truth.video is not None and bool((truth.video.instances >= 0).any())
    return tracked or STATED in truth.measures


def _of_tracks(
    truth: Annotations, video: VideoFrames, span: int, pixel: float
) -> Float64[ndarray, "n"]:
    rows, first, second = _same_object(truth, video, span)
    one, other = truth.boxes[rows[first]], truth.boxes[rows[second]]
    overlaps = _ious(one, other, pixel)
    ends = np.concatenate([rows[first], rows[second]])
    count = np.bincount(ends, minlength=len(truth.boxes))
    total = np.bincount(ends, np.tile(overlaps, 2), minlength=len(truth.boxes))
    means: ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def _same_object(
    truth: Annotations, video: VideoFrames, span: int
) -> tuple[Int64[ndarray, "t"], Int64[ndarray, "p"], Int64[ndarray, "p"]]:
    """Rows with a track, and which two of them are one object at most `span` frames apart."""
    rows = np.flatnonzero(video.instances >= 0)
    images = truth.images[rows]
    columns = video.frames[images], video.instances[rows], video.videos[images]
    order = np.lexsort(columns)
    frames, instances, videos = (column[order] for column in columns)
    starts = np.arange(len(rows))
    firsts, seconds = [starts[:0]], [starts[:0]]
    # Along a track frames ascend: who is too far from the next but one is so from all behind it.
    for step in range(1, len(rows)):
        starts = starts[starts + step < len(rows)]
        ends = starts + step
        same = (videos[starts] == videos[ends]) & (instances[starts] == instances[ends])
        starts = starts[same & (frames[ends] - frames[starts] <= span)]
        if not len(starts):
            break
        apart = starts[frames[starts + step] > frames[starts]]  # not twice in one frame
        firsts.append(apart)
        seconds.append(apart + step)
    return rows[order], np.concatenate(firsts), np.concatenate(seconds)


def _ious(
    boxes: Float64[ndarray, "p 4"], others: Float64[ndarray, "p 4"], pixel: float
) -> Float64[ndarray, "p"]:
    low, high = np.maximum(boxes, others)[:, :2], np.minimum(boxes, others)[:, 2:]
    shared = np.maximum(high - low + pixel, 0).prod(axis=1)
    union = _extents(boxes, pixel) + _extents(others, pixel) - shared
    ious: ndarray = shared / union
    return ious


def _extents(boxes: Float64[ndarray, "p 4"], pixel: float) -> Float64[ndarray, "p"]:
    extents: ndarray = (boxes[:, 2:] - boxes[:, :2] + pixel).prod(axis=1)
    return extents


def in_ranges(
    motion: Float64[ndarray, "n"], ranges: tuple[tuple[float, float], ...]
) -> Bool[ndarray, "a n"]:
    """Which objects are in which range, both ends included; the first one holds those of no known
    motion as well, as it stands for all."""
    inside = np.array([(motion >= low) & (motion <= high) for low, high in ranges])
    inside[0] |= np.isnan(motion)
    return inside
