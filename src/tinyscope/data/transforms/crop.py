"""A random part of the sample that holds an object."""

from dataclasses import dataclass

import numpy as np

from tinyscope.data.checks import check_share
from tinyscope.data.cut import Cut, CutRule, cut_out
from tinyscope.data.windows.aim import aimed_frame, free_frame
from tinyscope.types import Sample


@dataclass(frozen=True)
class Crop:
    """Cuts out a square that holds one of the objects, all as likely, at a random place.

    A sample without objects is cut anywhere; one that is smaller stays as it is.

    Args:
        size: Side of the square in pixels.
        probability: Of cutting at all.
        cut, min_visible, min_side: See `CutRule`.
    """

    size: int = 256
    probability: float = 1.0
    cut: Cut = "clip"
    min_visible: float | None = None
    min_side: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be a positive number of pixels, got {self.size}")
        check_share("probability", self.probability)
        _ = self.rule

    @property
    def rule(self) -> CutRule:
        return CutRule(self.cut, self.min_visible, self.min_side)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= self.probability:
            return sample
        boxes = sample.target.boxes[~sample.target.ignore]
        if len(boxes):
            box = boxes[int(random.integers(len(boxes)))].numpy()
            frame = aimed_frame(random, box, (self.size, self.size), sample.size)
        else:
            frame = free_frame(random, (self.size, self.size), sample.size)
        return cut_out(sample, frame, self.rule)
