"""How many priors answer for each object, on which levels, and how much they are like it.

What no prior answers for is never learned, whatever is trained afterwards, and how often that is
so, and for which sizes, follows from priors and assigner alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from tinyscope.ops.boxes import box_areas
from tinyscope.ops.gaussians import paired_similarity
from tinyscope.types import BACKGROUND, IGNORED, SIDE_EDGES, Priors

SIZES = ("< 2", "2-8", "8-16", "16-32", ">= 32")
"""Bins of the sides of objects, pixels as they are shown; a border belongs to the larger size."""
COUNTS = ("none", "one", "two", "three or more")
"""Numbers of priors of an object that are told apart."""
MEASURES = ("best IoU", "mean IoU", "best similarity", "mean similarity")
"""How alike an object and its priors are; similarity is that of Gaussians, `kullback_leibler`."""
OUTCOMES = ("positive", "background", "ignored", "elsewhere")
"""What becomes of priors; those `elsewhere` stand where their image takes none."""


@dataclass(frozen=True)
class Answers:
    """The priors of every object of an image: how many per level, and how much alike.

    Columns of `measures` are `MEASURES`; they are nan where no prior answers for an object.
    """

    boxes: Float[Tensor, "n 4"]
    per_level: Int64[Tensor, "n l"]
    measures: Float[Tensor, "n 4"]

    @property
    def counts(self) -> Int64[Tensor, "n"]:
        """Priors of each object, on all levels."""
        return self.per_level.sum(dim=1)

    @property
    def sides(self) -> Float[Tensor, "n"]:
        """Square roots of the areas, pixels."""
        return box_areas(self.boxes).sqrt()


def answers(
    boxes: Float[Tensor, "n 4"], assigned: Int64[Tensor, "p"], priors: Priors, levels: int
) -> Answers:
    """What an assignment gives every object.

    Args:
        boxes: The objects of an image, ignored ones left out.
        assigned: Rows of `boxes`, BACKGROUND or IGNORED.
        priors: Of the image.
        levels: How many there are.
    """
    positive = (assigned >= 0).nonzero()[:, 0]
    rows, count = assigned[positive], len(boxes)
    place = rows * levels + priors.levels[positive]
    per_level = torch.bincount(place, minlength=count * levels).view(count, levels)
    theirs, own = priors.boxes[positive], boxes[rows]
    total = per_level.sum(dim=1)
    measures = []
    for kind in ("iou", "kullback_leibler"):
        values = paired_similarity(own, theirs, kind)
        best = values.new_full((count,), torch.nan)
        best = best.scatter_reduce(0, rows, values, "amax", include_self=False)
        # 0 / 0 is nan, which is meant.
        measures += [best, values.new_zeros(count).index_add(0, rows, values) / total]
    return Answers(boxes, per_level, torch.stack(measures, dim=1))


@dataclass(frozen=True)
class Tally:
    """Counts over any number of images, in memory that does not grow with it.

    Rows of all but the last are `SIZES`. `objects` has a column for each of `COUNTS`, `positives`
    one for each level; `measures` are sums over the objects that have a prior. `priors` counts
    those of all images by `OUTCOMES`.
    """

    objects: Int64[ndarray, "5 4"]
    positives: Int64[ndarray, "5 l"]
    measures: Float64[ndarray, "5 4"]
    priors: Int64[ndarray, "4"]

    @classmethod
    def empty(cls, levels: int) -> "Tally":
        bins = len(SIZES)
        return cls(
            np.zeros((bins, len(COUNTS)), dtype=np.int64),
            np.zeros((bins, levels), dtype=np.int64),
            np.zeros((bins, len(MEASURES))),
            np.zeros(len(OUTCOMES), dtype=np.int64),
        )

    @classmethod
    def of(
        cls,
        found: Answers,
        assigned: Int64[Tensor, "p"],
        taking_part: Bool[Tensor, "p"] | None = None,
    ) -> "Tally":
        """Of one image.

        Args:
            found: What its objects have.
            assigned: What its priors answer for.
            taking_part: The priors that it has; None means all.
        """
        tally = cls.empty(found.per_level.shape[1])
        size = np.digitize(found.sides.numpy(), SIDE_EDGES)
        few = found.counts.clamp(max=len(COUNTS) - 1).numpy()
        np.add.at(tally.objects, (size, few), 1)
        np.add.at(tally.positives, size, found.per_level.numpy())
        np.add.at(tally.measures, size, found.measures.double().nan_to_num().numpy())
        here = torch.ones_like(assigned, dtype=torch.bool) if taking_part is None else taking_part
        kinds = [assigned >= 0, assigned == BACKGROUND, (assigned == IGNORED) & here, ~here]
        tally.priors[:] = [int(kind.sum()) for kind in kinds]
        return tally

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.objects + other.objects,
            self.positives + other.positives,
            self.measures + other.measures,
            self.priors + other.priors,
        )

    @property
    def counts(self) -> dict[str, int]:
        """Objects by size, and of "all" sizes first."""
        return {size: int(row.sum()) for size, row in _with_all(self.objects).items()}

    @property
    def shares(self) -> dict[str, dict[str, float] | None]:
        """Share of the objects of a size by `COUNTS`; None where there are none."""
        return {
            size: dict(zip(COUNTS, (row / row.sum()).tolist(), strict=True)) if row.any() else None
            for size, row in _with_all(self.objects).items()
        }

    @property
    def priors_per_object(self) -> dict[str, float | None]:
        """Mean by size; None where there is no object."""
        positives = _with_all(self.positives)
        return {
            size: float(positives[size].sum()) / count if count else None
            for size, count in self.counts.items()
        }

    @property
    def likeness(self) -> dict[str, dict[str, float] | None]:
        """Means of `MEASURES` by size, over the objects that have a prior; None without any."""
        sums, objects = _with_all(self.measures), _with_all(self.objects)
        having = {size: int(row[1:].sum()) for size, row in objects.items()}
        return {
            size: dict(zip(MEASURES, (sums[size] / n).tolist(), strict=True)) if n else None
            for size, n in having.items()
        }

    @property
    def per_level(self) -> tuple[int, ...]:
        """Positives of every level, fine to coarse."""
        return tuple(self.positives.sum(axis=0).tolist())


def _with_all(table: ndarray) -> dict[str, ndarray]:
    """Rows by size, and their sum first."""
    return {"all": table.sum(axis=0), **dict(zip(SIZES, table, strict=True))}
