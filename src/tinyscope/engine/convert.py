"""From one layout of annotations to another, with an account of what the new one cannot say."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tinyscope.data.locate import has_split, locate
from tinyscope.data.tiles import tiled
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats import coco, tinyperson, yolo, yolo_writer
from tinyscope.formats.files import SPLITS, split_in, stored_name
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations
from tinyscope.tiling import Tiling
from tinyscope.types import Size

Layout = Literal["coco", "yolo"]
Images = Literal["link", "copy", "none"]


@dataclass(frozen=True)
class TileCut:
    """How whole images are listed as tiles; the defaults are those of TinyPerson's files.

    Args:
        tiling: How the grid ends, and by which rule cut objects are kept; see `data.tiles`.
        tile: (height, width).
        overlap: Of neighbors, pixels.
        min_visible: Share of its area from which a cut object is kept; the rule's by default.
    """

    tiling: Tiling = "flush"
    tile: Size = (512, 640)
    overlap: int = 50
    min_visible: float | None = None

    def __call__(self, annotations: Annotations) -> Annotations:
        """The tiles of whole images.

        Raises:
            SettingsError: A length cannot be right.
            DataError: The images are tiles already.
        """
        if annotations.windows is not None:
            raise DataError(
                f"{annotations.place}: its images are tiles already; give the file of whole images"
            )
        try:
            return tiled(annotations, self.tile, self.overlap, self.tiling, self.min_visible)
        except ValueError as error:
            raise SettingsError(f"tiles: {error}") from error


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
    tiles: int = 0
    boxes_in_tiles: int = 0
    notes: tuple[str, ...] = ()
    lost_videos: int = 0  # whose frames become images of their own


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
            if n.tiles:
                lines.append(f"  {n.tiles} tiles with {n.boxes_in_tiles} boxes")
            lines += [f"  {note}" for note in n.notes]
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
            if n.lost_videos:
                lines.append(
                    f"  lost: {n.lost_videos} videos, which {self.to} cannot store; their frames "
                    "are images of their own"
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
    tiles: TileCut | None = None,
) -> Conversion:
    """Writes a data set of any layout that is read as COCO JSON or YOLO.

    Boxes, classes, areas, flags, and the numbers that TinyPerson's files hold are carried over;
    masks, key points and other keys of the source are not.

    Args:
        source: A folder, a COCO file or a data.yaml.
        target: A folder that is new or empty.
        to: `coco` or `yolo`.
        splits: Which; those of train, val and test that are there by default. For a file, the one
            that its name or its folder speaks of, else `train`.
        images: `link` makes hard links (copies where the file system has none), `copy` copies;
            `none` leaves the images where they are.
        one_based: How VOC files count; see `tinyscope.formats.voc`.
        inclusive: How VOC files end; likewise.
        tiles: List the images as tiles (`corner`), and the whole ones as `old_images`, as the tile
            files of TinyPerson do; ids count from 0. The images themselves are not cut.

    Raises:
        SettingsError: Tiles are wanted in another layout than COCO, or cannot be cut so.
        DataError: The source is malformed, the target is not empty or cannot be written, or two
            images would get one name.
    """
    source, target = Path(source), Path(target)
    if tiles is not None and to != "coco":
        raise SettingsError(f"tiles cannot be written as {to}, which has no corner; use coco")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is not an empty folder; name a new one to convert into")
    chosen = _splits(source) if splits is None else tuple(splits)
    read = {s: locate(source, s, one_based=one_based, inclusive=inclusive) for s in chosen}
    counts = {split: _count(annotations, to) for split, annotations in read.items()}
    stored = {split: _stored(annotations, split, to) for split, annotations in read.items()}
    written = {
        s: replace(_sized(a), files=a.files if images == "none" else np.array(stored[s]))
        for s, a in (read.items() if to == "coco" else ())
    }
    cut = {} if tiles is None else {split: tiles(whole) for split, whole in written.items()}
    for split, parts in cut.items():
        counts[split] = replace(
            counts[split], tiles=len(parts), boxes_in_tiles=len(parts.boxes), notes=parts.notes
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        if to == "yolo":
            yolo_writer.write_annotations(read, target)
        for split, annotations in read.items():
            if images != "none":
                _place(annotations, target / "images", stored[split], images)
            if to == "coco":
                path = target / "annotations" / f"{split}.json"
                _write_coco(written[split], cut.get(split), path)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written: {error.strerror or error} ({error.filename}); choose "
            "another place or make room"
        ) from error
    return Conversion(target, to, counts)


def _splits(source: Path) -> tuple[str, ...]:
    if not source.is_dir():
        return (split_in(source.stem) or split_in(source.parent.name) or "train",)
    # TinyPerson has no third split: its test images stand for `val` where that is asked for.
    known = ("train", "test") if tinyperson.find(source, "test") else tuple(SPLITS)
    return tuple(split for split in known if has_split(source, split)) or ("train",)


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
        notes=annotations.notes,
        lost_videos=_videos(annotations) if to == "yolo" else 0,
    )


def _videos(annotations: Annotations) -> int:
    """How many videos of more than one frame there are."""
    video = annotations.video
    return 0 if video is None else int((np.bincount(video.videos) > 1).sum())


def _stored(annotations: Annotations, split: str, to: Layout) -> list[str]:
    """New file names, relative to the folder images/."""
    if to == "yolo" and annotations.windows is not None:
        raise DataError(
            f"{annotations.place}: its images are tiles of files, which yolo cannot say; convert "
            "to coco, or convert the whole images"
        )
    if to == "yolo":
        return [f.removeprefix("images/") for f in yolo_writer.stored_files(annotations, split)]
    files = [stored_name(str(file), split) for file in annotations.files]
    if len(set(files)) < len(set(annotations.files.tolist())):  # tiles share a file
        twice = next(file for file in files if files.count(file) > 1)
        raise DataError(f"two images of split {split} would be stored as {twice}; rename one")
    return files


def _place(annotations: Annotations, folder: Path, files: Sequence[str], images: Images) -> None:
    first = {file: i for i, file in reversed(list(enumerate(files)))}  # tiles share a file
    for file, i in first.items():
        path, place = annotations.path(i), folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        if images == "link":
            try:
                os.link(path.resolve(), place)
                continue
            except OSError:  # another file system, or one without links
                pass
        shutil.copyfile(path, place)


def _sized(annotations: Annotations) -> Annotations:
    """With the sizes that the annotations leave open read from the images."""
    sizes = annotations.sizes.copy()
    for i in np.flatnonzero((sizes == 0).any(axis=1)):
        sizes[i] = image_size(annotations.path(int(i)))
    return replace(annotations, sizes=sizes)


def _write_coco(whole: Annotations, tiles: Annotations | None, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if tiles is None:
        coco.write_annotations(whole, path)
    else:
        coco.write_annotations(tiles, path, whole=whole, booleans=True)
