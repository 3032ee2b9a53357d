"""From one layout of annotations to another, with an account of what the new one cannot say."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tinyscope.data.locate import has_split, locate
from tinyscope.errors import DataError
from tinyscope.formats import coco, yolo, yolo_writer
from tinyscope.formats.files import SPLITS, stored_name
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations

Layout = Literal["coco", "yolo"]
Images = Literal["link", "copy", "none"]


@dataclass(frozen=True)
class SplitCounts:
    """What was read of one split, and what of it the new layout cannot hold."""

    images: int
    objects: int  # that are not to be ignored
    ignored: int  # rows that count neither for nor against, crowds included
    crowds: int
    images_without_label_file: int
    lost_ignored: int  # ignored rows that were left out
    lost_areas: int  # rows whose stated area is not width times height, and is not kept


@dataclass(frozen=True)
class Conversion:
    """Where a converted data set lies, and counts of its splits."""

    target: Path
    to: Layout
    splits: Mapping[str, SplitCounts]

    def __str__(self) -> str:
        """One line per split, and one per thing that was lost."""
        lines = []
        for split, n in self.splits.items():
            lines.append(
                f"{split}: {n.images} images, {n.objects} objects, {n.ignored} ignored "
                f"({n.crowds} crowds)"
            )
            if n.images_without_label_file:
                lines.append(
                    f"  {n.images_without_label_file} images have no label file; taken as images "
                    "without objects"
                )
            if n.lost_ignored:
                lines.append(
                    f"  lost: {n.lost_ignored} ignored regions, which {self.to} cannot store; they "
                    "will count as background"
                )
            if n.lost_areas:
                lines.append(
                    f"  lost: {n.lost_areas} stated areas, which {self.to} cannot store; width "
                    "times height stands for them"
                )
        return "\n".join([*lines, f"written to {self.target}"])


def convert(
    source: str | Path,
    target: str | Path,
    to: Layout = "coco",
    *,
    splits: Sequence[str] | None = None,
    images: Images = "link",
    one_based: bool = True,
    inclusive: bool = False,
) -> Conversion:
    """Writes a data set of any layout that is read as COCO JSON or YOLO.

    Boxes, classes, areas and the ignore and crowd flags are carried over; masks, key points and
    other keys of the source are not.

    Args:
        source: A folder, a COCO file or a data.yaml.
        target: A folder that is new or empty.
        to: `coco` or `yolo`.
        splits: Which; those of train, val and test that are there by default, for a file `train`.
        images: `link` makes hard links (copies where the file system has none), `copy` copies;
            `none` leaves the images where they are.
        one_based: How VOC files count; see `tinyscope.formats.voc`.
        inclusive: How VOC files end; likewise.

    Raises:
        DataError: The source is malformed, the target is not empty or cannot be written, or two
            images would get one name.
    """
    source, target = Path(source), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is not an empty folder; name a new one to convert into")
    chosen = _splits(source) if splits is None else tuple(splits)
    read = {s: locate(source, s, one_based=one_based, inclusive=inclusive) for s in chosen}
    counts = {split: _count(annotations, to) for split, annotations in read.items()}
    try:
        target.mkdir(parents=True, exist_ok=True)
        if to == "yolo":
            yolo_writer.write_annotations(read, target)
        for split, annotations in read.items():
            stored = _stored(annotations, split, to)
            if images != "none":
                _place(annotations, target / "images", stored, images)
            if to == "coco":
                _write_coco(annotations, stored, target / "annotations" / f"{split}.json", images)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written: {error.strerror or error} ({error.filename}); choose "
            "another place or make room"
        ) from error
    return Conversion(target, to, counts)


def _splits(source: Path) -> tuple[str, ...]:
    if not source.is_dir():
        return ("train",)
    return tuple(split for split in SPLITS if has_split(source, split)) or ("train",)


def _count(annotations: Annotations, to: Layout) -> SplitCounts:
    sides = annotations.boxes[:, 2:] - annotations.boxes[:, :2]
    other_area = ~np.isclose(annotations.areas, sides.prod(axis=1), rtol=1e-3, atol=1e-3)
    ignored = int(annotations.ignore.sum())
    from_yolo = yolo.find_settings(annotations.root) is not None
    return SplitCounts(
        images=len(annotations),
        objects=len(annotations.boxes) - ignored,
        ignored=ignored,
        crowds=int(annotations.crowd.sum()),
        images_without_label_file=yolo.missing_labels(annotations) if from_yolo else 0,
        lost_ignored=ignored if to == "yolo" else 0,
        lost_areas=int((other_area & ~annotations.ignore).sum()) if to == "yolo" else 0,
    )


def _stored(annotations: Annotations, split: str, to: Layout) -> list[str]:
    """New file names, relative to the folder images/."""
    if to == "yolo":
        return [f.removeprefix("images/") for f in yolo_writer.stored_files(annotations, split)]
    files = [stored_name(str(file), split) for file in annotations.files]
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise DataError(f"two images of split {split} would be stored as {twice}; rename one")
    return files


def _place(annotations: Annotations, folder: Path, files: Sequence[str], images: Images) -> None:
    for i, file in enumerate(files):
        path, place = annotations.path(i), folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        if images == "link":
            try:
                os.link(path.resolve(), place)
                continue
            except OSError:  # another file system, or one without links
                pass
        shutil.copyfile(path, place)


def _write_coco(annotations: Annotations, files: Sequence[str], path: Path, images: Images) -> None:
    sizes = annotations.sizes.copy()
    for i in np.flatnonzero((sizes == 0).any(axis=1)):
        sizes[i] = image_size(annotations.path(int(i)))
    names = annotations.files if images == "none" else np.array(files, dtype=np.str_)
    path.parent.mkdir(parents=True, exist_ok=True)
    coco.write_annotations(replace(annotations, sizes=sizes, files=names), path)
