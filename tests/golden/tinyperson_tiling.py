"""Windows and tiles' annotations of the reference, compared with ours."""

import re
from typing import Any

import numpy as np

from tinyscope.tiling.cut import Tiling, grid_windows


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
