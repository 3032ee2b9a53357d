"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tinyscope.errors import DataError


@contextmanager
def write_atomic(path: Path) -> Iterator[TextIO]:
    """A text file to write to; it takes its name only when all has reached the disk.

    Raises:
        DataError: The folder is missing or cannot be written, or its disk is full; what stood
            at `path` before stands there still.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "choose another place or make room"
        ) from error
    finally:
        part.unlink(missing_ok=True)
