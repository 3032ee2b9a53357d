"""What a source of windows promises, and how a sample is seen through one."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tinyscope.data.cut import CutRule, Frame, cut_out
from tinyscope.data.resize import resized
from tinyscope.formats.tables import Annotations
from tinyscope.types import Sample, Size


@dataclass(frozen=True)
class Window:
    """A part of the image at position `image` of the annotations, shown at `size`."""

    image: int
    frame: Frame
    size: Size


@runtime_checkable
class WindowPlan(Protocol):
    """The windows of all epochs; `position` counts samples from the start of the first one."""

    def __len__(self) -> int:
        """Samples per epoch."""
        ...

    def __getitem__(self, position: int) -> Window: ...


@runtime_checkable
class WindowSource(Protocol):
    """Lays windows over a data set; what it holds are options."""

    @property
    def rule(self) -> CutRule: ...

    def __call__(self, annotations: Annotations, seed: int) -> WindowPlan: ...


def look_through(sample: Sample, window: Window, rule: CutRule) -> Sample:
    """The part of a whole image that the window shows, at the window's size."""
    return resized(cut_out(sample, window.frame, rule), window.size, rule.min_side)
