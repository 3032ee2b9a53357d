"""A zip archive of class folders, read as it is."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.classification.folders import check_classes
from tinyscope.data.classification.labeled import ImageFiles, LabeledImages, kept
from tinyscope.data.images import read_image
from tinyscope.errors import DataError
from tinyscope.formats.files import IMAGE_SUFFIXES, split_names


def archive(path: Path, split: str = "train") -> LabeledImages:
    """A split of a zip archive with SPLIT/CLASS/image, perhaps inside one more folder.

    Args:
        path: The archive.
        split: `train`, `val`, `test` or a name of the user's own.

    Raises:
        DataError: The archive is damaged, has no such split, or no class folders in it.
    """
    members = _members(path)
    start = next((s for s in starts(members, split)), None)
    if start is None:
        raise DataError(
            f"image set {path}: no folder {' or '.join(split_names(split))} in the archive; pack "
            f"the images as {split}/CLASS/image"
        )
    files: dict[str, list[str]] = {}
    for member in members:
        if member.startswith(start):
            name, slash, _ = member[len(start) :].partition("/")
            if slash:
                files.setdefault(name, []).append(member)
    files = {name: sorted(files[name]) for name in sorted(files)}
    check_classes(files, f"{path}/{start}")
    flat = [member for listed in files.values() for member in listed]
    labels = np.repeat(np.arange(len(files)), [len(listed) for listed in files.values()])
    return kept(ImageFiles(flat, labels, tuple(files), Members(path)))


def starts(members: Sequence[str], split: str) -> list[str]:
    """What the members of a split start with, such as "train/" or "images/train/"."""
    tops = {member.partition("/")[0] for member in members}
    folder = f"{tops.pop()}/" if len(tops) == 1 else ""
    found = (f"{top}{name}/" for top in dict.fromkeys(("", folder)) for name in split_names(split))
    return [start for start in found if any(member.startswith(start) for member in members)]


def has_split(path: Path, split: str) -> bool:
    """Whether `archive` would find the split."""
    return bool(starts(_members(path), split))


class Members:
    """Reads images of an archive by their names in it; each process opens it for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None

    def __call__(self, member: str) -> UInt8[Tensor, "3 h w"]:
        """The image.

        Raises:
            DataError: It cannot be read.
        """
        # A forked worker shares its parent's place in the file: one would move the other's.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        try:
            content = self._opened[1].read(member)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
            raise DataError(
                f"image set {self.path}: {member} cannot be read ({error}); fetch or pack the "
                "archive again"
            ) from error
        return read_image(self.path / member, content=content)


def _members(path: Path) -> list[str]:
    """Names of the image files in an archive."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = opened.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"image set {path}: no zip archive, or a damaged one ({error}); fetch it again"
        ) from error
    return [
        name
        for name in names
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        and not name.startswith("__MACOSX/")  # what macOS adds to archives
    ]
