"""Merging files of tile detections: tinyscope's rules beside torchvision's suppression.

Detections are spread over the tiles of many whole images (as those of a test set) or of one large
mosaic; objects at seams are in all tiles that show them, and every object is found about three
times. torchvision's `batched_nms` is called once per image, on the same boxes in the frame of the
image. The work doubles from row to row, so that the seconds show whether they grow in proportion.
Reading and writing JSON is not part of it. Figures are CPU seconds of one thread, the least of
several runs.

    python benchmarks/merging.py [--quick]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from tinyscope.engine.merge import merge_tables
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.tiling import MERGES
from tinyscope.tiling.cut import grid_windows
from tinyscope.types import Size

TILE, OVERLAP, CLASSES = (512, 640), 50, 2
RULES = ("nms", "soft_nms", "ownership", "pooled_nms", "tinybenchmark", "sspnet")


def images_of(count: int, size: Size) -> tuple[Annotations, Annotations]:
    """The tiles of as many images of one size, and these images."""
    windows = grid_windows(size, TILE, OVERLAP)
    whole = _without_objects([f"{i}.jpg" for i in range(count)], np.tile(size, (count, 1)), None)
    every = np.tile(windows, (count, 1))
    files = np.repeat(whole.files, len(windows)).tolist()
    return _without_objects(files, every[:, [3, 2]] - every[:, [1, 0]], every), whole


def _without_objects(
    files: list[str], sizes: NDArray[np.int64], windows: NDArray[np.int64] | None
) -> Annotations:
    none = np.zeros(0)
    return Annotations(
        root=Path(),
        names=tuple("ab"[:CLASSES]),
        category_ids=tuple(range(1, CLASSES + 1)),
        image_ids=np.arange(len(files)),
        files=np.array(files, dtype=np.str_),
        sizes=sizes.astype(np.int32),
        offsets=np.zeros(len(files) + 1, dtype=np.int64),
        boxes=np.zeros((0, 4)),
        labels=none.astype(np.int64),
        areas=none,
        ignore=none.astype(np.bool_),
        crowd=none.astype(np.bool_),
        annotation_ids=none.astype(np.int64),
        windows=windows,
    )


def detections(tiles: Annotations, whole: Annotations, count: int) -> DetectionTable:
    """`count` detections of objects of 3 to 32 px, about three of each and more at seams."""
    rng = np.random.default_rng(0)
    assert tiles.windows is not None
    per_image = len(tiles) // len(whole)
    windows = tiles.windows[:per_image]
    height, width = whole.sizes[0].tolist()
    wanted = count // len(whole)
    columns: list[list[NDArray[np.float64]]] = [[], [], [], []]
    for image in range(len(whole)):
        objects = max(1, int(wanted / 3.4))
        corner = rng.uniform(0, (width - 33, height - 33), (objects, 2))
        sides = np.exp(rng.uniform(np.log(3), np.log(32), (objects, 2)))
        boxes = np.repeat(np.concatenate([corner, corner + sides], axis=1), 3, axis=0)
        boxes += rng.normal(0, 0.6, boxes.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = np.repeat(rng.integers(0, CLASSES, objects), 3)
        row, tile = showing(boxes, windows)
        low = np.maximum(boxes[row, :2], windows[tile, :2])
        high = np.minimum(boxes[row, 2:], windows[tile, 2:])
        shown = (high - low).min(axis=1) > 1
        row, tile, low, high = row[shown], tile[shown], low[shown], high[shown]
        seen = np.concatenate([low, high], axis=1)
        columns[0].append((image * per_image + tile).astype(np.float64))
        columns[1].append(seen - windows[tile][:, [0, 1, 0, 1]])
        columns[2].append(rng.uniform(0.05, 1, len(row)))
        columns[3].append(labels[row].astype(np.float64))
    images, boxes, scores, kinds = (np.concatenate(column) for column in columns)
    made = DetectionTable(images.astype(np.int64), boxes, scores, kinds.astype(np.int64))
    return made[np.sort(rng.permutation(len(made))[:count])]


def showing(
    boxes: NDArray[np.float64], windows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of boxes, and the windows of a grid (rows outer) that may show something of them."""
    first, count = [], []
    for axis in (0, 1):
        starts = np.unique(windows[:, axis])
        ends = np.unique(windows[:, axis + 2])
        first.append(np.searchsorted(ends, boxes[:, axis], side="right"))
        count.append(np.searchsorted(starts, boxes[:, axis + 2]) - first[axis])
    across = len(np.unique(windows[:, 0]))
    rows, tiles = [], []
    for x in range(int(count[0].max(initial=0))):
        for y in range(int(count[1].max(initial=0))):
            (here,) = ((count[0] > x) & (count[1] > y)).nonzero()
            rows.append(here)
            tiles.append((first[1][here] + y) * across + first[0][here] + x)
    return np.concatenate(rows), np.concatenate(tiles)


def by_torchvision(table: DetectionTable, tiles: Annotations, whole: Annotations) -> int:
    """Plain suppression, one call per image; what it leaves at seams is not looked at."""
    assert tiles.windows is not None
    corner = tiles.windows[table.images][:, [0, 1, 0, 1]]
    boxes = torch.from_numpy(table.boxes + corner).float()
    scores, labels = torch.from_numpy(table.scores).float(), torch.from_numpy(table.labels)
    of_image = table.images // (len(tiles) // len(whole))
    order = np.argsort(of_image, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(of_image, minlength=len(whole)))[:-1])
    rows = map(torch.from_numpy, parts)
    return sum(len(batched_nms(boxes[r], scores[r], labels[r], 0.5)) for r in rows)


def cell(runs: int, merge: Callable[..., int], *arguments: object) -> str:
    """The least CPU seconds of several runs, and how many detections are left."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        left = merge(*arguments)
        times.append(time.process_time() - start)
    return f"{min(times):.2f} ({left} left)"


def by_rule(name: str, table: DetectionTable, tiles: Annotations, whole: Annotations) -> int:
    """Detections that a rule of ours leaves."""
    return len(merge_tables(table, tiles, whole, MERGES.build({"name": name})))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A sixteenth of the detections.")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    most, runs = (62_500, 1) if quick else (1_000_000, 3)
    layouts = {
        "images of 1500 x 2000 px": (51 if quick else 816, (1500, 2000)),
        "square mosaic": (1, (10_000, 10_000) if quick else (40_000, 40_000)),
    }
    for title, (images, size) in layouts.items():
        tiles, whole = images_of(images, size)
        print(f"\n{images} {title}, {len(tiles)} tiles; CPU seconds\n")
        print("| detections | torchvision | " + " | ".join(RULES) + " |")
        print("|---:|" + "---:|" * (len(RULES) + 1))
        for count in (most // 4, most // 2, most):
            table = detections(tiles, whole, count)
            # Plain suppression of all boxes of one image looks at the square of their number.
            feasible = images > 1 or count <= 250_000
            cells = [cell(runs, by_torchvision, table, tiles, whole) if feasible else ""]
            cells += [cell(runs, by_rule, name, table, tiles, whole) for name in RULES]
            print(f"| {len(table)} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
