"""Assigning and sampling for one image, with its ignored regions spared."""

from torch import Tensor

from tinyscope.detectors.parts import Assigner, Sampler
from tinyscope.matching.ignore import spare_ignored
from tinyscope.types import Matches, Priors, Target


def match(
    priors: Priors,
    target: Target,
    assigner: Assigner,
    sampler: Sampler,
    *,
    ignore_threshold: float,
    scores: Tensor | None = None,
) -> Matches:
    """What every prior of an image is to learn.

    Ignored rows of the target are never learned; background priors that one of them covers by
    more than `ignore_threshold` of the prior's area are left out of the loss. `scores` (p,) are
    those that an earlier stage gave the priors, where there is one.
    """
    objects = target[~target.ignore]
    assigned = assigner(priors, objects.boxes)
    regions = target.boxes[target.ignore]
    assigned = spare_ignored(assigned, priors, regions, threshold=ignore_threshold)
    return sampler(assigned, objects, priors, scores)
