"""Assignment by rank of similarity to receptive fields (RFLA, Xu et al. 2022, arXiv:2208.08738)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from tinyscope.catalog import Share
from tinyscope.ops.gaussians import Kind
from tinyscope.ops.similar import most_similar, similar
from tinyscope.types import BACKGROUND, IGNORED, Priors


@dataclass(frozen=True)
class HierarchicalAssigner:
    """Every object claims its most similar priors, however small it is; then a second round.

    First each object claims its `first` most similar priors, then its `second` most similar ones
    of all priors shrunk by `shrink`, which keep what they got in the first round. All priors that
    tie with the last are claimed. A prior that several objects claim answers for the last of them
    in the order of the target, so an object in a crowd may end without any. Where there are fewer
    priors than an object may claim it claims all. Priors of similarity 0 are never claimed: by
    `iou` and `kullback_leibler_exp`, which reach it, tiny objects may have none.

    Args:
        first: Priors of an object in the first round.
        second: The same in the second; 0 leaves it out.
        shrink: Factor of the priors' sides in the second round, about their centers.
        distance: What similar means.
        ignore: Priors without an object are ignored if their similarity in the second round to
            any object is at least this. None: they are background, as the paper has it, whose code
            takes 0.8. How many that are is up to the distance, whose scale it does not know.
        inside: Priors whose center is not strictly inside their object become background;
            "published" does so to ignored priors too that are not inside the first object.
        carry: In a batch, the priors of an image are as the image before left them, shrunk once
            more by each that has objects, as in the published FCOS. Its result depends on what
            images stand beside each other.
    """

    first: PositiveInt = 3
    second: NonNegativeInt = 1
    shrink: Annotated[float, Field(gt=0, le=1)] = 0.9
    distance: Kind = "kullback_leibler"
    ignore: Share | None = None
    inside: bool | Literal["published"] = False
    carry: bool = False

    def __call__(self, priors: Priors, boxes: Float[Tensor, "n 4"]) -> Int64[Tensor, "p"]:
        """Rows of `boxes`, BACKGROUND or IGNORED."""
        return self.batch(priors, [boxes])[0]

    def batch(
        self, priors: Priors, boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> list[Int64[Tensor, "p"]]:
        """The same for the objects of each image of a batch."""
        fields = priors.boxes.float()
        if not self.carry:
            return list(self._assign(fields, boxes))
        result = []
        for objects in boxes:
            result.append(self._assign(fields, [objects])[0])
            if len(objects):
                fields = shrunk(fields, self.shrink)
        return result

    def _assign(self, fields: Tensor, boxes: Sequence[Tensor]) -> Int64[Tensor, "b p"]:
        first = claims(fields, boxes, self.first, self.distance)
        smaller = shrunk(fields, self.shrink)
        second = torch.full_like(first, BACKGROUND)
        if self.second:
            second = claims(smaller, boxes, self.second, self.distance)
        if self.ignore is not None:
            like = resembling(smaller, boxes, self.ignore, self.distance)
            second = second.masked_fill((second == BACKGROUND) & like, IGNORED)
        assigned = torch.where(first >= 0, first, second)
        if self.inside:
            outside = [
                _outside(fields, objects, rows, ignored=self.inside == "published")
                for objects, rows in zip(boxes, assigned, strict=True)
            ]
            assigned = assigned.masked_fill(torch.stack(outside), BACKGROUND)
        return assigned


def claims(
    fields: Float[Tensor, "p 4"],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    count: int,
    distance: Kind,
) -> Int64[Tensor, "b p"]:
    """The last object of each image to claim a prior as one of its `count` nearest, else -1."""
    objects, image, row = _joined(boxes)
    pairs = most_similar(objects, fields, count, distance)
    owner = torch.full((len(boxes) * len(fields),), BACKGROUND, device=fields.device)
    place = image[pairs.boxes] * len(fields) + pairs.priors
    owner = owner.scatter_reduce(0, place, row[pairs.boxes], "amax")
    return owner.view(len(boxes), len(fields))


def resembling(
    fields: Float[Tensor, "p 4"],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    floor: float,
    distance: Kind,
) -> Bool[Tensor, "b p"]:
    """Whether the similarity of a prior to any object of an image is at least `floor`."""
    objects, image, _ = _joined(boxes)
    pairs = similar(objects, fields, floor, distance)
    found = torch.zeros(len(boxes), len(fields), dtype=torch.bool, device=fields.device)
    found[image[pairs.boxes], pairs.priors] = True
    return found


def shrunk(boxes: Float[Tensor, "p 4"], factor: float) -> Float[Tensor, "p 4"]:
    """Boxes whose sides are multiplied by `factor`, about their centers."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) * factor / 2
    return torch.cat([centers - half, centers + half], dim=1)


def _joined(boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """All objects of a batch, and the image and the row in it of each."""
    counts = [len(objects) for objects in boxes]
    device = boxes[0].device
    rows = [torch.arange(count, device=device) for count in counts]
    images = torch.arange(len(counts), device=device)
    return (
        torch.cat(list(boxes)),
        images.repeat_interleave(torch.tensor(counts, device=device)),
        torch.cat(rows),
    )


def _outside(fields: Tensor, objects: Tensor, assigned: Tensor, *, ignored: bool) -> Tensor:
    """Which priors (p,) answer for an object that does not hold their center."""
    if not len(objects):
        return torch.zeros_like(assigned, dtype=torch.bool)
    centers = (fields[:, :2] + fields[:, 2:]) / 2
    theirs = objects[assigned.clamp(min=0)]
    inside = ((centers > theirs[:, :2]) & (centers < theirs[:, 2:])).all(dim=1)
    tested = assigned >= 0
    if ignored:
        tested |= assigned == IGNORED
    return tested & ~inside
