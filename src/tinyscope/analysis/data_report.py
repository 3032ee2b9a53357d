"""What a data set holds: images, objects by size and class, videos, and groups of its classes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tinyscope.analysis.class_groups import Proposal
from tinyscope.evaluation.table import aligned
from tinyscope.formats.tables import Annotations
from tinyscope.types import SIDE_EDGES

HEADS = ("model.roi.head",)
"""Where a recipe of two stages has the head that tells classes apart."""


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs; `tracks` are its objects in the course of videos, if known.

    `side` is the median square root of the area, pixels; None without objects.
    """

    name: str
    objects: int
    images: int
    side: float | None
    tracks: int | None = None


@dataclass(frozen=True)
class VideoCount:
    """Videos of a set: their number, frames, frames that are trained on, and shortest to longest.

    `tracks` are the objects that files follow through a video, None where they do not say.
    """

    videos: int
    frames: int
    keys: int
    shortest: int
    longest: int
    tracks: int | None

    @property
    def counted(self) -> str:
        """Which frames a report counts, in words."""
        if not self.keys:
            return "none is marked to be trained on, and all are counted here"
        return f"{self.keys} of them are trained on and counted here"


@dataclass(frozen=True)
class DataReport:
    """A data set in numbers; of videos all but `videos` speaks of the frames trained on, or of all
    where none is marked for it.

    `most` are the objects of the fullest image, `sizes` the objects by their side.
    """

    data: str
    images: int
    empty: int
    objects: int
    ignored: int
    most: int
    sizes: dict[str, int]
    classes: tuple[ClassCount, ...]
    proposal: Proposal
    videos: VideoCount | None = None
    heads: tuple[str, ...] = HEADS

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without an example."""
        return tuple(c.name for c in self.classes if not c.objects)

    @property
    def settings(self) -> tuple[str, ...]:
        """What `--set` takes for the proposed groups, for each head; nothing without groups."""
        if not self.proposal.groups:
            return ()
        return tuple(f"{head}.groups={self.proposal.setting}" for head in self.heads)

    @property
    def table(self) -> str:
        """For a terminal."""
        parts = [self._summary(), aligned([["side", *self.sizes], self._size_row()])]
        return "\n\n".join([*parts, aligned(self._class_rows()), self._proposal()])

    def to_json(self) -> str:
        """All numbers, and the groups as lists of labels."""
        return json.dumps(asdict(self) | {"settings": list(self.settings)}, indent=2)

    def _summary(self) -> str:
        lines = [
            f"{self.data}: {self.images} images ({self.empty} without objects), {self.objects} "
            f"objects of {len(self.classes)} classes ({self.ignored} more are ignored); at most "
            f"{self.most} in an image"
        ]
        if (v := self.videos) is not None:
            tracks = "" if v.tracks is None else f", {v.tracks} tracks"
            least = "" if v.shortest == v.longest else f"{v.shortest} to "
            lines.append(
                f"videos: {v.videos}, of {least}{v.longest} frames, {v.frames} in all; "
                f"{v.counted}{tracks}"
            )
        if self.absent:
            lines.append(f"classes without an example: {', '.join(self.absent)}")
        return "\n".join(lines)

    def _size_row(self) -> list[str]:
        return ["objects", *map(str, self.sizes.values())]

    def _class_rows(self) -> list[list[str]]:
        """Most frequent first."""
        group_of = {label: g for g, group in enumerate(self.proposal.groups) for label in group}
        follows = any(c.tracks is not None for c in self.classes)
        titles = ["class", "label", "objects", "images", *["tracks"] * follows, "side", "group"]
        rows = [titles]
        order = sorted(range(len(self.classes)), key=lambda i: -self.classes[i].objects)
        for label in order:
            c = self.classes[label]
            tracks = [str(c.tracks)] if follows else []
            side = "-" if c.side is None else f"{c.side:.1f}"
            group = str(group_of[label] + 1) if label in group_of else "-"
            rows.append([c.name, str(label), str(c.objects), str(c.images), *tracks, side, group])
        return rows

    def _proposal(self) -> str:
        if not self.proposal.groups:
            return f"groups: none are needed, {self.proposal.reason}"
        edges = ", ".join(map(str, self.proposal.edges))
        lines = "\n".join(f"  --set '{setting}'" for setting in self.settings)
        return f"groups by {self.proposal.reason} ({edges}):\n{lines}"


def class_counts(annotations: Annotations) -> list[int]:
    """Examples of each class that training sees."""
    labels = annotations.labels[annotations.learned]
    found: list[int] = np.bincount(labels, minlength=len(annotations.names)).tolist()
    return found


def count_classes(annotations: Annotations) -> tuple[ClassCount, ...]:
    """How often every class occurs."""
    rows = annotations.learned
    labels, images = annotations.labels[rows], annotations.images[rows]
    sides = annotations.sides[rows]
    order = np.argsort(labels, kind="stable")
    edges = np.searchsorted(labels[order], np.arange(len(annotations.names) + 1)).tolist()
    tracks = _tracks(annotations, rows)
    return tuple(
        _class_count(name, order[start:end], images, sides, tracks)
        for name, (start, end) in zip(annotations.names, pairwise(edges), strict=True)
    )


def _class_count(
    name: str,
    rows: NDArray[np.int64],
    images: NDArray[np.int64],
    sides: NDArray[np.float64],
    tracks: NDArray[np.int64] | None,
) -> ClassCount:
    side = float(np.median(sides[rows])) if len(rows) else None
    followed = None if tracks is None else _distinct(tracks[rows])
    return ClassCount(name, len(rows), len(np.unique(images[rows])), side, followed)


def _tracks(annotations: Annotations, rows: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """The track of each chosen row (m,), -1 for none; None where no row has one."""
    if annotations.video is None:
        return None
    tracks = annotations.video.instances[rows]
    return tracks if (tracks >= 0).any() else None


def _distinct(tracks: NDArray[np.int64]) -> int:
    return len(np.unique(tracks[tracks >= 0]))


def count_videos(annotations: Annotations) -> VideoCount | None:
    """The videos of a set that has any."""
    video = annotations.video
    if video is None or not len(video.videos):
        return None
    lengths = np.unique(video.videos, return_counts=True)[1]
    tracks = _tracks(annotations, annotations.learned)
    return VideoCount(
        videos=len(lengths),
        frames=len(video.frames),
        keys=int(video.keys.sum()),
        shortest=int(lengths.min()),
        longest=int(lengths.max()),
        tracks=None if tracks is None else _distinct(tracks),
    )


def count_sizes(sides: NDArray[np.float64], names: Sequence[str]) -> dict[str, int]:
    """Objects by side, binned at `SIDE_EDGES`; `names` are those of the bins."""
    counts = np.bincount(np.digitize(sides, SIDE_EDGES), minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))
