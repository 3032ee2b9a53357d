"""A file of detections per tile to one of detections per image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinyscope.data.names import with_names
from tinyscope.engine.find import as_table
from tinyscope.engine.merge_record import tile_and_overlap, write_record
from tinyscope.engine.tile_sets import tiles_of_images, windows_of
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.coco import read_annotations, read_detections, write_detections
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.formats.whole_images import read_whole_images
from tinyscope.tiling import MERGES
from tinyscope.tiling.found import Found
from tinyscope.tiling.rule import MergeRule
from tinyscope.types import Detections


@dataclass(frozen=True)
class Merged:
    """What came of it: counts, the file that was written and the rule as it was applied."""

    path: Path
    tiles: int
    images: int
    before: int  # detections in tiles
    after: int  # detections in images
    rule: Mapping[str, Any]
    limit: int | None

    def __str__(self) -> str:
        options = ", ".join(f"{k} {v}" for k, v in self.rule.items() if k != "name")
        return (
            f"{self.before} detections in {self.tiles} tiles, merged by {self.rule['name']} "
            f"({options}; limit {self.limit or 'none'}): {self.after} in {self.images} images "
            f"-> {self.path}"
        )


def merge(
    detections: str | Path,
    tiles: str | Path,
    out: str | Path,
    rule: Mapping[str, Any] | str = "nms",
    *,
    truth: str | Path | None = None,
    limit: int | None = None,
) -> Merged:
    """Merges detections that were made tile by tile, and writes those of the whole images.

    A record of rule, limit and tiles is written beside `out` (`whole.merge.json` of `whole.json`),
    so that scores of it can state them.

    Args:
        detections: COCO results list with ids of tiles; boxes are in pixels of the tile.
        tiles: COCO file whose images are tiles: each has a `corner` [x1, y1, x2, y2] in the image
            of its `file_name`.
        out: COCO results list to write, with ids of whole images.
        rule: Name of a rule of merging, or its name and options.
        truth: COCO file of the whole images, whose ids the results get; by default the
            `old_images` of `tiles`.
        limit: At most so many detections of each image, the best ones; all by default.

    Raises:
        DataError: A file is missing, malformed or does not fit the others, an image is not
            covered by its tiles, or the results cannot be written.
        SettingsError: The rule or one of its options is unknown or wrong, or is for detectors.
    """
    options = MERGES.check({"name": rule} if isinstance(rule, str) else rule, "rule")
    apply: MergeRule = MERGES.build(options, "rule")  # a wrong one before large files are read
    if apply.undecided:
        raise SettingsError(
            "rule.undecided: asks detectors for what they found before their suppression, and a "
            "file holds what it holds; leave it out"
        )
    of_tiles = read_annotations(Path(tiles))
    windows = windows_of(of_tiles)  # that they are tiles, before what is said of them
    whole = read_whole_images(Path(tiles)) if truth is None else read_annotations(Path(truth))
    if whole is None:
        raise DataError(
            f"{tiles}: does not say what the ids of the whole images are (it has no `old_images`); "
            "name the annotations of these as `truth`"
        )
    of_tiles = with_names(of_tiles, whole.names)
    table = read_detections(Path(detections), of_tiles)
    merged = merge_tables(table, of_tiles, whole, apply, limit)
    write_detections(merged, whole, Path(out))
    tile, overlap = tile_and_overlap(windows, of_tiles.files)
    record = {
        "detections": len(merged),
        "tiles": str(tiles),
        "tile": tile,
        "overlap": overlap,
        "rule": options,
        "limit": limit,
    }
    write_record(Path(out), record)
    return Merged(Path(out), len(of_tiles), len(whole), len(table), len(merged), options, limit)


def merge_tables(
    table: DetectionTable,
    tiles: Annotations,
    whole: Annotations,
    rule: Callable[[Found], Detections],
    limit: int | None = None,
) -> DetectionTable:
    """Detections of whole images, image by image, from those of their tiles.

    Args:
        table: Detections in tiles, in pixels of the tile.
        tiles: The tiles.
        whole: The images that they were cut from; labels mean the same classes.
        rule: Such as `NmsMerge()`; what it leaves of an image stands in its order.
        limit: At most so many of each image, the best ones; all by default.

    Raises:
        DataError: Tiles and images do not fit each other; see `tiles_of_images`.
    """
    windows = windows_of(tiles)
    parts = tiles_of_images(tiles, whole)
    image = np.zeros(len(tiles), dtype=np.int64)  # of every tile
    place = np.zeros(len(tiles), dtype=np.int64)  # of every tile, among those of its image
    for i, part in enumerate(parts):
        image[part], place[part] = i, np.arange(len(part))
    of_image = image[table.images]
    order = np.argsort(of_image, kind="stable")
    ends = np.searchsorted(of_image[order], np.arange(len(whole) + 1))
    boxes = torch.from_numpy(table.boxes + windows[table.images][:, [0, 1, 0, 1]])
    scores, labels = torch.from_numpy(table.scores), torch.from_numpy(table.labels)
    merged = []
    for i, part in enumerate(parts):
        rows = torch.from_numpy(order[ends[i] : ends[i + 1]])
        found = Found(
            boxes[rows],
            scores[rows],
            labels[rows],
            torch.from_numpy(place[table.images[rows.numpy()]]),
            torch.from_numpy(windows[part]),
            (int(whole.sizes[i, 0]), int(whole.sizes[i, 1])),
        )
        merged.append(as_table(_best(rule(found), limit), i))
    return DetectionTable.concatenate(merged)


def _best(found: Detections, limit: int | None) -> Detections:
    """The best ones, in the order that they stand in."""
    if limit is None or len(found) <= limit:
        return found
    return found[found.scores.argsort(descending=True, stable=True)[:limit].sort().values]
