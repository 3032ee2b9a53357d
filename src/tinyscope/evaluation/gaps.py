"""Counting detections into the gaps between a few of them, without keeping them."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from tinyscope.evaluation.order import Ranked
from tinyscope.evaluation.precision import Tally
from tinyscope.evaluation.scores import COUNTED_SCORES, rows_at_scores


def best_first(parts: Sequence[Ranked]) -> tuple[Ranked, Int64[ndarray, "d"]]:
    """Detections of several parts in the order of `Ranked`, and the row that each comes to."""
    columns = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(Ranked)
        if f.name != "starts"
    }
    starts = np.sum([part.starts for part in parts], axis=0)
    labels = np.concatenate([part.labels for part in parts])
    # Of one class, groups are in the order of images, and ranks those within an image.
    order = np.lexsort((columns["ranks"], columns["groups"], -columns["scores"], labels))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return Ranked(**{k: column[order] for k, column in columns.items()}, starts=starts), place


class Gaps:
    """Counts detections of all parts into the gaps between the rows of `ranked`.

    Those counted include the rows themselves. `ranked` holds the best detection of each class.
    """

    def __init__(self, ranked: Ranked, images: int, limits: Sequence[int], bins: int) -> None:
        """The rows, how many images there are, the limits per image and class, and the bins."""
        self._ranked, self._images, self._limits = ranked, images, tuple(limits)
        self._stops = rows_at_scores(ranked)
        # Distinct scores of each class, negative ones so that they ascend.
        self._scores = [np.unique(-ranked.scores[ranked.rows(k)]) for k in range(self._classes)]
        self._keys = [self._keys_of(ranked, k) for k in range(self._classes)]
        self._gaps = np.zeros((bins, len(limits), len(ranked) + 1), dtype=np.int64)
        self._stopped = np.zeros((bins, len(limits), *self._stops.shape), dtype=np.int64)

    @property
    def _classes(self) -> int:
        return len(self._ranked.starts) - 1

    def add(self, every: Ranked, inside: Sequence[Bool[ndarray, "d"]]) -> None:
        """Counts the detections of a part; `inside` are those that count in each bin."""
        starts = self._ranked.starts
        gap = np.concatenate(
            [
                starts[k] + np.searchsorted(self._keys[k], self._keys_of(every, k), side="right")
                for k in range(self._classes)
            ]
        )
        # A score of 0.123 counts at 0, 0.01 .. 0.12.
        step = np.searchsorted(COUNTED_SCORES, every.scores, side="right")
        steps = len(COUNTED_SCORES) + 1
        step += steps * every.labels
        for a, counting in enumerate(inside):
            for m, limit in enumerate(self._limits):
                rows = np.flatnonzero(counting & (every.ranks < limit))
                self._gaps[a, m] += np.bincount(gap[rows], minlength=len(self._ranked) + 1)
                reached = np.bincount(step[rows], minlength=steps * self._classes)
                above = np.cumsum(reached.reshape(-1, steps)[:, ::-1], axis=1)[:, ::-1]
                self._stopped[a, m] += above[:, 1:]

    def tally(self, a: int, m: int, inside: Bool[ndarray, "d"]) -> Tally:
        """What has been counted in bin `a` at limit `m`; `inside` are the rows that count there."""
        before = np.cumsum(self._gaps[a, m])
        at_stops = before[self._ranked.starts[:-1], None] + self._stopped[a, m]
        return Tally(inside, before, self._stops, at_stops)

    def _keys_of(self, every: Ranked, label: int) -> Int64[ndarray, "r"]:
        """Numbers that order detections of one class as they are ranked, whatever their part."""
        rows = every.rows(label)
        scores = -every.scores[rows]
        known = self._scores[label]
        place = np.searchsorted(known, scores)
        equal = np.append(known, np.inf)[place] == scores
        level = 2 * place + equal  # odd at a known score, even between two
        key = level * self._images + every.groups[rows] % self._images
        keys: ndarray = key * self._limits[-1] + every.ranks[rows]
        return keys
