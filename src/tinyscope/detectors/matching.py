"""Assigning and sampling for one image, with its ignored regions spared."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from tinyscope.matching.ignore import spare_ignored
from tinyscope.types import Matches, Priors, Size, Target


@runtime_checkable
class PriorMaker(Protocol):
    """The priors of levels of given sizes (cells), fine to coarse."""

    per_cell: int

    def __call__(self, sizes: Sequence[Size], device: torch.device) -> Priors: ...


@runtime_checkable
class Assigner(Protocol):
    """Which box each prior answers for: rows of `boxes`, BACKGROUND or IGNORED."""

    def __call__(self, priors: Priors, boxes: Tensor) -> Int64[Tensor, "p"]: ...


@runtime_checkable
class Sampler(Protocol):
    """Which assigned priors take part in the loss."""

    def __call__(self, assigned: Tensor, target: Target) -> Matches: ...


def match(
    priors: Priors,
    target: Target,
    assigner: Assigner,
    sampler: Sampler,
    *,
    ignore_threshold: float,
) -> Matches:
    """What every prior of an image is to learn.

    Ignored rows of the target are never learned; background priors that one of them covers by
    more than `ignore_threshold` of the prior's area are left out of the loss.
    """
    objects = target[~target.ignore]
    assigned = assigner(priors, objects.boxes)
    regions = target.boxes[target.ignore]
    assigned = spare_ignored(assigned, priors, regions, threshold=ignore_threshold)
    return sampler(assigned, objects)
