"""What became of each object and each detection of a data set."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray

from tinyscope.analysis.compare import compare
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.types import Detections, Target


@dataclass(frozen=True)
class Outcomes:
    """Rows of the annotations: `counted` are objects to be found, `found` those that were.

    `false` are rows of the detections that are neither of an object nor spared by an ignored
    region.
    """

    counted: Bool[ndarray, "n"]
    found: Bool[ndarray, "n"]
    false: Bool[ndarray, "d"]


def outcomes(
    truth: Annotations, detections: DetectionTable, *, score: float = 0.0, threshold: float = 0.5
) -> Outcomes:
    """Pairs detections and objects of every image as scoring does.

    Args:
        truth: Images and objects.
        detections: In them.
        score: Detections below are left out; they are not false either.
        threshold: Least IoU of a pair.
    """
    found = np.zeros(len(truth.boxes), dtype=np.bool_)
    false = np.zeros(len(detections), dtype=np.bool_)
    used = np.flatnonzero(detections.scores >= score)
    used = used[np.lexsort((-detections.scores[used], detections.images[used]))]
    ends = np.searchsorted(detections.images[used], np.arange(len(truth) + 1))
    for image in range(len(truth)):
        rows, objects = used[ends[image] : ends[image + 1]], truth.rows(image)
        target = Target(
            torch.from_numpy(truth.boxes[objects]).float(),
            torch.from_numpy(truth.labels[objects]),
            torch.from_numpy(truth.ignore[objects]),
        )
        here = Detections(
            torch.from_numpy(detections.boxes[rows]).float(),
            torch.from_numpy(detections.scores[rows]).float(),
            torch.from_numpy(detections.labels[rows]),
        )
        comparison = compare(here, target, threshold)
        found[objects] = (~comparison.missed & ~target.ignore).numpy()
        false[rows] = comparison.false.numpy()
    return Outcomes(~truth.ignore, found, false)
