"""Images whose objects become as large as those of another data set."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt
from torchvision.transforms.v2.functional import resize

from tinyscope.catalog import Share
from tinyscope.data.cut import clip
from tinyscope.data.resize import resized_target, scaled_size
from tinyscope.data.scale_match.factor import (
    Factor,
    FactorRule,
    Outcome,
    factor_for,
    keep_ratio_size,
)
from tinyscope.data.scale_match.histogram import BINS, SizeHistogram
from tinyscope.data.scale_match.sampling import Draw, SizeMap
from tinyscope.data.scale_match.wanted import Match, wanted_sizes
from tinyscope.formats.tables import Annotations
from tinyscope.types import Dropped, Sample, Size, Target


@dataclass(frozen=True)
class ScaleMatch:
    """Resizes an image by one factor, so that the mean size of its objects is as wanted.

    Args:
        sizes: Where wanted sizes are drawn from, or what maps present ones to them.
        rule: Which factors are allowed.
        small: What objects become that are less than 1 px wide or high afterwards: regions that
            are ignored, or background. Either is counted.
        keep_ratio: Whether the size is rounded once more as mmdetection does.
        antialias: Whether every pixel of the image counts when it shrinks.
    """

    sizes: SizeHistogram | SizeMap
    rule: FactorRule = field(default_factory=FactorRule)
    small: Literal["ignore", "drop"] = "ignore"
    keep_ratio: bool = False
    antialias: bool = True

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        size, _ = self.new_size(sample.size, sample.target, random.random)
        target, dropped = self.new_target(sample.target, sample.size, size)
        image = sample.image
        if size != sample.size:
            image = resize(image, list(size), antialias=self.antialias)
        return replace(sample, image=image, target=target, dropped=sample.dropped + dropped)

    def new_size(self, size: Size, target: Target, draw: Draw) -> tuple[Size, Outcome]:
        """The size that an image of `size` is given, and why."""
        factor: Factor = factor_for(target.boxes[~target.ignore], self.sizes, self.rule, draw)
        wanted = scaled_size(size, factor.value)
        return keep_ratio_size(size, wanted) if self.keep_ratio else wanted, factor.outcome

    def new_target(self, target: Target, before: Size, after: Size) -> tuple[Target, Dropped]:
        """The target after resizing, clipped to the image, and the objects that it lost."""
        inside = replace(target, boxes=clip(target.boxes, before))
        if self.small == "ignore":
            return resized_target(inside, before, after)
        changed, _ = resized_target(inside, before, after, min_side=0.0)
        gone = (changed.boxes[:, 2:] - changed.boxes[:, :2] < 1).any(dim=1)
        reason = "smaller than 1 px after resizing: now background"
        return changed[~gone], Dropped.of(reason, inside.boxes[gone & ~target.ignore])


def scale_match(
    target: Path,
    match: Match = "scale",
    source: Path | None = None,
    split: str = "train",
    bins: PositiveInt = BINS,
    tails: Share | None = None,
    logarithmic: bool = False,
    scale_range: tuple[float, float] = (0.1, 1.0),
    default_scale: float = 0.25,
    outside: Literal["clip", "default"] = "clip",
    inclusive: bool = False,
    small: Literal["ignore", "drop"] = "ignore",
    keep_ratio: bool = False,
    antialias: bool = True,
    annotations: Annotations | None = None,
) -> ScaleMatch:
    """Scale Match and Monotone Scale Match.

    Args:
        target: Whose sizes are wanted: a COCO file, a data set's folder, or a histogram's file.
        match: `scale` draws the wanted size anew each time an image is shown; `monotone` maps the
            image's own size to the one of equal rank.
        source, split, bins, tails, logarithmic: See `wanted_sizes`.
        scale_range, default_scale, outside, inclusive: See `FactorRule`.
        small, keep_ratio, antialias: See `ScaleMatch`.
        annotations: What is trained on.

    Raises:
        SettingsError: `monotone` has no source.
        DataError: A set or a file cannot be read, or holds no sizes.

    Source: Yu et al. 2020, arXiv:1912.10664.
    """
    rule = FactorRule(*scale_range, default_scale, outside, inclusive)  # refuses before reading
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
    return ScaleMatch(sizes, rule, small, keep_ratio, antialias)
