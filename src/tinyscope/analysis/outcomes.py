"""What became of every object and every detection of a data set, at one score."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray

from tinyscope.analysis.compare import compare
from tinyscope.data.training_set import target_of
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.types import Detections


@dataclass(frozen=True)
class Outcomes:
    """Masks over the rows of the truth and over those of the detections.

    `counted` objects are to be found, those among them that are `found` were. A `false`
    detection belongs to no object and lies on nothing that is ignored; detections below the score
    are not false.
    """

    counted: Bool[ndarray, "n"]
    found: Bool[ndarray, "n"]
    false: Bool[ndarray, "d"]

    @property
    def missed(self) -> Bool[ndarray, "n"]:
        missed: Bool[ndarray, n] = self.counted & ~self.found
        return missed


def outcomes(
    truth: Annotations,
    detections: DetectionTable,
    *,
    score: float = 0.0,
    iou_threshold: float = 0.5,
) -> Outcomes:
    """Pairs the detections of at least `score` with objects, image by image (see `compare`)."""
    counted = ~truth.ignore
    found = counted.copy()
    false = np.zeros(len(detections), dtype=np.bool_)
    # One sort, then every image's detections are neighbors, best first.
    order = np.lexsort((-detections.scores, detections.images))
    order = order[detections.scores[order] >= score]
    starts = np.searchsorted(detections.images[order], np.arange(len(truth) + 1))
    for image in range(len(truth)):
        chosen = order[starts[image] : starts[image + 1]]
        target, _ = target_of(truth, image)
        result = compare(as_detections(detections[chosen]), target, iou_threshold)
        false[chosen] = result.false.numpy()
        found[truth.rows(image)] &= ~result.missed.numpy()
    return Outcomes(counted, found, false)


def as_detections(table: DetectionTable) -> Detections:
    """Rows of one image, best first, as a detector would return them."""
    return Detections(
        torch.from_numpy(table.boxes.astype(np.float32)),
        torch.from_numpy(table.scores.astype(np.float32)),
        torch.from_numpy(table.labels),
    )
