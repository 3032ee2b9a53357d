"""What a rule of merging says of itself."""

from typing import Protocol

from tinyscope.tiling.found import Found
from tinyscope.types import Detections


class MergeRule(Protocol):
    """Makes what was found in the windows of an image that of the image."""

    @property
    def undecided(self) -> bool:
        """Whether it wants what detectors found in a window before any suppression."""

    @property
    def within_windows(self) -> bool:
        """Whether it judges detections of one window too; else one alone needs no merging."""

    def __call__(self, found: Found) -> Detections:
        """What was found in the image."""
