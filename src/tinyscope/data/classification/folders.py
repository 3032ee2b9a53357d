"""A folder of class folders, train/CLASS/image and val/CLASS/image, as ImageNet is stored."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tinyscope.data.classification.labeled import ImageFiles, LabeledImages, kept
from tinyscope.data.classification.splits import joining
from tinyscope.data.images import read_image
from tinyscope.errors import DataError
from tinyscope.formats.files import image_files, is_image, split_names


def folder(path: Path, split: str = "train") -> LabeledImages:
    """A split of a folder of class folders; a class is called as its folder.

    Args:
        path: Holds a folder of the split's name.
        split: `train`, `val`, `test` or a name of the user's own.

    Raises:
        DataError: There is no such split, it has no class folders, one of them is empty,
            or images lie beside them.
    """
    root = split_folder(path, split)
    if root is None:
        raise DataError(
            f"image set {path}: no folder {' or '.join(split_names(split))}; put the images into "
            f"{split}/CLASS/{joining(split)}"
        )
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    classes = [entry.name for entry in entries if entry.is_dir()]
    loose = [entry.name for entry in entries if not entry.is_dir() and is_image(entry.name)]
    files = {name: [f"{name}/{file}" for file in image_files(root / name)] for name in classes}
    check_classes(files, loose, str(root))
    return kept(of_classes(files, root))


def split_folder(path: Path, split: str) -> Path | None:
    """The folder of a split, by any of its names."""
    return next((path / n for n in split_names(split) if (path / n).is_dir()), None)


def of_classes(files: Mapping[str, Sequence[str]], root: Path) -> ImageFiles:
    """Image files below `root` by class."""
    flat = [str(root / file) for listed in files.values() for file in listed]
    counts = [len(listed) for listed in files.values()]
    labels = np.repeat(np.arange(len(files)), counts)
    return ImageFiles(flat, labels, tuple(files), lambda f: read_image(Path(f)), root.name)


def check_classes(files: Mapping[str, Sequence[str]], loose: Sequence[str], source: str) -> None:
    """That there are classes, images of each, and no images without a class.

    Args:
        files: Images by class.
        loose: Images that lie in no class folder.
        source: What errors call the folder of the split.

    Raises:
        DataError: It is not so.
    """
    if not files:
        raise DataError(
            f"image set {source}: holds no class folders; put the images into one folder per "
            "class, such as cat/1.jpg"
        )
    if empty := [name for name, listed in files.items() if not listed]:
        raise DataError(
            f"image set {source}: no images in the class folder {empty[0]!r} "
            f"({len(empty)} such folder(s)); add images or remove the folder"
        )
    if loose:
        raise DataError(
            f"image set {source}: {loose[0]} lies in no class folder ({len(loose)} such image(s)); "
            "move it into the folder of its class, or remove it"
        )
