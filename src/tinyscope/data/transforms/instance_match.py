"""Objects that are made as large as those of another data set, one by one.

Scale Match at the level of instances has been published as SM+ (Jiang et al. 2021, ICASSP), without
code and without the details that would allow to repeat it. This is a design of our own with the
published steps: separate the objects, resize each, repair the background, put them together.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.data.scale_match.factor import FactorRule, factor_for
from tinyscope.data.scale_match.fill import filled
from tinyscope.data.scale_match.histogram import BINS, SizeHistogram
from tinyscope.data.scale_match.instances import Move, plan_move, put_back
from tinyscope.data.scale_match.sampling import SizeMap
from tinyscope.data.scale_match.wanted import Match, wanted_sizes
from tinyscope.data.transforms.values import to_bytes
from tinyscope.formats.tables import Annotations
from tinyscope.types import Sample, Size


@dataclass(frozen=True)
class InstanceMatch:
    """Gives every object that stands alone a size of its own, where it is.

    An object stays as it is when its window, before or after, would touch another object or an
    ignored region, when it reaches out of the image, or would be less than 1 px wide or high. One
    whose size would be out of the range takes the range's end, or, where `rule` does not clip,
    stays as it is too.

    Args:
        sizes: Where wanted sizes are drawn from, or what maps present ones to them.
        rule: Which factors are allowed; its default is that of objects left as they are.
        border: Share of an object's side that fades into the background, at least 1 px.
    """

    sizes: SizeHistogram | SizeMap
    rule: FactorRule = field(default_factory=lambda: FactorRule(0.5, 2.0, 1.0))
    border: float = 0.25

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        moves, boxes = self._moves(sample, random)
        if not moves:
            return sample
        image = sample.image
        result = _background(image, moves, random)
        # The largest first, so that none covers a smaller one's fading border.
        for move in sorted(moves, key=lambda move: -float(_side(move.moved))):
            left, top, right, bottom = move.new
            result[:, top:bottom, left:right] = to_bytes(put_back(image, result, move))
        return replace(sample, image=result, target=replace(sample.target, boxes=boxes))

    def _moves(
        self, sample: Sample, random: np.random.Generator
    ) -> tuple[list[Move], Float[Tensor, "n 4"]]:
        """What is moved, and all boxes afterwards."""
        target = sample.target
        boxes = target.boxes.clone()
        moves: list[Move] = []
        # One by one, since where one may grow depends on how far its neighbors have grown.
        for row in torch.nonzero(~target.ignore).flatten().tolist():
            box = target.boxes[row]
            factor = factor_for(box[None], self.sizes, self.rule, random.random).value
            if _reaches_out(box, sample.size):
                continue
            border = max(1.0, self.border * float(_side(box)))
            move = plan_move(box, factor, border, sample.size)
            others = torch.cat([boxes[:row], boxes[row + 1 :]])
            reaches = [other.reach for other in moves]
            nearby = torch.stack([*others, *reaches]) if len(others) else others
            if move.new == move.old or _touches(move.reach, nearby):
                continue
            moves.append(move)
            boxes[row] = move.moved
        return moves, boxes


def instance_match(
    target: Path,
    match: Match = "scale",
    source: Path | None = None,
    split: str = "train",
    bins: PositiveInt = BINS,
    tails: Share | None = None,
    logarithmic: bool = False,
    scale_range: tuple[float, float] = (0.5, 2.0),
    outside: Literal["clip", "default"] = "clip",
    border: PositiveFloat = 0.25,
    annotations: Annotations | None = None,
) -> InstanceMatch:
    """Resizes objects one by one; not a reproduction of SM+.

    Args:
        target, match, source, split, bins, tails, logarithmic: See `wanted_sizes`.
        scale_range: Smallest and largest factor of an object's sides.
        outside: What becomes of an object whose factor is out of this range: `clip` gives it the
            end that it crossed, `default` leaves it as it is.
        border: See `InstanceMatch`.
        annotations: What is trained on.

    Raises:
        SettingsError: `monotone` has no source.
        DataError: A set or a file cannot be read, or holds no sizes.
    """
    rule = FactorRule(*scale_range, 1.0, outside)  # refuses before files are read
    sizes = wanted_sizes(
        target,
        match,
        source=source,
        split=split,
        bins=bins,
        tails=tails,
        logarithmic=logarithmic,
        annotations=annotations,
    )
    return InstanceMatch(sizes, rule, border)


def _background(
    image: UInt8[Tensor, "3 h w"], moves: list[Move], random: np.random.Generator
) -> UInt8[Tensor, "3 h w"]:
    """A copy of the image without the objects that are moved."""
    height, width = image.shape[-2:]
    holes = torch.zeros(height, width, dtype=torch.bool)
    for move in moves:
        x1, y1, x2, y2 = move.old
        holes[y1:y2, x1:x2] = True
    result = image.clone(memory_format=torch.contiguous_format)
    for move in moves:
        x1, y1, x2, y2 = move.old
        rim = 2  # pixels around the hole that the filling has to agree with
        frame = (max(0, x1 - rim), max(0, y1 - rim), min(width, x2 + rim), min(height, y2 + rim))
        patch = to_bytes(filled(image, holes, frame, random))
        result[:, y1:y2, x1:x2] = patch[
            :, y1 - frame[1] : y2 - frame[1], x1 - frame[0] : x2 - frame[0]
        ]
    return result


def _reaches_out(box: Float[Tensor, "4"], size: Size) -> bool:
    height, width = size
    return bool((box < 0).any() or box[2] > width or box[3] > height)


def _touches(box: Float[Tensor, "4"], others: Float[Tensor, "n 4"]) -> bool:
    apart = (others[:, :2] >= box[2:]) | (others[:, 2:] <= box[:2])
    return bool((~apart.any(dim=1)).any())


def _side(box: Float[Tensor, "4"]) -> Float[Tensor, ""]:
    return (box[2:] - box[:2]).prod().sqrt()
