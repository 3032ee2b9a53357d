"""Numbers from judged detections, some frames at a time.

As in `parts`, memory does not grow with the detections: those that have found an object are kept
in a first round, the weights of all others are summed between them in a second one.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from tinyscope.evaluation.blame import Ground, Judged
from tinyscope.evaluation.parts import Parts
from tinyscope.evaluation.precision import Curve
from tinyscope.evaluation.protocol import RECALLS
from tinyscope.evaluation.scores import COUNTED_SCORES, Scores

_STEPS = len(COUNTED_SCORES) + 1


class Hits:
    """Detections that have found an object at one threshold, and the false ones between them."""

    def __init__(self, parts: Sequence[Judged], images: int, classes: int) -> None:
        """What the first round has left (`hits_of`), and how many images and classes there are."""
        self.scores = np.concatenate([part.scores for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        images_of = np.concatenate([part.images for part in parts])
        ranks = np.concatenate([part.ranks for part in parts])
        order = np.lexsort((ranks, images_of, -self.scores, labels))
        self.scores = self.scores[order]
        self.objects = np.concatenate([part.objects for part in parts])[order]
        self._images, self._ranks = images, int(ranks.max(initial=0)) + 2  # one behind the last
        self._levels = np.unique(-self.scores)  # negative so that they ascend
        self._keys = self._keys_of(labels[order], self.scores, images_of[order], ranks[order])
        self.starts = np.searchsorted(labels[order], np.arange(classes + 1))
        bins = len(parts[0].weights)
        # Behind the last hit of each class there is a gap of its own.
        self._gaps = np.zeros((bins, len(order) + classes))
        self._stopped = np.zeros((bins, classes, _STEPS))

    def count(self, judged: Judged) -> None:
        """Sums up the weights of the detections of a part."""
        rows = np.flatnonzero((judged.weights > 0).any(axis=0))
        scores, labels = judged.scores[rows], judged.labels[rows]
        ranks = np.minimum(judged.ranks[rows], self._ranks - 1)
        keys = self._keys_of(labels, scores, judged.images[rows], ranks)
        gap = np.searchsorted(self._keys, keys) + labels
        # A score of 0.123 counts at 0, 0.01 .. 0.12.
        step = np.searchsorted(COUNTED_SCORES, scores, side="right") + _STEPS * labels
        for a, every in enumerate(judged.weights):
            weights = every[rows]
            self._gaps[a] += np.bincount(gap, weights, self._gaps.shape[1])
            stopped = np.bincount(step, weights, self._stopped[a].size)
            self._stopped[a] += stopped.reshape(self._stopped[a].shape)

    def curve(self, ground: Ground, a: int, label: int, positives: int) -> Curve:
        """The curve of one class in one range, of which so many objects are to be found."""
        own = slice(self.starts[label], self.starts[label + 1])
        gaps = self._gaps[a, own.start + label : own.stop + label]
        inside = ground.inside[a, self.objects[own]]
        scores = self.scores[own][inside]
        # A score of 0.123 counts at 0, 0.01 .. 0.12.
        above = np.cumsum(self._stopped[a, label, ::-1])[::-1][1:]
        return Curve(
            hits=np.arange(own.start, own.stop)[inside],
            false=np.cumsum(gaps)[inside],
            overlaps=np.full(len(scores), np.nan),  # no number here is made of them
            scores=scores,
            positives=positives,
            found_at=np.searchsorted(-scores, -COUNTED_SCORES, side="right"),
            false_at=np.rint(above).astype(np.int64),
        )

    def _keys_of(
        self,
        labels: Int64[ndarray, "d"],
        scores: Float64[ndarray, "d"],
        images: Int64[ndarray, "d"],
        ranks: Int64[ndarray, "d"],
    ) -> Int64[ndarray, "d"]:
        """Numbers that order detections as hits are sorted, whatever their part."""
        place = np.searchsorted(self._levels, -scores)
        equal = np.append(self._levels, np.inf)[place] == -scores
        level = 2 * place + equal  # odd at the score of a hit, even between two
        key = labels * (2 * len(self._levels) + 2) + level
        keys: ndarray = (key * self._images + images) * self._ranks + ranks
        return keys


def weighted_scores(
    parts: Parts, ground: Ground, thresholds: Sequence[float], classes: int
) -> Scores:
    """Numbers by threshold, class and range; there is one limit, which is none.

    Args:
        parts: Detections, to be gone through twice.
        ground: What is to be found.
        thresholds: IoUs that suffice for large objects.
        classes: How many there are.
    """
    left: list[list[Judged]] = [[] for _ in thresholds]
    number, judged = 0, []
    for part in parts():
        judged = ground.judge(part, thresholds)
        number += 1
        for kept, one in zip(left, judged, strict=True):
            kept.append(hits_of(one))
    hits = [Hits(kept, len(ground.truth), classes) for kept in left]
    again = (ground.judge(part, thresholds) for part in parts())
    for of_part in [judged] if number == 1 else again:
        for into, every in zip(hits, of_part, strict=True):
            into.count(every)
    return _scores(hits, ground, classes)


def hits_of(judged: Judged) -> Judged:
    """Those that have found something."""
    rows = np.flatnonzero(judged.objects >= 0)
    return Judged(
        judged.scores[rows],
        judged.labels[rows],
        judged.images[rows],
        judged.ranks[rows],
        judged.objects[rows],
        judged.weights[:, rows],
    )


def _scores(every: Sequence[Hits], ground: Ground, classes: int) -> Scores:
    shape = len(every), classes, len(ground.inside)
    positives = np.stack(
        [np.bincount(ground.labels[own], minlength=classes) for own in ground.inside], axis=1
    )
    precision = np.full((shape[0], len(RECALLS), *shape[1:], 1), -1.0)
    scores = precision.copy()
    recall, averages = np.full((2, *shape, 1), -1.0)
    found, false = np.zeros((2, *shape, len(COUNTED_SCORES)), dtype=np.int64)
    for t, k, a in np.ndindex(shape):
        curve = every[t].curve(ground, a, k, int(positives[k, a]))
        found[t, k, a], false[t, k, a] = curve.found_at, curve.false_at
        if curve.positives:
            precision[t, :, k, a, 0], hit = curve.interpolated(RECALLS)
            scores[t, :, k, a, 0] = np.append(curve.scores, 0.0)[hit]
            recall[t, k, a, 0] = len(curve.hits) / curve.positives
            averages[t, k, a, 0] = curve.area
    return Scores(precision, recall, scores, found, false, positives, averages)
