"""By which factor an image is resized so that its objects have the size they shall have."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from tinyscope.data.scale_match.histogram import SizeHistogram
from tinyscope.data.scale_match.sampling import Draw, SizeMap, drawn_size
from tinyscope.types import Size

Outcome = Literal["matched", "clipped", "out of range", "too small", "no objects"]
"""Why a factor is what it is: as the sizes want it, moved to the end of the range, or the default
one because it lay out of the range, because every object would vanish, or without objects."""

DRAWS = 5
"""How often a size is drawn until the factor lies in the range (published)."""


class Factor(NamedTuple):
    """What height and width of an image are multiplied by, and why."""

    value: float
    outcome: Outcome


@dataclass(frozen=True)
class FactorRule:
    """Which factors are allowed.

    Args:
        smallest, largest: Range of the factor.
        default: Factor of images that cannot be matched.
        outside: What becomes of a factor out of the range: `clip` takes the end that it crossed,
            `default` the default one.
        inclusive: Whether width and height of a box count one pixel more when the size of an
            image's objects is taken, as in the published code (the histogram's do not even there).
    """

    smallest: float = 0.1
    largest: float = 1.0
    default: float = 0.25
    outside: Literal["clip", "default"] = "clip"
    inclusive: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.smallest <= self.largest or not self.largest > 0:
            raise ValueError(
                "scale_range must be (smallest, largest) with 0 <= smallest <= largest and "
                f"largest above 0, got ({self.smallest}, {self.largest})"
            )
        if not self.default > 0:
            raise ValueError(f"default_scale must be positive, got {self.default}")


def factor_for(
    boxes: Float[Tensor, "n 4"], sizes: SizeHistogram | SizeMap, rule: FactorRule, draw: Draw
) -> Factor:
    """The factor for an image with these objects.

    Args:
        boxes: xyxy, pixels of the image; without ignored regions.
        sizes: Where the size that the objects shall have is drawn from, or what maps theirs to it.
        rule: Which factors are allowed.
        draw: Gives random numbers.
    """
    mean = mean_size(boxes, rule.inclusive)
    if mean is None:
        return Factor(rule.default, "no objects")
    if isinstance(sizes, SizeMap):
        factor = _mapped(mean, sizes, rule)
    else:
        factor = _drawn(mean, sizes, rule, draw)
    # Inclusive sides of 2 px in the published code, which are sides of 1 px here.
    sides = (boxes[:, 2:] - boxes[:, :2]).double() * factor.value
    if not (sides >= 1).all(dim=1).any():
        return Factor(rule.default, "too small")
    return factor


def mean_size(boxes: Float[Tensor, "n 4"], inclusive: bool = False) -> float | None:
    """Geometric mean of the sizes of boxes, pixels; None where no box has a size.

    Args:
        boxes: xyxy, pixels.
        inclusive: Whether widths and heights count one pixel more.
    """
    areas = (boxes[:, 2:] - boxes[:, :2] + int(inclusive)).double().prod(dim=1).numpy()
    areas = areas[areas > 0]
    return float(np.exp(np.log(areas).mean() / 2)) if len(areas) else None


def keep_ratio_size(size: Size, wanted: Size) -> Size:
    """The size of equal ratio that fits into the wanted one, rounded as mmdetection does.

    It may be a pixel off the wanted size on either axis.
    """
    factor = min(max(wanted) / max(size), min(wanted) / min(size))
    return max(1, int(size[0] * factor + 0.5)), max(1, int(size[1] * factor + 0.5))


def _mapped(mean: float, sizes: SizeMap, rule: FactorRule) -> Factor:
    value = float(sizes(np.array([mean]))[0]) / mean
    if rule.smallest <= value <= rule.largest:
        return Factor(value, "matched")
    return _out_of_range(value, rule)


def _drawn(mean: float, histogram: SizeHistogram, rule: FactorRule, draw: Draw) -> Factor:
    for _ in range(DRAWS):
        value = drawn_size(histogram, draw) / mean
        if rule.smallest < value < rule.largest:
            return Factor(value, "matched")
    return _out_of_range(value, rule)


def _out_of_range(value: float, rule: FactorRule) -> Factor:
    if rule.outside == "default":
        return Factor(rule.default, "out of range")
    return Factor(min(max(value, rule.smallest), rule.largest), "clipped")
