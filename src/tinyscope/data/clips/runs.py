"""Frames that follow each other in one video at one size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyscope.formats.tables import Annotations, VideoFrames


@dataclass(frozen=True)
class Runs:
    """Runs of frames; a video whose frames change their size is several of them.

    Args:
        order: Positions of all images (i,), run by run, in the order of the frames.
        place: Where each image stands in `order` (i,).
        starts: Where the run of each image starts in `order` (i,).
        lengths: How many frames that run has (i,).
        changes: How many times a video goes on at another size.
    """

    order: NDArray[np.int64]
    place: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    changes: int

    @classmethod
    def of(cls, annotations: Annotations) -> "Runs":
        """The runs of a data set of known sizes; stills are runs of one frame."""
        number = len(annotations)
        video = annotations.video or VideoFrames.stills(annotations.files.tolist(), 0)
        order = video.order
        other_video = np.diff(video.videos[order], prepend=-1) != 0
        other_size = (np.diff(annotations.sizes[order], axis=0, prepend=0) != 0).any(axis=1)
        place = np.empty(number, dtype=np.int64)
        place[order] = np.arange(number)
        begins = np.flatnonzero(other_video | other_size)
        ends = np.append(begins[1:], number)
        run = np.searchsorted(begins, place, side="right") - 1
        return cls(
            order,
            place,
            begins[run],
            (ends - begins)[run],
            int((other_size & ~other_video).sum()),
        )

    def frame(self, image: int) -> tuple[int, int]:
        """Where in its run the image at position `image` stands, and how long that run is."""
        return int(self.place[image] - self.starts[image]), int(self.lengths[image])

    def image(self, image: int, frame: int) -> int:
        """Position of the image at place `frame` of the run that `image` is in."""
        return int(self.order[self.starts[image] + frame])
