"""Objects and detections in the order that scoring goes through them.

Both are sorted by class; a detection's row then is its rank among those of its class, so the
pairing and the precision below compare rows and need no further sorting.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.formats.boxes import widths_and_heights
from tinyscope.formats.tables import Annotations, DetectionTable


@dataclass(frozen=True)
class Objects:
    """Objects by class, then image id, then place in the file.

    `groups` number the pairs of class and image. `areas` are those the file states, which sizes
    are judged by; `extents` are width times height, which IoUs are made of. `ignored` objects
    count neither for nor against; `regions` are those of them that any number of detections may
    lie in, measured by how much of the detection they cover. `source` are their rows in the table.
    """

    boxes: Float64[ndarray, "n 4"]
    extents: Float64[ndarray, "n"]
    areas: Float64[ndarray, "n"]
    labels: Int64[ndarray, "n"]
    groups: Int64[ndarray, "n"]
    ignored: Bool[ndarray, "n"]
    regions: Bool[ndarray, "n"]
    source: Int64[ndarray, "n"]

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Int64[ndarray, "r"]) -> "Objects":
        """These rows alone; in ascending order they are in order as well."""
        return Objects(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Ranked:
    """Detections by class, best first; equal scores by image id, then place in the file.

    `ranks` count from 0 among the detections of one class in one image. Class k owns rows
    `starts[k]:starts[k + 1]`. `source` are the rows in the table.
    """

    boxes: Float64[ndarray, "d 4"]
    extents: Float64[ndarray, "d"]
    scores: Float64[ndarray, "d"]
    groups: Int64[ndarray, "d"]
    ranks: Int64[ndarray, "d"]
    starts: Int64[ndarray, "s"]
    source: Int64[ndarray, "d"]

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Int64[ndarray, "r"], labels: Int64[ndarray, "r"]) -> "Ranked":
        """These rows alone, by class.

        Args:
            rows: So that they are in order.
            labels: Their classes.
        """
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        counts = np.bincount(labels, minlength=len(self.starts) - 1)
        chosen = {name: column[rows] for name, column in columns.items() if name != "starts"}
        return Ranked(**chosen, starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    @property
    def labels(self) -> Int64[ndarray, "d"]:
        """The class of each."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def rows(self, label: int) -> slice:
        """Rows of one class."""
        return slice(int(self.starts[label]), int(self.starts[label + 1]))


def order_objects(
    truth: Annotations, ignored: Bool[ndarray, "n"], regions: Bool[ndarray, "n"]
) -> Objects:
    """The rows of `truth`, with two columns of the protocol in the order of `truth`."""
    images = np.repeat(_image_order(truth), np.diff(truth.offsets))
    groups = truth.labels * len(truth) + images
    rows = np.argsort(groups, kind="stable")
    sides = widths_and_heights(truth.boxes[rows])
    return Objects(
        boxes=truth.boxes[rows],
        extents=sides[:, 0] * sides[:, 1],
        areas=truth.areas[rows],
        labels=truth.labels[rows],
        groups=groups[rows],
        ignored=ignored[rows],
        regions=regions[rows],
        source=rows,
    )


def rank_detections(found: DetectionTable, truth: Annotations, limit: int) -> Ranked:
    """The best `limit` detections per image and class."""
    images = _image_order(truth)[found.images]
    rows = _sorted_by(images, len(truth))
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    rows = rows[_sorted_by(found.labels[rows], len(truth.names))]
    groups = found.labels[rows] * len(truth) + images[rows]
    by_image = _sorted_by(images[rows], len(truth))
    by_group = by_image[_sorted_by(found.labels[rows][by_image], len(truth.names))]
    ranks = _ranks(groups, by_group)
    if (ranks >= limit).any():
        within = ranks < limit
        rows, groups, ranks = rows[within], groups[within], ranks[within]
    boxes = found.boxes[rows]
    sides = widths_and_heights(boxes)
    counts = np.bincount(found.labels[rows], minlength=len(truth.names))
    return Ranked(
        boxes=boxes,
        extents=sides[:, 0] * sides[:, 1],
        scores=found.scores[rows],
        groups=groups,
        ranks=ranks,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        source=rows,
    )


def _image_order(truth: Annotations) -> Int64[ndarray, "i"]:
    """Place of every image when they are sorted by id."""
    order = np.empty(len(truth), dtype=np.int64)
    order[np.argsort(truth.image_ids)] = np.arange(len(truth))
    return order


def _ranks(groups: Int64[ndarray, "d"], order: Int64[ndarray, "d"]) -> Int64[ndarray, "d"]:
    """How many rows of the same group stand before each; `order` sorts the groups, stably."""
    grouped = groups[order]
    first = np.ones(len(groups), dtype=np.bool_)
    first[1:] = grouped[1:] != grouped[:-1]
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(groups)))
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return ranks


def _sorted_by(values: Int64[ndarray, "d"], count: int) -> Int64[ndarray, "d"]:
    """Rows by their value, from 0 up to `count`; equal ones keep their order."""
    # numpy sorts 16 bits by radix, several times faster.
    small = values.astype(np.uint16) if count < 2**16 else values
    return np.argsort(small, kind="stable")
