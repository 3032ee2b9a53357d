"""The official metric of ImageNet VID as loops, to be read beside its description."""

from collections.abc import Sequence

import numpy as np

from tinyscope.formats.tables import Annotations, DetectionTable

Range = tuple[float, float]


def plain_averages(
    truth: Annotations,
    found: DetectionTable,
    motion: np.ndarray,
    ranges: Sequence[Range],
    threshold: float = 0.5,
    tolerance: float = 10.0,
    pixel: float = 1.0,
) -> np.ndarray:
    """Average precision by range and class (a, k); -1 where nothing is to be found.

    `motion` (n,) is the motion IoU of every row of `truth`; rows marked as crowds or ignored
    excuse detections of their class that they cover.
    """
    marked = truth.ignore | truth.crowd
    averages = np.full((len(ranges), len(truth.names)), -1.0)
    for a, (low, high) in enumerate(ranges):
        inside = (motion >= low) & (motion <= high) & ~marked
        outcomes = [
            outcome
            for place in np.argsort(truth.image_ids)
            for outcome in _frame(
                truth, found, int(place), inside, marked, (threshold, tolerance, pixel)
            )
        ]
        for k in range(len(truth.names)):
            positives = int((inside & (truth.labels == k)).sum())
            if positives:
                own = [(score, tp, fp) for label, score, tp, fp in outcomes if label == k]
                averages[a, k] = _average(sorted(own, key=lambda row: -row[0]), positives)
    return averages


def _frame(truth, found, image, inside, marked, options):
    """Label, score, whether it is a hit and how far it is false, for each detection."""
    threshold, tolerance, pixel = options
    rows = range(truth.offsets[image], truth.offsets[image + 1])
    objects = [row for row in rows if not marked[row]]
    here = np.flatnonzero(found.images == image)
    every = ~marked
    overall = inside.sum() / every.sum() if every.any() else 0.0
    taken: set[int] = set()
    for d in sorted(here.tolist(), key=lambda d: -found.scores[d]):
        box, label = found.boxes[d], found.labels[d]
        best, chosen = -1.0, None
        nearest = {True: -1.0, False: -1.0}
        for row in objects:
            overlap = _iou(box, truth.boxes[row], pixel)
            w, h = truth.boxes[row, 2:] - truth.boxes[row, :2] + pixel
            enough = min(threshold, w * h / ((w + tolerance) * (h + tolerance)))
            free = row not in taken and truth.labels[row] == label
            if free and overlap > best and overlap >= enough:
                best, chosen = overlap, row
            side = bool(inside[row])
            nearest[side] = max(nearest[side], overlap)
        covers = (
            _share(box, truth.boxes[row], pixel)
            for row in rows
            if marked[row] and truth.labels[row] == label
        )
        if chosen is not None:
            taken.add(chosen)
            yield label, found.scores[d], int(inside[chosen]), 0.0
        elif max(covers, default=0) >= threshold:
            yield label, found.scores[d], 0, 0.0
        elif nearest[True] != nearest[False]:
            yield label, found.scores[d], 0, float(nearest[True] > nearest[False])
        elif objects:
            outside = sum(not inside[row] for row in objects)
            yield label, found.scores[d], 0, outside / len(objects)
        else:
            yield label, found.scores[d], 0, overall


def _average(rows, positives: int) -> float:
    """The area below the best precision at each recall or above."""
    hits, false, points = 0, 0.0, []
    for _, hit, weight in rows:
        hits, false = hits + hit, false + weight
        points.append((hits / positives, hits / max(hits + false, 1e-16)))
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(points):
        if recall > before:
            area += (recall - before) * max(precision for _, precision in points[place:])
            before = recall
    return area


def _shared(box, other, pixel: float) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0]) + pixel
    height = min(box[3], other[3]) - max(box[1], other[1]) + pixel
    return width * height if width > 0 and height > 0 else 0.0


def _extent(box, pixel: float) -> float:
    return (box[2] - box[0] + pixel) * (box[3] - box[1] + pixel)


def _iou(box, other, pixel: float) -> float:
    shared = _shared(box, other, pixel)
    return shared / (_extent(box, pixel) + _extent(other, pixel) - shared)


def _share(box, other, pixel: float) -> float:
    return _shared(box, other, pixel) / _extent(box, pixel)
