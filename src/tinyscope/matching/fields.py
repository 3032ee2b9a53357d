"""Squares of the size that a cell of a level looks at, as priors (RFLA, arXiv:2208.08738)."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveFloat

from tinyscope.errors import SettingsError
from tinyscope.matching.priors import equal_area, grid
from tinyscope.types import Priors, Size

PUBLISHED = {4: 35.0, 8: 91.0, 16: 267.0, 32: 427.0, 64: 555.0, 128: 811.0}
"""Theoretical receptive fields that the paper's code takes for every network, pixels by stride.

Those of ResNet-50; its pyramid's convolutions count nothing, and the added levels, 64 and 128, add
twice the stride that they lead to.
"""


class ReceptiveFields:
    """At every cell of every level the part of the image that its value mostly comes from.

    What a cell depends on at all, its theoretical receptive field, follows from the kernels on the
    way to it; most of its value comes from the middle of that, the effective field.

    Args:
        strides: Of the levels, pixels; supplied by the neck.
        fields: Sides of the theoretical fields of the levels, pixels; supplied by backbone and
            neck, None where one of them does not know its kernels.
        receptive_fields: The same by hand, a number per level or None for what the network says;
            or "network" for all, or "published" for the constants of the paper's code.
        fraction: Side of the effective field in that of the theoretical one.
        ratios: Height over width, at constant area; one prior per cell for each.
        offset: Where a cell's priors are centered, in strides from its upper left corner.

    Raises:
        SettingsError: `receptive_fields` has another number of levels than the neck, or a level
            has no field.
    """

    def __init__(
        self,
        strides: Sequence[int],
        fields: Sequence[int] | None = None,
        *,
        receptive_fields: Literal["network", "published"]
        | tuple[PositiveFloat | None, ...] = "network",
        fraction: PositiveFloat = 0.5,
        ratios: tuple[PositiveFloat, ...] = (1.0,),
        offset: float = 0.5,
    ) -> None:
        self.strides, self.offset = tuple(strides), offset
        self.per_cell = len(ratios)
        self.fields = _fields(self.strides, fields, receptive_fields)
        self._cells = tuple(
            tuple(equal_area(fraction * field, ratio, stride) for ratio in ratios)
            for stride, field in zip(self.strides, self.fields, strict=True)
        )

    def __call__(self, sizes: Sequence[Size], device: torch.device) -> Priors:
        """Priors of levels of `sizes` (cells), fine to coarse; of a cell in order of `ratios`."""
        return grid(tuple(sizes), self.strides, self._cells, self.offset, device)


def _fields(
    strides: tuple[int, ...],
    network: Sequence[int] | None,
    chosen: str | tuple[float | None, ...],
) -> tuple[float, ...]:
    """Sides of the theoretical field of every level, pixels."""
    if chosen == "published":
        if missing := [stride for stride in strides if stride not in PUBLISHED]:
            raise SettingsError(
                f"receptive_fields published: there is none for the strides {missing} of the "
                f"neck's {strides}, only for {tuple(PUBLISHED)}; give a list of numbers"
            )
        return tuple(PUBLISHED[stride] for stride in strides)
    levels: tuple[float | None, ...] = (None,) * len(strides) if isinstance(chosen, str) else chosen
    if len(levels) != len(strides):
        raise SettingsError(
            f"receptive_fields {levels} has {len(levels)} levels, the neck has {len(strides)}, "
            f"of strides {strides}; give as many numbers"
        )
    fields = [
        theirs if ours is None else ours
        for ours, theirs in zip(levels, network or levels, strict=True)
    ]
    if unknown := [s for s, field in zip(strides, fields, strict=True) if field is None]:
        raise SettingsError(
            f"receptive_fields: no field is known of the strides {unknown}, since backbone or neck "
            f"does not say its kernels; give a number for each of the neck's {strides}"
        )
    return tuple(float(field) for field in fields if field is not None)
