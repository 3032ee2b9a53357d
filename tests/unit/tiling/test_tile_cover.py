import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.tiling.cover import uncovered
from tinyscope.tiling.cut import grid_windows


@pytest.mark.parametrize("tiling", ["flush", "clipped", "trimmed"])
def test_a_grid_covers_its_image_and_a_gap_is_named(tiling):
    windows = grid_windows((100, 200), (40, 50), 10, tiling)
    assert uncovered(windows, (100, 200)) is None
    assert uncovered(windows[::-1], (100, 200)) is None
    assert uncovered(windows[(windows[:, :2] > 0).any(axis=1)], (100, 200)) == (0, 0, 40, 30)


def test_without_windows_all_is_uncovered():
    assert uncovered(np.zeros((0, 4), np.int64), (7, 8)) == (0, 0, 8, 7)


def test_windows_may_reach_out_of_the_image():
    assert uncovered(np.array([[-3, -3, 20, 20]]), (7, 8)) is None
    assert uncovered(np.array([[9, 0, 20, 20]]), (7, 8)) == (0, 0, 8, 7)


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 4), max_size=6))
def test_a_part_is_named_if_and_only_if_a_pixel_is_not_shown(corners):
    windows = np.array(
        [(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners],
        dtype=np.int64,
    ).reshape(-1, 4)
    shown = np.zeros((6, 6), dtype=bool)
    for x1, y1, x2, y2 in windows:
        shown[y1:y2, x1:x2] = True
    part = uncovered(windows, (6, 6))
    if part is None:
        assert shown.all()
    else:
        x1, y1, x2, y2 = part
        assert x1 < x2
        assert y1 < y2
        assert not shown[y1:y2, x1:x2].any()
