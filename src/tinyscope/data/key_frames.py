"""Which frames of a data set of videos are trained on."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations


def key_frames(annotations: Annotations) -> NDArray[np.int64]:
    """Positions of the images to train on: all of them where the data set has no videos.

    Raises:
        DataError: It has videos, but no key frames.
    """
    if annotations.video is None:
        return np.arange(len(annotations))
    keys = np.flatnonzero(annotations.video.keys)
    if not len(keys):
        raise DataError(
            f"{annotations.place}: none of its {len(annotations)} frames is a key frame to train "
            "on; flag some as is_vid_train_frame, or leave that key out to train on all"
        )
    return keys
