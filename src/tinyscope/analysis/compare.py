"""What became of each object and each detection of one image."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from tinyscope.evaluation.pairing import Pairs, pair, regular_first
from tinyscope.ops.boxes import covered_fractions, overlaps
from tinyscope.types import Detections, Target


@dataclass(frozen=True)
class Comparison:
    """Of detections: `found` an object, or `spared` by a region that is ignored; else false.

    Of objects: `missed`; ignored ones never are.
    """

    found: Bool[Tensor, "d"]
    spared: Bool[Tensor, "d"]
    missed: Bool[Tensor, "n"]

    @property
    def false(self) -> Bool[Tensor, "d"]:
        """Detections of nothing, and further ones of an object that is found already."""
        return ~(self.found | self.spared)


def compare(found: Detections, target: Target, iou_threshold: float = 0.5) -> Comparison:
    """Pairs detections with the objects of an image, as scoring does.

    From the best detection down, each takes the free object of its class that it overlaps most.
    One that finds none is spared if an ignored object of its class covers `iou_threshold` of it.

    Args:
        found: Best first.
        target: Of the same image.
        iou_threshold: Least IoU of a pair.
    """
    overlap = overlaps(found.boxes, target.boxes)
    covered = covered_fractions(found.boxes, target.boxes)
    overlap = torch.where(target.ignore, covered, overlap)
    close = (overlap >= iou_threshold) & (found.labels[:, None] == target.labels)
    detections, objects = (rows.numpy() for rows in close.nonzero(as_tuple=True))
    values = overlap[close].double().numpy()
    ignore = target.ignore.numpy()
    candidates = Pairs(detections, objects, values)
    candidates = candidates[np.lexsort((-objects, -values, detections))]
    pairs = pair(regular_first(candidates, ignore), ignore, iou_threshold)
    regular = ~ignore[pairs.objects]
    hit, spared = (torch.zeros(len(found), dtype=torch.bool) for _ in range(2))
    hit[torch.from_numpy(pairs.detections[regular])] = True
    spared[torch.from_numpy(pairs.detections[~regular])] = True
    missed = ~target.ignore
    missed[torch.from_numpy(pairs.objects[regular])] = False
    return Comparison(hit, spared, missed)
