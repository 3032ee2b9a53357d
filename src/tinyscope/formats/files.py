"""Files of a data set on disk: which are images, and that no name leads out of the folder."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from tinyscope.errors import DataError

IMAGE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""Endings of files that are taken as images when a folder is listed, in any case; a file that is
named is one whatever its ending."""

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names that a split goes by in folders, files and keys, the first one being ours."""


def split_names(split: str) -> tuple[str, ...]:
    """The names to look for; a split that is not known goes by its own name only."""
    return next((names for names in SPLITS.values() if split in names), (split,))


def split_in(name: str) -> str | None:
    """The one split that the words of a name speak of; None where it is none or several.

    `instances_val2017` and `tiny_set_test_all` are of `val` and `test`.
    """
    words = re.findall("[a-z]+", name.lower())
    found = {split for split, names in SPLITS.items() if not set(words).isdisjoint(names)}
    return found.pop() if len(found) == 1 else None


def inside(name: str, source: Path) -> str:
    """A file name that `source` states, with forward slashes.

    Raises:
        DataError: The name is empty, absolute, or leads out of its folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise DataError(
            f"{source}: file name {name!r} is empty or leads out of the data set's folder; names "
            "must be relative and without '..'"
        )
    return str(path)


def stored_name(file: str, split: str) -> str:
    """Where an image belongs below images/ of a data set that is written: SPLIT/..."""
    rest = file.removeprefix("images/")
    start, _, below = rest.partition("/")
    return f"{split}/{below if below and start in split_names(split) else rest}"


def is_image(name: str) -> bool:
    """Whether a file that is found in a listing is taken as an image, by its ending."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def image_files(folder: Path) -> Iterator[str]:
    """Images in a folder and the folders below it, relative to it, in alphabetical order."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.name)
            elif is_image(entry.name):
                files.append(entry.name)
    yield from sorted(files)
    for name in sorted(folders):
        yield from (f"{name}/{file}" for file in image_files(folder / name))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        DataError: It cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
