"""The sizes that a recipe wants objects to have: drawn from a target, or mapped to its ranks."""

from pathlib import Path
from typing import Literal

from tinyscope.data.scale_match.histogram import BINS, SizeHistogram
from tinyscope.data.scale_match.sampling import SizeMap, monotone_map
from tinyscope.data.scale_match.sizes import object_sizes, read_histogram, read_sizes
from tinyscope.errors import SettingsError
from tinyscope.formats.tables import Annotations

Match = Literal["scale", "monotone"]
"""Whether wanted sizes are drawn anew each time, or are those of equal rank."""


def wanted_sizes(
    target: Path,
    match: Match = "scale",
    *,
    source: Path | None = None,
    split: str = "train",
    bins: int = BINS,
    tails: float | None = None,
    logarithmic: bool = False,
    annotations: Annotations | None = None,
) -> SizeHistogram | SizeMap:
    """What sizes are drawn from (`scale`), or what maps present ones to wanted ones (`monotone`).

    Args:
        target: A COCO file, a data set's folder, or a histogram's file.
        match: How sizes are found.
        source: Of `monotone`, the set whose sizes are ranked; else `annotations`.
        split: Of folders.
        bins, tails, logarithmic: Of the histogram, see `size_histogram`.
        annotations: The set that is trained on.

    Raises:
        SettingsError: `monotone` has no source.
        DataError: A set or a file cannot be read, or holds no sizes.
        ValueError: The source has no objects.
    """
    histogram = read_histogram(target, split, bins=bins, tails=tails, logarithmic=logarithmic)
    if match == "scale":
        return histogram
    if source is not None:
        return monotone_map(read_sizes(source, split), histogram)
    if annotations is None:
        raise SettingsError("source: must be given, monotone ranks the sizes of a data set")
    return monotone_map(object_sizes(annotations), histogram)
