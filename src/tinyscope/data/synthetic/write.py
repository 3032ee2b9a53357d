"""Writes the synthetic data set as PNG and COCO JSON, and keeps it for the next run."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from tinyscope.data.synthetic.canvas import NAMES
from tinyscope.data.synthetic.picture import picture
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats import coco
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations
from tinyscope.types import Size

VERSION = 1
"""Raised when the pictures of a seed change, so that no older ones are taken from the cache."""

UNFINISHED = ".unfinished"
"""Stands in a folder from the first image to the last annotation file."""


def write_synthetic(
    folder: Path,
    images: Mapping[str, int] | None = None,
    seed: int = 0,
    size: Size = (320, 384),
) -> dict[str, Annotations]:
    """Writes images/SPLIT/*.png and annotations/SPLIT.json; equal arguments give equal bytes.

    The first pictures of a larger set are those of a smaller one. Annotations are written when
    all images are there, so that a set that was broken off is not taken for a whole one.

    Args:
        folder: Where to; a new or empty one, or one in which writing was broken off.
        images: How many of each split; 200 to train and 50 to validate by default.
        seed: Other seeds give other pictures.
        size: Mean height and width; pictures have 0.75 to 1.25 times as much.

    Raises:
        SettingsError: A count or the size cannot be right.
        DataError: The folder holds something, or cannot be written.
    """
    counts = {"train": 200, "val": 50} if images is None else images
    with begun(folder, counts, size):
        made = {split: _images(folder, split, n, seed, size) for split, n in counts.items()}
        (folder / "annotations").mkdir(exist_ok=True)
        for split, annotations in made.items():
            coco.write_annotations(annotations, folder / "annotations" / f"{split}.json")
    return made


@contextmanager
def begun(folder: Path, counts: Mapping[str, int], size: Size) -> Iterator[None]:
    """Within it a data set is written into the folder, which is marked until all is there.

    Raises:
        SettingsError: A count or the size cannot be right.
        DataError: The folder holds something, or cannot be written.
    """
    if not counts or min(counts.values()) < 1:
        raise SettingsError(f"images must be one or more in every split, got {dict(counts)}")
    if min(size) < 64:
        raise SettingsError(f"size must be 64 pixels or more in height and width, got {size}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _begin(folder)
        yield
        (folder / UNFINISHED).unlink()
    except OSError as error:
        raise DataError(
            f"{folder}: the synthetic data set cannot be written: {error.strerror or error}; "
            "choose another place or make room"
        ) from error


def synthetic(
    split: str = "train",
    images: int = 200,
    seed: int = 0,
    size: tuple[int, int] = (320, 384),
    cache: Path | None = None,
) -> Annotations:
    """A split of the synthetic data set, written into a cache at first use and read from then on.

    Args:
        split: Other names give other pictures.
        images: How many.
        seed: Other seeds give other pictures.
        size: Mean height and width.
        cache: Folder to keep it in; $XDG_CACHE_HOME/tinyscope or ~/.cache/tinyscope by default.
    """
    base = cache or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tinyscope"
    folder = base / f"synthetic-{VERSION}-{split}-{images}-{seed}-{size[0]}x{size[1]}"
    if not folder.is_dir():
        try:
            base.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=base))
        except OSError as error:
            raise DataError(
                f"{base}: cannot be written: {error.strerror}; set data.train.cache and "
                "data.val.cache to another folder"
            ) from error
        try:
            write_synthetic(part, {split: images}, seed, size)
            _move(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return coco.read_annotations(folder / "annotations" / f"{split}.json", folder / "images")


def _begin(folder: Path) -> None:
    """Marks the folder as ours.

    Raises:
        DataError: It holds something that we have not begun, which would be lost.
    """
    mark = folder / UNFINISHED
    if not mark.exists() and any(folder.iterdir()):
        raise DataError(
            f"{folder}: is not empty, and what it holds might be overwritten; name a new folder, "
            "or remove this one if it is an older synthetic data set"
        )
    mark.touch()


def _images(folder: Path, split: str, count: int, seed: int, size: Size) -> Annotations:
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    files, pictures = [], []
    for number in range(count):
        made = picture(seed, split, number, size)
        files.append(f"{split}/{number:05d}.png")
        # Noise does not compress: more effort would cost time and save nothing.
        Image.fromarray(made.image).save(folder / "images" / files[-1], compress_level=1)
        pictures.append((made.image.shape[:2], made.boxes, made.labels, made.ignore))
    sizes, boxes, labels, ignore = zip(*pictures, strict=True)
    return assemble(
        folder / "images",
        NAMES,
        files,
        np.array(sizes, dtype=np.int32),
        [len(b) for b in boxes],
        np.round(np.concatenate(boxes), 3),
        np.concatenate(labels),
        np.concatenate(ignore),
    )


def _move(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster with the same pictures
            raise
