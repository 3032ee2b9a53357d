"""A zip archive of class folders, read as it is."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from tinyscope.data.classification.folders import check_classes
from tinyscope.data.classification.labeled import ImageFiles, LabeledImages, kept
from tinyscope.data.classification.splits import joining
from tinyscope.data.images import read_image
from tinyscope.errors import DataError
from tinyscope.formats.files import is_image, split_names


def archive(path: Path, split: str = "train") -> LabeledImages:
    """A split of a zip archive with SPLIT/CLASS/image, perhaps inside one more folder.

    Args:
        path: The archive.
        split: `train`, `val`, `test` or a name of the user's own.

    Raises:
        DataError: The archive is damaged, has no such split, no class folders in it, an empty one,
            or images beside them.
    """
    members = _members(path)
    start = next((s for s in starts(members, split)), None)
    if start is None:
        raise DataError(
            f"image set {path}: no folder {' or '.join(split_names(split))} in the archive; pack "
            f"the images as {split}/CLASS/image{joining(split)}"
        )
    files, loose = _by_class(members, start)
    check_classes(files, loose, f"{path}/{start}")
    flat = [member for listed in files.values() for member in listed]
    labels = np.repeat(np.arange(len(files)), [len(listed) for listed in files.values()])
    own = start.rstrip("/").rpartition("/")[2]
    return kept(ImageFiles(flat, labels, tuple(files), Members(path), own))


def starts(members: Sequence[str], split: str) -> list[str]:
    """What the members of a split start with, such as "train/" or "images/train/"."""
    images = [member for member in members if is_image(member)]
    tops = {member.partition("/")[0] for member in images}
    folder = f"{tops.pop()}/" if len(tops) == 1 else ""
    found = (f"{top}{name}/" for top in dict.fromkeys(("", folder)) for name in split_names(split))
    return [start for start in found if any(member.startswith(start) for member in images)]


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
        except MemoryError:
            raise
        except Exception as error:  # of zipfile, zlib, lzma, bz2, or the system
            raise DataError(
                f"image set {self.path}: {member} cannot be read ({error}); fetch or pack the "
                "archive again"
            ) from error
        return read_image(self.path / member, content=content)


def _by_class(members: Sequence[str], start: str) -> tuple[dict[str, list[str]], list[str]]:
    """Images below `start` by their folder in it, also folders without any; and those in none."""
    files: dict[str, list[str]] = {}
    loose: list[str] = []
    for member in sorted(members):
        if not member.startswith(start):
            continue
        name, slash, _ = member[len(start) :].partition("/")
        listed = files.setdefault(name, []) if slash else loose
        if is_image(member):
            listed.append(member if slash else name)
    return dict(sorted(files.items())), loose


def _members(path: Path) -> list[str]:
    """Names of the files and folders in an archive; those of folders end in a slash."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = opened.namelist()
    except Exception as error:  # a damaged list makes zipfile raise nearly anything
        raise DataError(
            f"image set {path}: no zip archive, or a damaged one ({error}); fetch it again"
        ) from error
    return [name for name in names if not name.startswith("__MACOSX/")]  # which macOS adds
