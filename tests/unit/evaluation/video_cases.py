"""Small videos for the tests of evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from evaluation_cases import truth_of

from tinyscope.formats.tables import Annotations, VideoFrames

Row = tuple[int, int, Sequence[float], int]
"""Frame, label, x1 y1 x2 y2 and track."""


def film_of(
    rows: Sequence[Row],
    frames: int = 1,
    names: Sequence[str] = ("boat",),
    videos: Sequence[int] | None = None,
    keys: Sequence[int] = (),
    **columns: Any,
) -> Annotations:
    """Frames of one video, or of those in `videos` (one number for each frame)."""
    truth = truth_of([row[:3] for row in rows], frames, names, **columns)
    order = sorted(range(len(rows)), key=lambda i: rows[i][0])
    of = np.array(videos or [0] * frames, dtype=np.int64)
    film = VideoFrames(
        names=tuple(f"video {v}" for v in range(int(of.max(initial=0)) + 1)),
        videos=of,
        frames=np.array([int((of[:i] == of[i]).sum()) for i in range(frames)], dtype=np.int64),
        keys=np.isin(np.arange(frames), keys),
        instances=np.array([rows[i][3] for i in order], dtype=np.int64),
    )
    return replace(truth, video=film)
