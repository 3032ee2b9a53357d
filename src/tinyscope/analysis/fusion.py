"""How much of a coarse level a finer one takes: factors of the pyramid from data and anchors.

Gong et al. 2021, "Effective Fusion Factor in FPN for Tiny Object Detection", arXiv:2011.02298
(S-alpha). Where nearly all objects lie on the finest level, what the coarse ones learn of the few
others does little good to it, and less of it is added.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinyscope.evaluation.table import aligned
from tinyscope.ops.boxes import overlaps
from tinyscope.types import Priors

LEAST, MOST = 0.2, 2.0
"""Factors beyond are taken for these, as published."""
DIGITS = 3
PAIRS = 1 << 22
"""Overlaps held at once; more objects are taken in turns."""


def best_anchors_per_level(
    priors: Priors, boxes: Float[Tensor, "n 4"], levels: int
) -> Int64[Tensor, "l"]:
    """How many anchors of each level are the best one of an object.

    The best overlaps the object most, over all levels and however little; of equal ones it is the
    first. An anchor that is the best of several objects counts once. Overlap is that of exclusive
    coordinates; published code, which counts the last pixel in, comes to the same for boxes and
    anchors that end one pixel earlier.

    Args:
        priors: Anchors of one image, all levels.
        boxes: Its objects, xyxy in pixels.
        levels: How many there are.

    Returns:
        Counts (levels,), fine to coarse.
    """
    best = torch.zeros(len(priors), dtype=torch.bool)
    for part in torch.split(boxes, max(1, PAIRS // max(1, len(priors)))):
        if len(part) and len(priors):
            most, row = overlaps(part, priors.boxes).max(dim=1)
            best[row[most > 0]] = True
    return torch.bincount(priors.levels[best], minlength=levels)


def fusion_factors(
    counts: Sequence[int], taking_part: int, *, least: float = LEAST, most: float = MOST
) -> tuple[float, ...]:
    """The factor of every addition of a pyramid.

    Args:
        counts: Of best anchors, of the levels that come out, fine to coarse.
        taking_part: Levels of the backbone that take part. Those that are added behind them count
            with the coarsest of them; nothing is known of one that does not come out.
        least: Factors below are taken for this.
        most: Factors above are taken for this.

    Returns:
        Anchors of the coarser level over those of the finer, fine to coarse, three digits; 1 where
        both have none, or where the coarser does not come out.
    """
    last = taking_part - 1
    known = [*counts[:last], sum(counts[last:])] if len(counts) > last else list(counts)
    factors = [_factor(known[i + 1], known[i], least, most) for i in range(len(known) - 1)]
    return (*factors, *[1.0] * (last - len(factors)))


def _factor(coarse: int, fine: int, least: float, most: float) -> float:
    if not coarse and not fine:
        return 1.0
    ratio = coarse / fine if fine else most
    return round(min(max(ratio, least), most), DIGITS)


@dataclass(frozen=True)
class FusionReport:
    """Factors of a recipe's pyramid, and what they were made from.

    `counts` are the best anchors of each level that comes out, over `samples` images or windows
    with `objects` objects. `model` is where the detector's settings stand in the recipe.
    """

    recipe: str
    strides: tuple[int, ...]
    counts: tuple[int, ...]
    factors: tuple[float, ...]
    samples: int
    objects: int
    model: str = "model"

    @property
    def setting(self) -> str:
        """The override that sets them."""
        return f"{self.model}.neck.fusion=[{', '.join(f'{f:g}' for f in self.factors)}]"

    @property
    def table(self) -> str:
        """For a terminal."""
        total = max(1, sum(self.counts))
        rows = [["stride", "best anchors", "%", "taken from the next level"]]
        factors = [f"{f:g}" for f in self.factors]
        factors += [""] * (len(self.strides) - len(factors))
        for stride, count, factor in zip(self.strides, self.counts, factors, strict=False):
            rows.append([str(stride), str(count), f"{100 * count / total:.1f}", factor])
        return "\n\n".join(
            [
                f"{self.recipe}: {self.objects} objects in {self.samples} samples",
                aligned(rows),
                f"--set '{self.setting}'",
            ]
        )

    def to_json(self) -> str:
        """The same numbers for a program; factors fine to coarse."""
        return json.dumps(
            {
                "recipe": self.recipe,
                "samples": self.samples,
                "objects": self.objects,
                "strides": self.strides,
                "counts": self.counts,
                "fusion": self.factors,
                "setting": self.setting,
            },
            indent=2,
        )
