"""The rows of the table of data sets: a format's reader, and a look that the images exist."""

from collections.abc import Sequence
from pathlib import Path

from tinyscope.data.locate import check_files, locate
from tinyscope.formats import coco as coco_format
from tinyscope.formats import voc as voc_format
from tinyscope.formats import yolo as yolo_format
from tinyscope.formats.tables import Annotations


def folder(path: Path, split: str = "train") -> Annotations:
    """A split of a data set in any layout that `locate` knows."""
    return locate(path, split)


def coco(path: Path, images: Path | None = None) -> Annotations:
    """A COCO file; without `images`, where its images lie is found out.

    Args:
        path: The JSON file.
        images: The folder that its file names start from.
    """
    if images is None:
        return locate(path)
    return check_files(coco_format.read_annotations(path, images))


def yolo(path: Path, split: str = "train") -> Annotations:
    """A split of a YOLO data set; `path` is its folder or data.yaml."""
    return check_files(yolo_format.read_annotations(path, split))


def voc(
    path: Path,
    split: str = "train",
    one_based: bool = True,
    inclusive: bool = False,
    names: Sequence[str] | None = None,
) -> Annotations:
    """A split of a Pascal VOC data set; for the options see `tinyscope.formats.voc`."""
    return check_files(
        voc_format.read_annotations(
            path, split, one_based=one_based, inclusive=inclusive, names=names
        )
    )
