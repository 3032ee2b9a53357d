"""Tiny CityPersons: COCO JSON with the height and the visible share of pedestrians.

Published with the TinyPerson benchmark (Yu et al., WACV 2020, arXiv:1912.10664): the images and
annotations of CityPersons (arXiv:1702.05693) shrunk to a quarter of their sides.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyscope.errors import DataError
from tinyscope.formats import coco
from tinyscope.formats.tables import Annotations

NAME = "pedestrian"
_PEDESTRIANS = ("pedestrian", "person")

_ABOVE = ("", "tiny", "cityscapes/tiny")
# Spelt as the published folder is.
_ANNOTATIONS = (
    "perdestrian_annotations/citypersons_all_{split}.json",
    "annotations/citypersons_all_{split}.json",
)
_IMAGES = ("leftImg8bit_trainvaltest/leftImg8bit/{split}", "leftImg8bit/{split}")


def find_annotations(folder: Path, split: str) -> Path:
    """The file of a split.

    Raises:
        DataError: There is none.
    """
    return _find(folder, split, _ANNOTATIONS, "annotations")


def find_images(folder: Path, split: str) -> Path:
    """The folder that the file names of a split start from.

    Raises:
        DataError: There is none.
    """
    return _find(folder, split, _IMAGES, "images")


def read_annotations(file: Path, images: Path) -> Annotations:
    """Pedestrians as the one class; all else that is annotated is ignored.

    `vis_ratio` and `height` are in `measures` as the file states them.

    Raises:
        DataError: The file is malformed, or no category is one of pedestrians.
    """
    read = coco.read_annotations(file, images)
    wanted = np.array([name in _PEDESTRIANS for name in read.names])
    if not wanted.any():
        raise DataError(
            f"{file}: has no category pedestrian, only {', '.join(read.names)}; correct it, or "
            "read the file as a COCO data set"
        )
    other = ~wanted[read.labels]
    result = replace(
        read,
        names=(NAME,),
        category_ids=(1,),
        labels=np.zeros_like(read.labels),
        ignore=read.ignore | other,
    )
    added = int((other & ~read.ignore).sum())
    return result.noted(f"{added} rows of other categories are ignored") if added else result


def _find(folder: Path, split: str, names: tuple[str, ...], what: str) -> Path:
    places = [
        f"{above}/{name}".lstrip("/").format(split=split) for above in _ABOVE for name in names
    ]
    found = next((folder / place for place in places if (folder / place).exists()), None)
    if found is None:
        raise DataError(
            f"Tiny CityPersons: no {what} of split {split} in {folder}; looked for "
            f"{', '.join(places)}; give the folder that holds them, or name them with the option "
            f"{what}"
        )
    return found
