"""Which of many priors are the most similar to each of many boxes, without scoring all pairs.

Priors that follow each other lie near each other, so they are taken by blocks. The most favorable
prior that a block could hold has each coordinate of its center, and each side, as near to the
box's as the block's own reach; no prior of the block is more similar to the box. Only blocks whose
most favorable prior is as similar as what is wanted are looked into. The result is that of scoring
all pairs, ties included; priors in another order only take longer.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.ops.gaussians import (
    DISTANCES,
    SIMILARITIES,
    Gaussians,
    Kind,
    paired_similarity,
)

PAIRS = 1 << 21
"""Pairs of box and prior that one turn may have to score at worst; more boxes take more turns."""

_BLOCK = 64
_BOUNDED: tuple[Kind, ...] = (
    "kullback_leibler",
    "kullback_leibler_10",
    "kullback_leibler_exp",
    "wasserstein",
    "center",
)
"""Kinds whose distance is a sum of terms of one coordinate or side each; of others all pairs are
scored."""


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
        kind: By what measure. Priors of similarity 0 are none of a box's; of `iou` they are many,
            of `kullback_leibler_exp` those too far for float32, which of a tiny box may be all.

    Returns:
        Pairs by box, each box's most similar first.

    Raises:
        ValueError: A box or prior is not finite.
    """
    _refuse_infinite(boxes, "box")
    _refuse_infinite(priors, "prior")
    count = min(count, len(priors))
    found = []
    for start, turn in _turns(boxes, priors, kind):
        rows, columns, scores = turn.at_least(turn.reached(count))
        order = scores.argsort(descending=True, stable=True)
        order = order[rows[order].argsort(stable=True)]
        rows, columns, scores = rows[order], columns[order], scores[order]
        assert len(rows) >= count * len(turn.boxes), "a box has fewer pairs than it is to have"
        firsts = torch.searchsorted(rows, torch.arange(len(turn.boxes), device=rows.device))
        near = scores >= scores[firsts + count - 1][rows]
        if kind != "giou":
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
    """All pairs of a box and a prior whose similarity is at least `floor`, by box.

    Raises:
        ValueError: A box or prior is not finite.
    """
    _refuse_infinite(boxes, "box")
    _refuse_infinite(priors, "prior")
    found = []
    for start, turn in _turns(boxes, priors, kind):
        wanted = turn.boxes.new_full((len(turn.boxes),), floor, dtype=torch.float32)
        rows, columns, scores = turn.at_least(wanted)
        found.append(Pairs(rows + start, columns, scores))
    return _joined(found, boxes)


def _refuse_infinite(boxes: Tensor, name: str) -> None:
    finite = boxes.isfinite()
    if not finite.all():
        row = int((~finite).any(dim=1).nonzero()[0])
        raise ValueError(
            f"{name} {row} is {boxes[row].tolist()}; nothing is similar to what is not finite, "
            "leave it out"
        )


def _turns(boxes: Tensor, priors: Tensor, kind: Kind) -> Iterator[tuple[int, "_Turn"]]:
    """Boxes in turns, with the row of the first."""
    if not len(priors):
        return
    # The last block is filled up with the last prior, which changes nothing of its reach.
    places = torch.arange(-(-len(priors) // _BLOCK) * _BLOCK, device=priors.device)
    blocks = priors[places.clamp(max=len(priors) - 1)].view(-1, _BLOCK, 4)
    members = Gaussians.of(blocks)
    reach = (
        Gaussians(*(part.amin(dim=1) for part in members)),
        Gaussians(*(part.amax(dim=1) for part in members)),
    )
    step = max(1, PAIRS // len(places))
    for start in range(0, len(boxes), step):
        yield start, _Turn(boxes[start : start + step], blocks, reach, len(priors), kind)


class _Turn:
    """Some boxes beside all priors: at best how similar each is to any prior of each block.

    Args:
        boxes: (c, 4).
        blocks: The priors (blocks, _BLOCK, 4).
        reach: The least and the largest centers and sides of each block.
        count: Number of priors; places in the blocks from there on are none.
        kind: By what measure.
    """

    def __init__(
        self,
        boxes: Tensor,
        blocks: Tensor,
        reach: tuple[Gaussians, Gaussians],
        count: int,
        kind: Kind,
    ) -> None:
        self.boxes, self._blocks, self._count, self._kind = boxes, blocks, count, kind
        if kind in _BOUNDED:
            box = Gaussians.of(boxes[:, None])
            favorable = Gaussians(
                *(torch.clamp(own, low, high) for own, low, high in zip(box, *reach, strict=True))
            )
            self._best = SIMILARITIES[kind](DISTANCES[kind](box, favorable))  # (c, blocks)
        else:
            self._best = boxes.new_full((len(boxes), len(blocks)), torch.inf, dtype=torch.float32)

    def reached(self, count: int) -> Float[Tensor, "c"]:
        """A similarity that at least `count` priors of each box have, and hardly more."""
        # Of blocks that are good by one of their priors: what a block could hold at best says
        # little of those that end one row or level and begin the next.
        samples = paired_similarity(self.boxes[:, None], self._blocks[:, _BLOCK // 2], self._kind)
        # One block more than so many priors need, as one may be filled up.
        needed = min(-(-count // _BLOCK) + 1, len(self._blocks))
        blocks = samples.topk(needed, dim=1).indices  # (c, needed)
        scores = paired_similarity(self.boxes[:, None, None], self._blocks[blocks], self._kind)
        columns = blocks[..., None] * _BLOCK + torch.arange(_BLOCK, device=blocks.device)
        scores = scores.masked_fill(columns >= self._count, -torch.inf)
        return scores.flatten(1).topk(count, dim=1).values[:, -1]

    def at_least(self, wanted: Float[Tensor, "c"]) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and similarities of the pairs that reach the row's, row by row."""
        # What float32 makes of the bound may lie below what it makes of a prior on it, by far less.
        limit = wanted - 1e-4 * wanted.abs()
        rows, block = (self._best >= limit[:, None]).nonzero(as_tuple=True)
        scores = paired_similarity(self.boxes[rows, None], self._blocks[block], self._kind)
        which, place = (scores >= wanted[rows, None]).nonzero(as_tuple=True)  # of (q, _BLOCK)
        columns = block[which] * _BLOCK + place
        real = columns < self._count
        return rows[which[real]], columns[real], scores[which[real], place[real]]


def _joined(found: list[Pairs], boxes: Tensor) -> Pairs:
    if not found:
        rows = torch.zeros(0, dtype=torch.int64, device=boxes.device)
        return Pairs(rows, rows, boxes.new_zeros(0, dtype=torch.float32))
    return Pairs(*(torch.cat(parts) for parts in zip(*found, strict=True)))
