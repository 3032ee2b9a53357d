"""Files that are there whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a file beside `path`, then puts it in the place of `path` in one step.

    A process killed at any moment leaves the old `path` or the new one, and at most a file
    ending in .part, which nothing reads and the next write replaces.

    Raises:
        OSError: What `write` or the disk raised; `path` is as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.touch()
        mode = part.stat().st_mode  # what the user's umask wants; safetensors makes files private
        write(part)
        part.chmod(mode)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # the content must reach the disk before the name does
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` of a text, as UTF-8."""
    write_atomically(path, lambda part: _write_text(part, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _sync_folder(folder: Path) -> None:
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
