"""Scoring the key frames of videos alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tinyscope.errors import DataError
from tinyscope.evaluation.parts import Found, Parts, Selected, parts_of
from tinyscope.formats.tables import Annotations, DetectionTable

Frames = Literal["all", "keys"]
"""Which images take part: all of them, or those that the file marks as key frames."""


def in_frames(
    truth: Annotations, found: Found, frames: Frames
) -> tuple[Annotations, Found, dict[str, int]]:
    """Both without the images that take no part, and how much that is, for the stamp.

    Raises:
        DataError: No image is a key frame.
    """
    if frames == "all":
        return truth, found, {}
    if truth.video is None or not truth.video.keys.any():
        raise DataError(
            f"{truth.place}: no image is a key frame (is_vid_train_frame); score all of them with "
            "frames: all"
        )
    images = np.flatnonzero(truth.video.keys)
    parts = _within(parts_of(found), images, len(truth))
    kept = Selected(parts, sum(len(part) for part in parts()))
    left_out = {
        "images_between_keys": len(truth) - len(images),
        "detections_between_keys": len(found) - len(kept),
    }
    return truth.take(images), kept, left_out


def _within(parts: Parts, images: Int64[ndarray, "i"], count: int) -> Parts:
    """The detections in these of `count` images, by their positions among them."""
    position = np.full(count, -1, dtype=np.int64)
    position[images] = np.arange(len(images))

    def kept() -> Iterator[DetectionTable]:
        for part in parts():
            inside = part[position[part.images] >= 0]
            yield replace(inside, images=position[inside.images])

    return kept


def left_out_text(left_out: dict[str, int]) -> list[str]:
    """What takes no part, in a sentence."""
    if not left_out:
        return []
    return [
        f"key frames alone: {left_out['images_between_keys']} other images and "
        f"{left_out['detections_between_keys']} detections in them are left out"
    ]
