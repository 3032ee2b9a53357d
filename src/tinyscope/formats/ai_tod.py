"""AI-TOD and AI-TOD-v2: COCO JSON, 800 px images from above, eight classes.

Wang et al. 2021 (ICPR, "Tiny Object Detection in Aerial Images") and Xu et al. 2022
(arXiv:2206.13996), who annotated the same images anew. The files go by several names; those that
the authors' tools and configurations use are known.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyscope.catalog import nearest
from tinyscope.errors import DataError
from tinyscope.formats import coco
from tinyscope.formats.tables import Annotations

Version = Literal[1, 2]
"""1 is AI-TOD, 2 is AI-TOD-v2."""

NAMES = (
    "airplane",
    "bridge",
    "storage-tank",
    "ship",
    "swimming-pool",
    "vehicle",
    "person",
    "wind-mill",
)
SPLITS = ("train", "val", "trainval", "test")

_FILES: dict[Version, tuple[str, ...]] = {
    1: ("aitod_{split}_v1.json", "aitod_{split}_v1_1.0.json", "small_{split}_v1_1.0.json"),
    2: ("aitodv2_{split}.json", "aitod_{split}_v2_2.0.json", "small_{split}_v2_2.0.json"),
}
_ANNOTATIONS = ("annotations", "")
_IMAGES = ("{split}/images", "images/{split}", "{split}")
_ABOVE = ("", "aitod")


def find_annotations(folder: Path, split: str, version: Version) -> Path:
    """The file of a split.

    Raises:
        DataError: There is none, or no split of that name.
    """
    if split not in SPLITS:
        raise DataError(
            f"AI-TOD: no split {split!r}{nearest(split, SPLITS)} (there are {', '.join(SPLITS)})"
        )
    places = [
        Path(above, inner, name.format(split=split))
        for above in _ABOVE
        for inner in _ANNOTATIONS
        for name in _FILES[version]
    ]
    return _first(folder, places, split, f"annotations of version {version}", "annotations")


def find_images(folder: Path, split: str) -> Path:
    """The folder that the file names of a split start from.

    Raises:
        DataError: There is none.
    """
    places = [Path(above, name.format(split=split)) for above in _ABOVE for name in _IMAGES]
    return _first(folder, places, split, "images", "images")


def read_annotations(file: Path, images: Path) -> Annotations:
    """A file of either version; labels count in the order of its categories, as published.

    Raises:
        DataError: The file is malformed, or has other categories than the eight.
    """
    read = coco.read_annotations(file, images)
    if set(read.names) != set(NAMES):
        raise DataError(
            f"{file}: has the categories {', '.join(read.names)}, those of AI-TOD are "
            f"{', '.join(NAMES)}; correct it, or read the file as a COCO data set"
        )
    return read


def without_smaller(annotations: Annotations, least: float) -> Annotations:
    """Without the rows of which a side is below `least` pixels; they become background."""
    sides = annotations.boxes[:, 2:] - annotations.boxes[:, :2]
    small: NDArray[np.bool_] = sides.min(axis=1, initial=np.inf) < least
    if not small.any():
        return annotations
    note = f"{int(small.sum())} rows with a side below {least:g} px are left out"
    return annotations.keep(~small).noted(note)


def _first(folder: Path, places: list[Path], split: str, what: str, option: str) -> Path:
    found = next((folder / place for place in places if (folder / place).exists()), None)
    if found is None:
        raise DataError(
            f"AI-TOD: no {what} of split {split} in {folder}; looked for "
            f"{', '.join(place.as_posix() for place in places)}; give the folder that holds them, "
            f"or name them with the option {option}"
        )
    return found
