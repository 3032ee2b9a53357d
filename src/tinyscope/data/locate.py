"""Finds the annotations and images of a split in a folder that a user points at."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats import coco, tinyperson, voc, yolo
from tinyscope.formats.files import split_names
from tinyscope.formats.tables import Annotations

COCO_FILES = (
    "annotations/{split}.json",
    "annotations/instances_{split}.json",
    "annotations/instances_{split}2017.json",
    "{split}.json",
    "{split}/_annotations.coco.json",
    "{split}/annotations.json",
)
"""COCO files of a split, in the order in which they are looked for."""

WHOLE_FILES = ("annotations.json", "annotations/annotations.json")
"""COCO files that know no splits; a folder gives them for `train` alone."""

IMAGE_FOLDERS = (
    "",
    "images",
    "images/{split}",
    "{split}",
    "{split}/images",
    "{split}2017",
    "images/{split}2017",
)
"""Folders that the file names of a COCO file may start from, besides its own."""


def locate(
    path: Path, split: str = "train", *, one_based: bool = True, inclusive: bool = False
) -> Annotations:
    """Reads a split of a data set in COCO, YOLO or VOC layout, looked for in this order.

    Before these, the layout of TinyPerson is looked for: whole images, flags as they stand.

    Args:
        path: The data set's folder; or a COCO file, which is taken for any split; or a data.yaml.
        split: `train`, `val` (or `valid`, `validation`), `test`, or a name of the user's own.
        one_based: How VOC files count; see `tinyscope.formats.voc`.
        inclusive: How VOC files end; likewise.

    Raises:
        DataError: Nothing was found (the message lists what was looked for), an image is missing,
            or the annotations are malformed.
    """
    if path.is_file():
        return _read_file(path, split)
    if found := tinyperson.find(path, split):
        return check_files(tinyperson.read_annotations(*found))
    if not path.is_dir():
        raise DataError(f"data set {path}: no such file or folder; check the path")
    if file := _coco_file(path, split):
        return _read_coco(file, path, split_names(split))
    # VOC data sets may have a classes.txt as well, but no data.yaml.
    if (settings := yolo.find_settings(path)) and settings.suffix in (".yaml", ".yml"):
        return check_files(yolo.read_annotations(path, split))
    if voc.find_split(path, split):
        return check_files(
            voc.read_annotations(path, split, one_based=one_based, inclusive=inclusive)
        )
    if settings:
        return check_files(yolo.read_annotations(path, split))
    if tinyperson.find(path, "train") or tinyperson.find(path, "test"):
        tinyperson.published_split(split)  # says which there are
    shown = [name.format(split=split) for name in COCO_FILES]
    whole = [name for name in WHOLE_FILES if (path / name).is_file()]
    raise DataError(
        f"data set {path}: no split {split!r}; looked for {', '.join(shown)} (COCO), "
        f"{', '.join(yolo.SETTINGS_FILES)} (YOLO), ImageSets/Main/{split}.txt and {split}/*.xml "
        "(Pascal VOC)"
        + (f"; {whole[0]} has no splits: name the file itself to use it here" if whole else "")
    )


def has_split(path: Path, split: str) -> bool:
    """Whether `locate` would find that split in a folder; nothing is read or checked yet."""
    return bool(
        tinyperson.find(path, split)
        or _coco_file(path, split)
        or (yolo.find_settings(path) and yolo.has_split(path, split))
        or voc.find_split(path, split)
    )


def split_read(path: Path, split: str) -> str | None:
    """The split that `locate` reads when it is asked for one; None where a file has no others."""
    if path.suffix == ".json" and path.is_file():
        return None
    return tinyperson.published_split(split) if tinyperson.find(path, split) else split


def _coco_file(folder: Path, split: str) -> Path | None:
    names = [name.format(split=alias) for name in COCO_FILES for alias in split_names(split)]
    names += WHOLE_FILES if split == "train" else ()
    return next((folder / name for name in names if (folder / name).is_file()), None)


def check_files(annotations: Annotations) -> Annotations:
    """The same annotations, whose image files all exist.

    Raises:
        DataError: Images are missing; the message names the first and says how many.
    """
    present = _present(annotations.root, annotations.files)
    if not present.all():
        raise _missing(annotations, present, [annotations.root])
    return annotations


def _read_file(path: Path, split: str) -> Annotations:
    if path.suffix in (".yaml", ".yml"):
        return check_files(yolo.read_annotations(path, split))
    if path.suffix != ".json":
        raise DataError(f"data set {path}: expected a folder, a COCO .json or a data.yaml")
    if images := tinyperson.images_of(path):
        return check_files(tinyperson.read_annotations(path, images))
    folder = path.parent.parent if path.parent.name == "annotations" else path.parent
    return _read_coco(path, folder, split_names(split))


def _read_coco(path: Path, folder: Path, aliases: Sequence[str]) -> Annotations:
    """Reads a COCO file and finds which folder its file names start from."""
    annotations = coco.read_annotations(path)
    tried = [folder / n.format(split=a) for n in IMAGE_FOLDERS for a in aliases]
    roots = [root for root in dict.fromkeys([*tried, path.parent]) if root.is_dir()]
    found = [_present(root, annotations.files) for root in roots]
    best = int(np.argmax([present.sum() for present in found]))  # the first of equals
    if not found[best].all():
        raise _missing(annotations, found[best], roots if not found[best].any() else [roots[best]])
    return replace(annotations, root=roots[best])


def _present(root: Path, files: NDArray[np.character]) -> NDArray[np.bool_]:
    """Which files exist below `root`; every folder is listed once."""
    listed: dict[str, frozenset[str]] = {}
    present = np.zeros(len(files), dtype=np.bool_)
    for i, file in enumerate(files.tolist()):
        folder, _, name = file.rpartition("/")
        if folder not in listed:
            listed[folder] = _listing(root / folder)
        present[i] = name in listed[folder]
    return present


def _listing(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _missing(
    annotations: Annotations, present: NDArray[np.bool_], roots: Sequence[Path]
) -> DataError:
    first = annotations.files[int(np.argmin(present))]
    return DataError(
        f"{(~present).sum()} of {len(present)} images are missing, the first is {first!s}; looked "
        f"in {', '.join(map(str, roots))}; put them there, or name their folder with the data "
        "set's option `images`"
    )
