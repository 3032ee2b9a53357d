"""Which of many priors are the most similar to each of many boxes, without scoring all pairs.

Distances that are quadratic in the prior's place and sides are products of two thin matrices. So
all pairs are screened by a matrix product, in whose rows only the few priors that may be among the
nearest are looked for; those alone are scored as `ops.gaussians` defines it, so the result is that
of scoring all pairs, ties included.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from tinyscope.ops.gaussians import EPSILON, Gaussians, Kind, paired_similarity, similarity

PAIRS = 1 << 21
"""Pairs screened at once, which hold 16 MB; more boxes are taken in turns."""

_BLOCK = 64
"""Priors of which only the nearest is looked at first; they lie far apart."""


class Pairs(NamedTuple):
    """Pairs of a box and a prior by their rows, and how similar they are."""

    boxes: Int64[Tensor, "m"]
    priors: Int64[Tensor, "m"]
    similarity: Float[Tensor, "m"]


@torch.no_grad()
def most_similar(
    boxes: Float[Tensor, "n 4"],
    priors: Float[Tensor, "p 4"],
    count: int,
    kind: Kind = "kullback_leibler",
) -> Pairs:
    """For each box its `count` most similar priors, and all that tie with the last of them.

    Args:
        boxes: xyxy, pixels.
        priors: xyxy, pixels; where there are fewer than `count`, each box gets all of them.
        count: At least 1.
        kind: By what measure. Where `kullback_leibler_exp` is 0 for want of digits, ties end with
            the nearest.

    Returns:
        Pairs by box, each box's most similar first.
    """
    count = min(count, len(priors))
    found = []
    for start, part, screen in _screens(boxes, priors, kind):
        limit = screen.at_most(count)
        rows, columns = screen.below(limit + _slack(limit))
        scores = paired_similarity(part[rows], priors[columns], kind)
        order = scores.argsort(descending=True, stable=True)
        order = order[rows[order].argsort(stable=True)]
        rows, columns, scores = rows[order], columns[order], scores[order]
        firsts = torch.searchsorted(rows, torch.arange(len(part), device=rows.device))
        near = scores >= scores[firsts + count - 1][rows]
        if kind == "iou":  # a box that no prior overlaps has none, not all of them
            near &= scores > 0
        found.append(Pairs(rows[near] + start, columns[near], scores[near]))
    return _joined(found, boxes)


@torch.no_grad()
def similar(
    boxes: Float[Tensor, "n 4"],
    priors: Float[Tensor, "p 4"],
    floor: float,
    kind: Kind = "kullback_leibler",
) -> Pairs:
    """All pairs of a box and a prior whose similarity is at least `floor`, by box."""
    found = []
    farthest = _farthest(floor, kind)
    for start, part, screen in _screens(boxes, priors, kind):
        limit = part.new_full((len(part),), farthest, dtype=torch.float64)
        rows, columns = screen.below(limit + _slack(limit))
        scores = paired_similarity(part[rows], priors[columns], kind)
        near = scores >= floor
        found.append(Pairs(rows[near] + start, columns[near], scores[near]))
    return _joined(found, boxes)


class _Screen:
    """Distances (n, blocks * _BLOCK) of boxes to `count` priors, infinite beyond these.

    Prior i is of block i % blocks, so that neighbors, which tend to be near together, are of
    different blocks.
    """

    def __init__(self, values: Float[Tensor, "n _"], count: int) -> None:
        self.count = count
        self._by_block = values.view(len(values), _BLOCK, -1)
        self._nearest = self._by_block.amin(dim=1)  # (n, blocks)

    def at_most(self, count: int) -> Float[Tensor, "n"]:
        """A distance that at least `count` priors of each row do not exceed."""
        if self._nearest.shape[1] < count:
            return self._nearest.new_full((len(self._nearest),), math.inf)
        return self._nearest.kthvalue(count, dim=1).values

    def below(self, limit: Float[Tensor, "n"]) -> tuple[Int64[Tensor, "m"], Int64[Tensor, "m"]]:
        """Rows and columns of the distances that are at most the row's limit, row by row."""
        rows, block = (self._nearest <= limit[:, None]).nonzero(as_tuple=True)
        values = self._by_block.transpose(1, 2)[rows, block]  # (q, _BLOCK)
        which, place = (values <= limit[rows, None]).nonzero(as_tuple=True)
        columns = place * self._nearest.shape[1] + block[which]
        real = columns < self.count
        return rows[which[real]], columns[real]


