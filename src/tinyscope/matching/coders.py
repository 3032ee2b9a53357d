"""What a head predicts relative to a prior, turned into boxes and back."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional

from tinyscope.types import Priors

_LONGEST = math.log(1000.0)
"""Log of the largest distance that is predicted, in units of the coder."""


@dataclass(frozen=True)
class DeltaCoder:
    """Shift of the center in sides of the prior, and log of the sides (arXiv:1311.2524).

    Args:
        stds: What the four deltas are divided by, so that they have about unit variance.
        max_ratio: Sides are predicted at most this many times larger or smaller.
        encoding_shrink: Boxes are encoded relative to priors whose sides are multiplied by this,
            but decoded relative to the whole ones. RFLA's published proposals learned at 0.9, so
            they are a ninth too large where they are perfect.
    """

    stds: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0, 1.0)
    max_ratio: Annotated[float, Field(gt=1)] = 1000 / 16
    encoding_shrink: PositiveFloat = 1.0

    def encode(self, priors: Priors, boxes: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
        center, sides = _center_sides(priors.boxes)
        sides = self.encoding_shrink * sides
        box_center, box_sides = _center_sides(boxes)
        deltas = torch.cat([(box_center - center) / sides, (box_sides / sides).log()], dim=1)
        return deltas / deltas.new_tensor(self.stds)

    def decode(self, priors: Priors, deltas: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
        center, sides = _center_sides(priors.boxes)
        deltas = deltas * deltas.new_tensor(self.stds)
        limit = math.log(self.max_ratio)
        center = center + deltas[:, :2] * sides
        half = sides * deltas[:, 2:].clamp(-limit, limit).exp() / 2
        return torch.cat([center - half, center + half], dim=1)


@dataclass(frozen=True)
class DistanceCoder:
    """Distances from the prior's center to the four sides, in strides (FCOS, arXiv:1904.01355).

    Args:
        activation: Makes raw predictions non-negative; "none" allows boxes that do not hold
            their point, as the smallest objects may lie between points.
    """

    activation: Literal["relu", "exp", "none"] = "relu"

    def encode(self, priors: Priors, boxes: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
        """Distances in strides; not through the activation, which has no inverse below 0."""
        centers = priors.centers
        distances = torch.cat([centers - boxes[:, :2], boxes[:, 2:] - centers], dim=1)
        return distances / priors.strides[:, None]

    def decode(self, priors: Priors, deltas: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
        if self.activation == "relu":
            deltas = functional.relu(deltas)
        elif self.activation == "exp":
            deltas = deltas.clamp(max=_LONGEST).exp()
        distances = deltas * priors.strides[:, None]
        centers = priors.centers
        return torch.cat([centers - distances[:, :2], centers + distances[:, 2:]], dim=1)


@dataclass(frozen=True)
class FoveaCoder:
    """Log of the distances from the prior's center to the four sides (Fovea, arXiv:1904.03797).

    Args:
        edge: Distance whose log is 0, in strides.
        max_ratio: Distances of targets lie between edge / max_ratio and edge * max_ratio, so that
            an object whose side passes through the center, or that does not hold it, has them too.
    """

    edge: PositiveFloat = 2.0
    max_ratio: Annotated[float, Field(gt=1)] = 16.0

    def encode(self, priors: Priors, boxes: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
        centers = priors.centers
        distances = torch.cat([centers - boxes[:, :2], boxes[:, 2:] - centers], dim=1)
        ratios = distances / (self.edge * priors.strides[:, None])
        return ratios.clamp(1 / self.max_ratio, self.max_ratio).log()

    def decode(self, priors: Priors, deltas: Float[Tensor, "p 4"]) -> Float[Tensor, "p 4"]:
        """Not bound by `max_ratio`: a prediction may lie beyond all targets."""
        distances = deltas.clamp(max=_LONGEST).exp() * (self.edge * priors.strides[:, None])
        centers = priors.centers
        return torch.cat([centers - distances[:, :2], centers + distances[:, 2:]], dim=1)


def _center_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
