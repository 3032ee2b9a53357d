"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tinyscope.errors import DataError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file beside `path` to fill, which takes the place of `path` in one step at the end.

    A process killed at any moment leaves the old `path` or the new one, and at most a file
    ending in .part, which nothing reads and the next write replaces.

    Raises:
        OSError: What filling it or the disk raised; `path` is as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.touch()
        mode = part.stat().st_mode  # what the user's umask wants; safetensors makes files private
        yield part
        part.chmod(mode)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # the content must reach the disk before the name does
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes `path` as UTF-8, whole or not at all.

    Raises:
        OSError: It cannot be written; what stood there before stands there still.
    """
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """A text file to write to as results come; it takes its name at the end.

    Raises:
        DataError: The folder is missing or cannot be written, or its disk is full; what stood
            at `path` before stands there still.
    """
    try:
        with replaced(path) as part, part.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "choose another place or make room"
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
