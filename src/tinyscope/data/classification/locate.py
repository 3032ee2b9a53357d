"""Finds the images and labels of a split in what a user points at."""

from pathlib import Path

from tinyscope.data.classification import archive, cifar, folders, imagenet32
from tinyscope.data.classification.labeled import LabeledImages
from tinyscope.data.classification.splits import joining
from tinyscope.errors import DataError
from tinyscope.formats.files import split_names


def locate(path: Path, split: str = "train") -> LabeledImages:
    """A split in a folder or archive of class folders, or of CIFAR or ImageNet32.

    Args:
        path: A zip archive; a folder with a folder of the split; a folder of CIFAR's binary files
            or of ImageNet32's npz files; or a folder that holds one zip archive.
        split: `train`, `val`, `test`, or a name of the user's own.

    Raises:
        DataError: Nothing was found (the message lists what was looked for), or it is damaged.
    """
    if path.is_file():
        return archive.archive(path, split)
    if not path.is_dir():
        raise DataError(f"image set {path}: no such file or folder; check the path")
    if folders.split_folder(path, split):
        return folders.folder(path, split)
    if cifar.files_of(path, cifar.CIFAR10_FILES, split):
        return cifar.cifar10(path, split)
    if cifar.files_of(path, cifar.CIFAR100_FILES, split):
        return cifar.cifar100(path, split)
    if imagenet32.files_of(path, split):
        return imagenet32.imagenet32(path, split)
    if packed := _only_archive(path):
        return archive.archive(packed, split)
    raise DataError(
        f"image set {path}: no split {split!r}; looked for "
        f"{' or '.join(f'{name}/CLASS/' for name in split_names(split))}, a zip archive of such "
        f"folders, {cifar.CIFAR10_FILES['train'][0]} (CIFAR-10, binary version), "
        f"{cifar.CIFAR100_FILES['train'][0]} (CIFAR-100, binary version) and "
        f"{imagenet32.PATTERNS['train']} (ImageNet32){joining(split)}"
    )


def has_split(path: Path, split: str) -> bool:
    """Whether `locate` would find that split; nothing is decoded or checked yet."""
    if path.is_file():
        return archive.has_split(path, split)
    packed = _only_archive(path)
    return bool(
        folders.split_folder(path, split)
        or cifar.files_of(path, cifar.CIFAR10_FILES, split)
        or cifar.files_of(path, cifar.CIFAR100_FILES, split)
        or imagenet32.files_of(path, split)
        or (packed and archive.has_split(packed, split))
    )


def _only_archive(folder: Path) -> Path | None:
    found = sorted(folder.glob("*.zip")) if folder.is_dir() else []
    return found[0] if len(found) == 1 else None
