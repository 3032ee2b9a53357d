"""Detections on disk, by image: what is read of a file of any size without holding it whole.

A results list may hold tens of millions of rows in any order. They are read once and written
into a few files, each of a range of images, which are small enough to be read back one by one.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np

from tinyscope.errors import DataError
from tinyscope.formats.coco import read_detection_pieces
from tinyscope.formats.tables import Annotations, DetectionTable

ROWS_IN_PART = 1 << 19
"""About how many detections a part has."""

_BYTES_OF_ROW = 80  # of a row of JSON with short numbers; longer ones make smaller parts
_MOST_PARTS = 256  # files that are open at a time
_ROW = np.dtype([("image", "i8"), ("box", "f8", 4), ("score", "f8"), ("label", "i8")])


@dataclass(frozen=True)
class DetectionStore:
    """Detections in files; all of one image are in one file, in the order that they came in.

    `count` is how many there are.
    """

    files: tuple[Path, ...]
    count: int

    def __len__(self) -> int:
        return self.count

    def parts(self) -> Iterator[DetectionTable]:
        """The detections of some images at a time; no image is in two parts."""
        for file in self.files:
            rows = np.fromfile(file, dtype=_ROW)
            yield DetectionTable(
                images=np.ascontiguousarray(rows["image"]),
                boxes=np.ascontiguousarray(rows["box"]),
                scores=np.ascontiguousarray(rows["score"]),
                labels=np.ascontiguousarray(rows["label"]),
            )


@contextmanager
def stored_detections(
    path: Path, truth: Annotations, parts: int | None = None
) -> Iterator[DetectionStore]:
    """The detections of a COCO results list, on disk as long as the context lasts.

    Args:
        path: The JSON file.
        truth: Images and classes that it may speak of.
        parts: How many files; by the size of `path` when None.

    Raises:
        DataError: As `read_detections`, or what is read cannot be written.
    """
    wanted = -(-path.stat().st_size // (_BYTES_OF_ROW * ROWS_IN_PART)) if parts is None else parts
    number = max(1, min(wanted, len(truth), _MOST_PARTS))
    with tempfile.TemporaryDirectory(prefix="tinyscope_") as folder:
        files = tuple(Path(folder) / f"{i}.rows" for i in range(number))
        yield DetectionStore(files, _distribute(path, truth, files))


def _distribute(path: Path, truth: Annotations, files: tuple[Path, ...]) -> int:
    """Writes every detection into the file of its image; how many there are."""
    count = 0
    with ExitStack() as opened:
        with _room_for(path, files[0].parent):
            # Without buffers, so that closing has nothing left to write that could fail.
            into = [opened.enter_context(file.open("wb", buffering=0)) for file in files]
        for piece in read_detection_pieces(path, truth):
            rows = np.empty(len(piece), dtype=_ROW)
            rows["image"], rows["box"] = piece.images, piece.boxes
            rows["score"], rows["label"] = piece.scores, piece.labels
            place = piece.images * len(files) // len(truth)
            order = np.argsort(place, kind="stable")
            cuts = np.searchsorted(place[order], np.arange(1, len(files)))
            with _room_for(path, files[0].parent):
                for file, part in zip(into, np.split(rows[order], cuts), strict=True):
                    _write(part.tobytes(), file)
            count += len(piece)
    return count


def _write(data: bytes, file: FileIO) -> None:
    """All of it; `ndarray.tofile` may not tell that the disk is full."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _room_for(path: Path, folder: Path) -> Iterator[None]:
    """Around what writes, so that what goes wrong in reading `path` is not taken for it."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: cannot hold the detections of {path} ({error.strerror}); "
            "make room there, or set TMPDIR to another folder"
        ) from error
