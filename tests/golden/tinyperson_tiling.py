"""Windows and tiles' annotations of the reference, compared with ours."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.data.tiles import tiled
from tinyscope.formats.assemble import assemble
from tinyscope.formats.boxes import corners
from tinyscope.formats.tables import Annotations
from tinyscope.tiling import Tiling
from tinyscope.tiling.cut import grid_windows


def assert_windows_equal(case: Any) -> None:
    """Every list of windows of the file: the rule, tile and overlap stand in its key."""
    compared = 0
    for key, value in case.items():
        if key == "sizes_wh":
            continue
        for name, lists in _lists(key, value):
            rule, tile, overlap = named_tiling(name)
            for (width, height), windows in zip(case["sizes_wh"], lists, strict=True):
                found = grid_windows((height, width), tile, overlap, rule)
                np.testing.assert_array_equal(
                    found, np.array(windows).reshape(-1, 4), err_msg=f"{name} {width}x{height}"
                )
                compared += 1
    assert compared


def named_tiling(name: str) -> tuple[Tiling, tuple[int, int], int]:
    """The rule, (height, width) and overlap that a name such as runtime_640x512_ov100 says.

    A name without a tile means that of TinyPerson, 640 wide and 512 high.
    """
    rules: dict[str, Tiling] = {"clip_variant": "trimmed"}
    rules |= {"flush": "flush", "runtime": "runtime", "clipped": "clipped"}
    rule = next(rule for start, rule in rules.items() if name.startswith(start))
    tile = re.search(r"_(\d+)x(\d+)", name)
    width, height = map(int, tile.groups()) if tile else (640, 512)
    overlap = re.search(r"_ov(\d+)", name)
    assert overlap, f"{name} names no overlap"
    return rule, (height, width), int(overlap[1])


def _lists(key: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):  # by overlap
        return [(f"{key}_ov{overlap}", lists) for overlap, lists in value.items()]
    return [(key, value)]


def assert_tiles_equal(case: Any) -> None:
    """Tiles and their annotations, of every variant of the file; boxes to 1e-3."""
    source = _annotations(case["source"])
    for name, expected in case["variants"].items():
        rule, tile, overlap = named_tiling(name)
        found = tiled(source, tile, overlap, rule, _min_visible(rule, name))
        images, rows = expected["images"], expected["annotations"]
        assert found.windows is not None
        np.testing.assert_array_equal(found.windows, [i["corner"] for i in images], name)
        np.testing.assert_array_equal(found.sizes, [(i["height"], i["width"]) for i in images])
        assert found.image_ids.tolist() == [i["id"] for i in images]
        assert found.files.tolist() == [i["file_name"] for i in images]
        assert found.annotation_ids.tolist() == [r["id"] for r in rows], name
        assert found.image_ids[found.images].tolist() == [r["image_id"] for r in rows], name
        boxes = corners(np.array([r["bbox"] for r in rows], dtype=np.float64).reshape(-1, 4))
        np.testing.assert_allclose(found.boxes, boxes, rtol=0, atol=1e-3, err_msg=name)
        areas = [r["area"] for r in rows]
        np.testing.assert_allclose(found.areas, areas, rtol=1e-6, atol=1e-3, err_msg=name)
        assert found.ignore.tolist() == [r["ignore"] for r in rows]
        assert found.marks["uncertain"].tolist() == [r["uncertain"] for r in rows]
        sizes = [r["size"] for r in rows if "size" in r]
        assert ("size" in found.measures) == bool(sizes)
        if sizes:
            np.testing.assert_allclose(found.measures["size"], sizes, rtol=0, atol=1e-3)


def _min_visible(rule: Tiling, name: str) -> float:
    """The share of the area that a name such as flush_ov30_keep0.7 says."""
    ratio = re.search(r"_keep([\d.]+)", name)
    assert ratio, f"{name} names no ratio"
    return float(ratio[1]) ** (1 if rule == "clipped" else 2)  # flush speaks of lengths


def _annotations(source: Any) -> Annotations:
    """Columns of a COCO object; not by our reader, which refuses boxes without width."""
    rows, images = source["annotations"], source["images"]
    position = [[i["id"] for i in images].index(row["image_id"]) for row in rows]
    order = np.argsort(position, kind="stable")
    rows = [rows[i] for i in order]
    assembled = assemble(
        Path(),
        [c["name"] for c in source["categories"]],
        [i["file_name"] for i in images],
        np.array([(i["height"], i["width"]) for i in images], dtype=np.int32),
        np.bincount(position, minlength=len(images)).tolist(),
        corners(np.array([row["bbox"] for row in rows], dtype=np.float64)),
        np.zeros(len(rows), dtype=np.int64),
        np.array([row["ignore"] for row in rows]),
    )
    areas = np.array([row["area"] for row in rows])
    uncertain = np.array([row["uncertain"] for row in rows])
    return replace(assembled, areas=areas, marks={"uncertain": uncertain})
