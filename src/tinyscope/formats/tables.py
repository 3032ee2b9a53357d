"""Annotations and detections of a whole data set as columns.

Arrays, not objects: a worker that inherits them by fork keeps sharing their memory, whatever
their number, and evaluation reads them without a loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VideoFrames:
    """Which images of a data set are frames of which video, and which objects are one and the same.

    `videos` are positions in `names`, which need not differ from each other; `frames` are numbers
    within a video, from 0, none of them twice in one video; some may be missing, and images may
    stand in any order. A still image is a video of one frame. `keys` marks the frames that are
    trained on and that a score of key frames counts. Boxes with the same number in `instances` are
    one object in the course of a video; -1 where a file does not say.
    """

    names: tuple[str, ...]
    videos: NDArray[np.int64]  # (i,)
    frames: NDArray[np.int64]  # (i,)
    keys: NDArray[np.bool_]  # (i,)
    instances: NDArray[np.int64]  # (n,)

    @property
    def order(self) -> NDArray[np.int64]:
        """Positions of all images (i,), video by video, frame by frame."""
        order: NDArray[np.int64] = np.lexsort((self.frames, self.videos))
        return order

    def take(self, images: NDArray[np.int64]) -> "VideoFrames":
        """The columns of these images; `instances` are still the old ones."""
        return replace(
            self,
            videos=self.videos[images],
            frames=self.frames[images],
            keys=self.keys[images],
        )

    @classmethod
    def stills(cls, files: Sequence[str], rows: int) -> "VideoFrames":
        """Every image a video of its own, named by its file, with `rows` boxes in all."""
        return cls(
            names=tuple(files),
            videos=np.arange(len(files), dtype=np.int64),
            frames=np.zeros(len(files), dtype=np.int64),
            keys=np.ones(len(files), dtype=np.bool_),
            instances=np.full(rows, -1, dtype=np.int64),
        )


@dataclass(frozen=True)
class Annotations:
    """Images of a data set and what is annotated in them.

    Rows of boxes are grouped by image: image i owns rows `offsets[i]:offsets[i + 1]`. `files` are
    paths relative to `root`, with forward slashes, as a numpy array of str; `sizes` are
    (height, width), 0 0 where the file does not say. `boxes` are x1 y1 x2 y2. `areas` are the
    areas that the file states (w * h where it states none). `ignore` marks rows that count
    neither for nor against (crowds included), `crowd` those of them that are COCO crowds.
    `labels` count from 0 and index `names` and `category_ids`.

    Some files say more, and these columns are empty where they do not: `marks` are further flags
    and `measures` further numbers (NaN where a row lacks it) by their keys; `windows` are the
    parts x1 y1 x2 y2 (right and bottom exclusive) of `files` that the images are, where they are
    tiles of larger ones. Boxes and sizes are those of the tile. `video` is there where the images
    are frames of videos. `notes` say, a sentence each, what
    a reader left out or changed; `source` is the file that was read, where it is one.
    """

    root: Path
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image_ids: NDArray[np.int64]  # (i,)
    files: NDArray[np.character]  # (i,) of str; not np.str_, which the runtime checks refuse
    sizes: NDArray[np.int32]  # (i, 2)
    offsets: NDArray[np.int64]  # (i + 1,)
    boxes: NDArray[np.float64]  # (n, 4)
    labels: NDArray[np.int64]  # (n,)
    areas: NDArray[np.float64]  # (n,)
    ignore: NDArray[np.bool_]  # (n,)
    crowd: NDArray[np.bool_]  # (n,)
    annotation_ids: NDArray[np.int64]  # (n,)
    marks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # each (n,)
    measures: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # each (n,)
    windows: NDArray[np.int64] | None = None  # (i, 4)
    notes: tuple[str, ...] = ()
    source: Path | None = None
    video: VideoFrames | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    @property
    def place(self) -> Path:
        """What an error names: the file of the annotations, else the folder."""
        return self.source or self.root

    @property
    def images(self) -> NDArray[np.int64]:
        """Position of the image of every row."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def trained_on(self) -> NDArray[np.bool_]:
        """Images (i,) that training shows: of videos the key frames, all if none is marked."""
        if self.video is None or not self.video.keys.any():
            return np.ones(len(self), dtype=np.bool_)
        return self.video.keys

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Rows (n,) that are an example in training."""
        learned: NDArray[np.bool_] = ~self.ignore & self.trained_on[self.images]
        return learned

    @property
    def sides(self) -> NDArray[np.float64]:
        """Square root of the area of every box, pixels."""
        sides: NDArray[np.float64] = np.sqrt(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1))
        return sides

    def rows(self, image: int) -> slice:
        """Rows of the image at position `image`."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))

    def path(self, image: int) -> Path:
        """File of the image at position `image`."""
        return self.root / str(self.files[image])

    def take(self, images: NDArray[np.int64]) -> "Annotations":
        """The images at these positions, in this order, with their rows."""
        counts = np.diff(self.offsets)[images]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][images] - offsets[:-1], counts)
        chosen = self.take_rows(rows)
        return replace(
            chosen,
            image_ids=self.image_ids[images],
            files=self.files[images],
            sizes=self.sizes[images],
            offsets=offsets,
            windows=None if self.windows is None else self.windows[images],
            video=None if chosen.video is None else chosen.video.take(images),
        )

    def keep(self, rows: NDArray[np.bool_]) -> "Annotations":
        """All images, with the rows that the mask (n,) selects."""
        before = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        return replace(self.take_rows(rows), offsets=before[self.offsets])

    def with_keys(self, keys: NDArray[np.bool_]) -> "Annotations":
        """The same videos with other key frames (i,)."""
        assert self.video is not None
        return replace(self, video=replace(self.video, keys=keys))

    def noted(self, note: str) -> "Annotations":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))

    def take_rows(self, rows: NDArray[Any]) -> "Annotations":
        """These rows alone; `offsets` are still the old ones, for the caller to mend."""
        video = self.video and replace(self.video, instances=self.video.instances[rows])
        return replace(
            self,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            areas=self.areas[rows],
            ignore=self.ignore[rows],
            crowd=self.crowd[rows],
            annotation_ids=self.annotation_ids[rows],
            marks={key: column[rows] for key, column in self.marks.items()},
            measures={key: column[rows] for key, column in self.measures.items()},
            video=video,
        )


@dataclass(frozen=True)
class DetectionTable:
    """Detections of a data set, in any order; `images` are positions in `Annotations.image_ids`.

    Boxes are x1 y1 x2 y2 in pixels of the whole image.
    """

    images: NDArray[np.int64]  # (d,)
    boxes: NDArray[np.float64]  # (d, 4)
    scores: NDArray[np.float64]  # (d,)
    labels: NDArray[np.int64]  # (d,)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: NDArray[Any]) -> "DetectionTable":
        """The rows that an index or a mask selects."""
        return DetectionTable(
            self.images[rows], self.boxes[rows], self.scores[rows], self.labels[rows]
        )

    @classmethod
    def concatenate(cls, tables: Sequence["DetectionTable"]) -> "DetectionTable":
        if not tables:
            return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
        return cls(
            np.concatenate([t.images for t in tables]),
            np.concatenate([t.boxes for t in tables]),
            np.concatenate([t.scores for t in tables]),
            np.concatenate([t.labels for t in tables]),
        )