def _screens(boxes: Tensor, priors: Tensor, kind: Kind) -> Iterator[tuple[int, Tensor, _Screen]]:
    """Boxes in turns: the row of the first, the boxes, and the screen of their distances."""
    count = len(priors)
    if not count:
        return
    length = -(-count // _BLOCK) * _BLOCK
    step = max(1, PAIRS // length)
    factors = _FACTORS.get(kind)
    if factors is not None:
        prior_factors = functional.pad(factors.priors(_double(priors)), (0, length - count))
    # One buffer for all turns: fresh memory costs more than what is computed into it.
    buffer = priors.new_empty(min(step, len(boxes)), length, dtype=torch.float64)
    for start in range(0, len(boxes), step):
        part = boxes[start : start + step]
        values = buffer[: len(part)]
        if factors is None:
            values[:, :count] = -similarity(part, priors, kind)
        else:
            torch.matmul(factors.boxes(_double(part)), prior_factors, out=values)
        values[:, count:] = math.inf
        yield start, part, _Screen(values, count)


def _farthest(floor: float, kind: Kind) -> float:
    """What a similarity is on the screen."""
    if kind not in _FARTHEST:
        return -floor
    return _FARTHEST[kind](floor) if floor > 0 else math.inf


def _slack(limit: Tensor) -> Tensor:
    """How far beyond the limit a prior may be screened that float32 scores as within it.

    Ten roundings of terms of the distance's size, or of logarithms up to 90, are a tenth of it.
    """
    return 1e-5 * (limit.abs() + 64)


def _joined(found: list[Pairs], boxes: Tensor) -> Pairs:
    if not found:
        rows = torch.zeros(0, dtype=torch.int64, device=boxes.device)
        return Pairs(rows, rows, boxes.new_zeros(0, dtype=torch.float32))
    return Pairs(*(torch.cat(parts) for parts in zip(*found, strict=True)))


class _Factors(NamedTuple):
    """Matrices (n, 6) and (6, p) whose product is the distance."""

    boxes: Callable[[Gaussians], Tensor]
    priors: Callable[[Gaussians], Tensor]


def _double(boxes: Tensor) -> Gaussians:
    """In float64: products of coordinates are large and nearly cancel each other.

    No setting of matrix products or autocast touches its digits, either.
    """
    return Gaussians(*(part.double() for part in Gaussians.of(boxes)))


def _divergence_of_boxes(box: Gaussians) -> Tensor:
    across, down = 1 / box.width**2, 1 / box.height**2
    own = 4 * (across * box.x**2 + down * box.y**2) + (box.width * box.height).square().log() - 2
    moved = (-8 * across * box.x, -8 * down * box.y)
    return torch.stack([across, down, *moved, own, torch.ones_like(own)], dim=1) / 2


def _divergence_of_priors(prior: Gaussians) -> Tensor:
    across, down = (prior.width**2 + 4 * prior.x**2), (prior.height**2 + 4 * prior.y**2)
    own = -(prior.width * prior.height).square().log()
    return torch.stack([across, down, prior.x, prior.y, torch.ones_like(own), own])


def _shift_of_boxes(box: Gaussians, weight: float) -> Tensor:
    own = box.x**2 + box.y**2 + weight * (box.width**2 + box.height**2) + EPSILON
    sides = (-2 * weight * box.width, -2 * weight * box.height)
    return torch.stack([-2 * box.x, -2 * box.y, *sides, own, torch.ones_like(own)], dim=1)


def _shift_of_priors(prior: Gaussians, weight: float) -> Tensor:
    own = prior.x**2 + prior.y**2 + weight * (prior.width**2 + prior.height**2)
    return torch.stack([prior.x, prior.y, prior.width, prior.height, torch.ones_like(own), own])


_DIVERGENCE = _Factors(_divergence_of_boxes, _divergence_of_priors)
_FACTORS: Mapping[Kind, _Factors] = {
    "kullback_leibler": _DIVERGENCE,
    "kullback_leibler_10": _DIVERGENCE,
    "kullback_leibler_exp": _DIVERGENCE,
    "wasserstein": _Factors(
        partial(_shift_of_boxes, weight=0.25), partial(_shift_of_priors, weight=0.25)
    ),
    "center": _Factors(partial(_shift_of_boxes, weight=0.0), partial(_shift_of_priors, weight=0.0)),
}
_FARTHEST: Mapping[Kind, Callable[[float], float]] = {
    "kullback_leibler": lambda floor: 1 / floor - 1,
    "kullback_leibler_10": lambda floor: 1 / floor - 10,
    "kullback_leibler_exp": lambda floor: -10 * math.log(floor),
    "wasserstein": lambda floor: 1 / floor - 1,
    "center": lambda floor: 1 / floor - 1,
}
"""The distance of a similarity above 0, for the kinds that have factors."""
