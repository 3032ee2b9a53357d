"""A data set of whole images as one of tiles, as the tile files of TinyPerson are made."""

from dataclasses import replace

import numpy as np

from tinyscope.formats.tables import Annotations
from tinyscope.tiling import Tiling
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.seen import Keep, Parts, parts_seen
from tinyscope.types import Size


def keep_rule(tiling: Tiling) -> Keep:
    """The rule for cut objects that was published with a tiling."""
    return "clipped" if tiling == "clipped" else "flush"


def tiled(
    annotations: Annotations,
    tile: Size,
    overlap: int,
    tiling: Tiling = "flush",
    min_visible: float | None = None,
) -> Annotations:
    """The tiles of all images, with what they show; images and annotations count from 0.

    Boxes are those of `tinyscope.tiling.seen`. With `clipped`, `areas` stay those of the whole
    boxes, as published; else they are of the parts, and `measures["size"]` are their roots. How
    many boxes no tile shows is noted.

    Args:
        annotations: Whole images, of known sizes.
        tile: (height, width).
        overlap: Of neighbors, pixels.
        tiling: How the grid ends, see `grid_windows`; also the rule for cut objects.
        min_visible: Share of its area from which a part is kept; the published one by default.

    Raises:
        ValueError: The images are tiles already, or a length cannot be right.
    """
    if annotations.windows is not None:
        raise ValueError("the images are tiles already; cut the whole ones")
    rule = keep_rule(tiling)
    grids, parts = [], []
    for image, (height, width) in enumerate(annotations.sizes.tolist()):
        grids.append(grid_windows((height, width), tile, overlap, tiling))
        rows = annotations.rows(image)
        boxes, ignore = annotations.boxes[rows], annotations.ignore[rows]
        seen = parts_seen(boxes, ignore, grids[-1], rule, min_visible)
        parts.append(replace(seen, rows=seen.rows + rows.start))
    counts = [len(grid) for grid in grids]
    windows = np.concatenate(grids)
    found = _joined(parts, counts)
    of_image = np.repeat(np.arange(len(grids)), counts)
    kept = annotations.take_rows(found.rows)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    areas = kept.areas if rule == "clipped" else sides.prod(axis=1)
    sizes = {} if rule == "clipped" else {"size": np.sqrt(areas)}
    if unseen := len(annotations.boxes) - len(np.unique(found.rows)):
        kept = kept.noted(f"{unseen} boxes are in no tile")
    if kept.video is not None:
        kept = kept.noted("frames of videos are listed as still tiles: videos are left out")
    return replace(
        kept,
        image_ids=np.arange(len(windows)),
        files=annotations.files[of_image],
        sizes=(windows[:, [3, 2]] - windows[:, [1, 0]]).astype(np.int32),
        offsets=np.searchsorted(found.windows, np.arange(len(windows) + 1)).astype(np.int64),
        boxes=found.boxes,
        areas=areas,
        annotation_ids=np.arange(len(found.rows)),
        measures={**kept.measures, **sizes},
        windows=windows,
        video=None,
    )


def _joined(parts: list[Parts], counts: list[int]) -> Parts:
    """The parts of all images, windows numbered over all of them."""
    firsts = np.cumsum([0, *counts[:-1]])
    numbered = [part.windows + first for part, first in zip(parts, firsts, strict=True)]
    return Parts(
        np.concatenate(numbered),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.boxes for part in parts]),
    )
