"""Assigning and sampling for images, with their ignored regions spared."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from tinyscope.detectors.parts import Assigner, BatchAssigner, Sampler
from tinyscope.matching.ignore import spare_ignored
from tinyscope.matching.taking_part import taking_part
from tinyscope.types import IGNORED, Matches, Priors, Size, Target


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
    assigned = assigner(priors, target.boxes[~target.ignore])
    assigned = spare_ignored(
        assigned, priors, target.boxes[target.ignore], threshold=ignore_threshold
    )
    return sampler(assigned, target[~target.ignore], priors, scores)


def match_batch(
    priors: Priors,
    targets: Sequence[Target],
    assigner: Assigner,
    sampler: Sampler,
    *,
    ignore_threshold: float,
    chosen: Sequence[Bool[Tensor, "p"]] | None = None,
) -> list[Matches]:
    """What every prior is to learn of each image of a batch: as `match`, as `assign_batch`."""
    assigned = assign_batch(
        priors, targets, assigner, ignore_threshold=ignore_threshold, chosen=chosen
    )
    return [
        sampler(rows, target[~target.ignore], priors, None)
        for rows, target in zip(assigned, targets, strict=True)
    ]


def assign_batch(
    priors: Priors,
    targets: Sequence[Target],
    assigner: Assigner,
    *,
    ignore_threshold: float,
    chosen: Sequence[Bool[Tensor, "p"]] | None = None,
) -> list[Int64[Tensor, "p"]]:
    """What every prior answers for in each image of a batch, whose priors are the same.

    Rows of the target without its ignored ones, BACKGROUND or IGNORED; background priors that an
    ignored row covers are IGNORED, as in `match`. Assigners that take whole batches get the batch.
    Where `chosen` says which priors each image has, it is assigned as if there were no others, and
    alone if images have different ones.

    Raises:
        ValueError: What an image is assigned depends on others that have other priors.
    """
    boxes = [target.boxes[~target.ignore] for target in targets]
    if chosen is None:
        assigned = _of_all(priors, boxes, assigner)
    elif all(torch.equal(mask, chosen[0]) for mask in chosen):
        rows = _of_all(priors[chosen[0]], boxes, assigner) if boxes else []
        assigned = [_placed(of_image, chosen[0]) for of_image in rows]
    elif isinstance(assigner, BatchAssigner) and assigner.carry:
        raise ValueError(
            f"carry: images of a batch have {[int(mask.sum()) for mask in chosen]} priors, and "
            "those of one cannot be what another one left; set carry: false, or neither overhang "
            "nor own_padding"
        )
    else:
        assigned = [
            _placed(assigner(priors[mask], objects), mask)
            for mask, objects in zip(chosen, boxes, strict=True)
        ]
    return [
        spare_ignored(rows, priors, target.boxes[target.ignore], threshold=ignore_threshold)
        for rows, target in zip(assigned, targets, strict=True)
    ]


def standing(
    priors: Priors, sizes: Sequence[Size], *, overhang: float | None, divisor: int | None
) -> list[Bool[Tensor, "p"]] | None:
    """Which priors each image of a batch has, as `taking_part`; None where all have all."""
    if overhang is None and divisor is None:
        return None
    return [taking_part(priors, size, overhang=overhang, divisor=divisor) for size in sizes]


def _of_all(priors: Priors, boxes: Sequence[Tensor], assigner: Assigner) -> list[Tensor]:
    """What all priors answer for in each image of a batch."""
    if isinstance(assigner, BatchAssigner):
        return assigner.batch(priors, boxes)
    return [assigner(priors, objects) for objects in boxes]


def _placed(rows: Tensor, mask: Tensor) -> Tensor:
    """Rows of the chosen priors among all; the others are IGNORED."""
    assigned = torch.full_like(mask, IGNORED, dtype=torch.int64)
    assigned[mask] = rows
    return assigned
