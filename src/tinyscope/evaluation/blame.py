"""Which detections of a video's frames have found something, and how far the others are false.

The matching of the official evaluation of ImageNet VID as FGFA published it (Zhu et al. 2017,
arXiv:1703.10025). From the best detection of a frame down, each takes the free object of its class
that it overlaps most, the first in the file of equal ones, whether or not that object counts in
the range that is scored. One that has none is false in a range by a weight: 1 if among all
objects of the frame, of any class, it comes nearest to one in the range, 0 if to one that is not,
and between these where it is as near to both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.order import Objects, order_objects, rank_detections
from tinyscope.evaluation.pairing import ALWAYS_ENOUGH, Pairs, first_free, measured, touching
from tinyscope.evaluation.parts import objects_near
from tinyscope.evaluation.protocol import one_class
from tinyscope.formats.boxes import widths_and_heights
from tinyscope.formats.tables import Annotations, DetectionTable

_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Judged:
    """Detections of some frames, best first.

    `images` and `ranks` order those of equal score. `objects` are the rows of what they have
    found, -1 for nothing. `weights` say how far they are false in each range; 0 for those that
    have found something.
    """

    scores: Float64[ndarray, "d"]
    labels: Int64[ndarray, "d"]
    images: Int64[ndarray, "d"]
    ranks: Int64[ndarray, "d"]
    objects: Int64[ndarray, "d"]
    weights: Float64[ndarray, "a d"]


@dataclass(frozen=True)
class Ground:
    """What is to be found in all frames.

    `objects` are of one class, image by image, so that nearness is seen across classes; `labels`
    are their own. `lenient` are the IoUs that suffice for objects that are small. `inside` says
    which count in each range, `empty` the share of them that does. `all_of` and `inside_of` count
    the objects of every image, in the order of image ids.
    """

    truth: Annotations
    objects: Objects
    labels: Int64[ndarray, "n"]
    lenient: Float64[ndarray, "n"]
    inside: Bool[ndarray, "a n"]
    empty: Float64[ndarray, "a"]
    all_of: Int64[ndarray, "i"]
    inside_of: Int64[ndarray, "a i"]
    pixel: float

    def judge(self, found: DetectionTable, thresholds: Sequence[float]) -> list[Judged]:
        """Detections of some images, for each threshold."""
        boxes = widened(found.boxes, self.pixel)
        one = replace(found, boxes=boxes, labels=np.zeros_like(found.labels))
        ranked = rank_detections(one, self.truth, _NO_LIMIT)
        labels = found.labels[ranked.source]
        near, rows = objects_near(ranked, self.objects, len(self.truth))
        pairs = measured(touching(ranked, near), ranked, near, 0.0)
        region = near.regions[pairs.objects]
        own = labels[pairs.detections] == self.labels[rows[pairs.objects]]
        weights = self._weights(ranked.groups, pairs[~region], rows)
        judged = []
        for threshold in thresholds:
            objects = np.full(len(labels), -1, dtype=np.int64)
            enough = np.minimum(threshold, self.lenient)[rows]
            asked = pairs[own & ~region & (pairs.overlaps >= enough[pairs.objects])]
            matched = _matched(asked, len(near))
            objects[matched.detections] = rows[matched.objects]
            covered = own & region & (pairs.overlaps >= min(threshold, ALWAYS_ENOUGH))
            left = np.ones(len(labels))
            left[matched.detections] = left[pairs.detections[covered]] = 0
            judged.append(
                Judged(ranked.scores, labels, ranked.groups, ranked.ranks, objects, weights * left)
            )
        return judged

    def _weights(
        self, images: Int64[ndarray, "d"], pairs: Pairs, rows: Int64[ndarray, "r"]
    ) -> Float64[ndarray, "a d"]:
        """How far each detection is false in each range if it has found nothing."""
        weights = np.empty((len(self.inside), len(images)))
        every = self.all_of[images]
        for a, inside in enumerate(self.inside):
            here = self.inside_of[a, images]
            counts = inside[rows[pairs.objects]]
            to_inside = _nearest(pairs[counts], here > 0)
            to_outside = _nearest(pairs[~counts], every > here)
            # As near to both, such as touching neither: by how many objects are on either side.
            share = np.where(every > 0, (every - here) / np.maximum(every, 1), self.empty[a])
            nearer = np.where(to_inside > to_outside, 1.0, 0.0)
            weights[a] = np.where(to_inside == to_outside, share, nearer)
        return weights


def ground_of(
    truth: Annotations, inside: Bool[ndarray, "a n"], tolerance: float, pixel: float
) -> Ground:
    """What is to be found in `truth`.

    Args:
        truth: Rows that it marks as crowds or ignored are regions, which excuse detections of their
            class that they cover.
        inside: Which rows of `truth` count in each range.
        tolerance: Pixels by which an object may be missed on each axis: w h / ((w + t)(h + t)) is
            an IoU that suffices.
        pixel: What is added to sides: 1 where x2 and y2 are the last pixels of a box.
    """
    marked = truth.ignore | truth.crowd
    wider = replace(truth, boxes=widened(truth.boxes, pixel))
    joined = one_class(wider)
    by_class = np.lexsort((truth.labels, truth.images))  # as `one_class` orders them
    objects = order_objects(joined, ignored=marked[by_class], regions=marked[by_class])
    rows = by_class[objects.source]
    sides = widths_and_heights(objects.boxes)
    counted = inside[:, rows] & ~objects.ignored
    images = objects.groups
    every = np.bincount(images[~objects.ignored], minlength=len(truth))
    amount = int((~objects.ignored).sum())
    return Ground(
        truth=joined,
        objects=objects,
        labels=truth.labels[rows],
        lenient=(sides / (sides + tolerance)).prod(axis=1),
        inside=counted,
        empty=counted.sum(axis=1) / max(amount, 1),
        all_of=every,
        inside_of=np.array([np.bincount(images[own], minlength=len(truth)) for own in counted]),
        pixel=pixel,
    )


def widened(boxes: Float64[ndarray, "n 4"], pixel: float) -> Float64[ndarray, "n 4"]:
    """Boxes that end behind their last pixels."""
    wider: ndarray = boxes + np.array([0.0, 0.0, pixel, pixel])
    return wider


def _matched(pairs: Pairs, objects: int) -> Pairs:
    ordered = pairs[np.lexsort((pairs.objects, -pairs.overlaps, pairs.detections))]
    return first_free(ordered, np.zeros(objects, dtype=np.bool_))


def _nearest(pairs: Pairs, there: Bool[ndarray, "d"]) -> Float64[ndarray, "d"]:
    """The largest overlap of each detection, 0 where it touches nothing, -1 where nothing is."""
    nearest = np.where(there, 0.0, -1.0)
    np.maximum.at(nearest, pairs.detections, pairs.overlaps)
    return nearest
