from typing import get_args

import numpy as np
import pytest

from tinyscope.tiling import Tiling
from tinyscope.tiling.cut import grid_windows

RULES = get_args(Tiling)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 48), (65, 49), (200, 97), (10, 300)])
@pytest.mark.parametrize("overlap", [0, 7, 40])
def test_windows_lie_within_the_image_and_cover_it(rule, size, overlap):
    windows = grid_windows(size, (64, 48), overlap, rule)
    assert windows.dtype == np.int64
    covered = np.zeros(size, dtype=np.int64)
    for x1, y1, x2, y2 in windows:
        assert 0 <= x1 < x2 <= size[1]
        assert 0 <= y1 < y2 <= size[0]
        assert x2 - x1 <= 48
        assert y2 - y1 <= 64
        covered[y1:y2, x1:x2] += 1
    assert covered.min() >= 1


def across_the_image(length, overlap, rule):
    return grid_windows((1, length), (50, 50), overlap, rule)[:, [0, 2]].tolist()


def test_the_last_window_is_shifted_cut_or_repeated_as_the_rule_says():
    across = {rule: across_the_image(120, 9, rule) for rule in RULES}
    assert across["flush"] == across["runtime"] == [[0, 50], [41, 91], [70, 120]]
    assert across["trimmed"] == [[0, 50], [41, 91], [82, 120]]
    assert across["clipped"] == [[0, 50], [41, 91], [82, 120]]
    assert across_the_image(90, 10, "clipped") == [[0, 50], [40, 90], [80, 90]]


def test_rows_stand_outside_but_for_clipped_windows():
    flush, clipped = (grid_windows((20, 20), (10, 10), 0, rule) for rule in ("flush", "clipped"))
    assert flush[:2].tolist() == [[0, 0, 10, 10], [10, 0, 20, 10]]
    assert clipped[:2].tolist() == [[0, 0, 10, 10], [0, 10, 10, 20]]


def test_an_image_within_the_overlap_is_one_window():
    for rule in RULES:
        assert grid_windows((5, 5), (64, 64), 10, rule).tolist() == [[0, 0, 5, 5]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((10, 10), (8, 8), 8), "overlap 8 must be"),
        (((10, 0), (8, 8), 0), "at least 1 px"),
    ],
)
def test_senseless_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid_windows(*arguments)
