"""Which boxes lie near which, without looking at all pairs.

Boxes are hashed by their centers into grids whose cells grow by powers of two, each box into the
grid whose cells are just not smaller than its longer side. Two boxes that overlap then lie in
neighboring cells of the coarser one's grid, so the work grows with the number of boxes that are
really close to each other, not with the square of their number.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

CHUNK = 1 << 21
"""Candidate pairs that are looked at at once; bounds the memory."""

_FEW = 50_000
_FINEST, _COARSEST = 0, 24  # cells of 1 px (what a shorter side is taken for) to 16 million px
_REACH = 1 << 22  # cells on each axis from the least corner on; the next ones wrap around


@dataclass(frozen=True)
class Near:
    """Candidates for overlap: row `queries[i]` against rows `order[starts[i]:][:counts[i]]`."""

    queries: Int64[Tensor, "q"]
    starts: Int64[Tensor, "q"]
    counts: Int64[Tensor, "q"]
    order: Int64[Tensor, "m"]
    ranks: Int64[Tensor, "n"]

    @classmethod
    def of(
        cls, boxes: Float[Tensor, "n 4"], groups: Int64[Tensor, "n"], min_ratio: float = 0.0
    ) -> "Near":
        """Finds the candidates among boxes of the same group.

        Args:
            boxes: xyxy, pixels.
            groups: Only boxes of equal number are compared (0 to 65535), such as labels.
            min_ratio: Pairs need not be found whose longer sides differ by more than this ratio;
                boxes with an IoU above t never do by more than t.
        """
        boxes = boxes.double()
        sides = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1).clamp(min=2.0**_FINEST)
        levels = sides.log2().ceil().clamp(max=_COARSEST).to(torch.int64)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        if len(boxes):
            centers = centers - centers.amin(dim=0)
        below = math.ceil(-math.log2(min_ratio)) if min_ratio > 0 else _COARSEST - _FINEST
        parts = []
        offset = 0
        orders = []
        for level in torch.bincount(levels).nonzero()[:, 0].tolist():
            here = (levels == level).nonzero()[:, 0]
            sorted_keys, order = _keys(centers[here], groups[here], level).sort()
            orders.append(here[order])
            asking = ((levels <= level) & (levels >= level - below)).nonzero()[:, 0]
            keys = _keys(centers[asking], groups[asking], level)
            for row in (-1, 0, 1):
                middle = keys + row * 2 * _REACH
                starts = _bisect(sorted_keys, middle - 1, right=False)
                ends = _bisect(sorted_keys, middle + 1, right=True)
                found = ends > starts
                parts.append((asking[found], starts[found] + offset, (ends - starts)[found]))
            offset += len(here)
        ranks = levels * (len(boxes) + 1) + torch.arange(len(boxes), device=boxes.device)
        if not parts:
            none = groups.new_zeros(0)
            return cls(none, none, none, none, ranks)
        queries, starts, counts = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return cls(queries, starts, counts, torch.cat(orders), ranks)

    @property
    def candidates(self) -> int:
        """How many pairs `pairs` looks at."""
        return int(self.counts.sum())

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Candidate pairs (rows, rows) in chunks, every unordered pair at most once."""
        ends = self.counts.cumsum(0)
        done = 0
        while done < len(ends):
            before = int(ends[done - 1]) if done else 0
            upto = int(torch.searchsorted(ends, before + CHUNK, right=True))
            upto = max(upto, done + 1)
            part = slice(done, upto)
            counts = self.counts[part]
            first = self.queries[part].repeat_interleave(counts)
            within = torch.arange(len(first), device=first.device)
            base = self.starts[part] - (ends[part] - counts - before)
            second = self.order[within + base.repeat_interleave(counts)]
            once = self.ranks[first] < self.ranks[second]
            yield first[once], second[once]
            done = upto


def _keys(centers: Tensor, groups: Tensor, level: int) -> Tensor:
    """One number for group, row and column of cells; cells of a row follow each other."""
    cells = (centers / 2.0**level).floor().to(torch.int64) % _REACH + 1
    keys: Tensor = (groups * 2 * _REACH + cells[:, 1]) * 2 * _REACH + cells[:, 0]
    return keys


def _bisect(ascending: Tensor, values: Tensor, *, right: bool) -> Tensor:
    if len(values) > _FEW or values.device.type != "cpu":
        return torch.searchsorted(ascending, values, right=right)
    # Torch wakes all threads for a few hundred values; waiting for them takes longer than the
    # search, and many times longer where other processes keep the cores busy.
    side: Literal["left", "right"] = "right" if right else "left"
    return torch.from_numpy(np.searchsorted(ascending.numpy(), values.numpy(), side=side))
