"""What tiles show of objects by the published rules, on the fly and as a data set."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_windows import frames, scene, square

from tinyscope.data import WINDOWS
from tinyscope.data.cut import CutRule
from tinyscope.data.tiles import tiled
from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.data.windows.grid import GridWindows
from tinyscope.data.windows.objects import objects_per_window
from tinyscope.errors import SettingsError
from tinyscope.formats.tables import VideoFrames
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.seen import parts_seen
from tinyscope.types import Target

TILE = np.array([[100, 0, 200, 100]])


def seen(box, rule, *, ignore=False, **options):
    boxes = np.array([box], dtype=np.float64)
    parts = parts_seen(boxes, np.array([ignore]), TILE, rule, **options)
    return parts.boxes.tolist()


def test_by_length_a_box_is_kept_from_seven_tenths_on():
    at_the_limit = (51, 10, 151, 20)  # 51 of 100 columns are seen: more than 0.49
    assert seen(at_the_limit, "flush") == [[0, 10, 51, 20]]
    assert seen((48.9, 10, 148.9, 20), "flush") == []
    assert seen((51, 10, 151, 20), "flush", ignore=True) == [[0, 10, 51, 20]]
    assert seen((48.9, 10, 148.9, 20), "flush", ignore=True) == []


def test_exactly_seven_tenths_of_a_length_are_enough():
    # 49 of 100 columns: the ratio of the roots is 0.7 in floats as well.
    assert seen((151, 10, 251, 20), "flush") == [[51, 10, 100, 20]]


def test_by_area_between_pixels_three_tenths_are_enough_and_all_is_for_ignored_regions():
    assert seen((169, 10, 270, 21), "clipped") == [[69, 10, 100, 21]]  # 30 of 100 between pixels
    assert seen((170, 10, 271, 21), "clipped") == []
    assert seen((170, 10, 271, 21), "clipped", ignore=True) == [[70, 10, 100, 21]]


def test_by_area_what_is_too_small_is_left_out_ignored_or_not():
    assert seen((120, 10, 122, 20), "clipped") == []
    assert seen((120, 10, 122.5, 11.5), "clipped") == []
    assert seen((120, 10, 122, 20), "clipped", ignore=True) == []
    assert seen((120, 10, 123, 13), "clipped") == [[20, 10, 23, 13]]


@pytest.mark.parametrize("rule", ["flush", "clipped"])
def test_a_box_without_width_or_outside_is_in_no_tile(rule):
    assert seen((120, 10, 120, 20), rule) == []
    assert seen((20, 10, 100, 20), rule, min_visible=0.0) == []


@pytest.mark.parametrize("rule", ["flush", "clipped"])
def test_parts_of_many_tiles_equal_those_of_each(rule, monkeypatch):
    random = np.random.default_rng(0)
    corners = random.uniform(-10, 300, (200, 2))
    boxes = np.concatenate([corners, corners + random.uniform(1, 40, (200, 2))], axis=1)
    ignore = random.random(200) < 0.3
    windows = grid_windows((280, 300), (64, 80), 20, "clipped")
    monkeypatch.setattr("tinyscope.tiling.seen._PAIRS_AT_ONCE", 700)  # 3 windows at once
    parts = parts_seen(boxes, ignore, windows, rule)
    assert len(set(parts.windows.tolist())) > 10
    for i, window in enumerate(windows):
        one = parts_seen(boxes, ignore, window[None], rule)
        np.testing.assert_array_equal(parts.rows[parts.windows == i], one.rows)
        np.testing.assert_array_equal(parts.boxes[parts.windows == i], one.boxes)


@pytest.mark.parametrize("rule", ["flush", "clipped"])
def test_a_window_of_training_shows_what_the_tile_file_has(rule):
    random = np.random.default_rng(1)
    corners = random.uniform(0, 250, (100, 2)).round(1)
    boxes = np.concatenate([corners, corners + random.uniform(3, 40, (100, 2)).round(1)], axis=1)
    annotations = scene([(280, 300)], [boxes.tolist()], ignore=random.random(100) < 0.2)
    tiles = tiled(annotations, (64, 80), 20, rule)
    target = Target(
        torch.from_numpy(boxes).float(),
        torch.zeros(100, dtype=torch.int64),
        torch.from_numpy(annotations.ignore),
    )
    lost = 0
    assert tiles.windows is not None
    for i, frame in enumerate(tiles.windows.tolist()):
        shown, dropped = CutRule(rule)(target, tuple(frame))
        rows = tiles.rows(i)
        np.testing.assert_allclose(shown.boxes.numpy(), tiles.boxes[rows], atol=1e-4)
        assert shown.ignore.tolist() == tiles.ignore[rows].tolist()
        lost += dropped.total
        assert set(dropped.counts) <= {"cut by the window: now background"}
    assert lost > 20


def test_tiles_count_from_zero_and_keep_what_the_whole_images_say():
    annotations = scene(
        [(100, 150), (40, 40)], [[square(20, 20), square(110, 80)], [square(9, 9)]], [0, 1, 2]
    )
    tiles = tiled(annotations, (100, 100), 20)
    assert tiles.image_ids.tolist() == [0, 1, 2]
    assert tiles.files.tolist() == ["0.png", "0.png", "1.png"]
    assert tiles.sizes.tolist() == [[100, 100], [100, 100], [40, 40]]
    assert tiles.annotation_ids.tolist() == [0, 1, 2]
    assert tiles.offsets.tolist() == [0, 1, 2, 3]
    assert tiles.labels.tolist() == [0, 1, 2]
    assert tiles.boxes[1].tolist() == [58, 78, 62, 82]
    assert tiles.measures["size"].tolist() == [4, 4, 4]
    with pytest.raises(ValueError, match="tiles already"):
        tiled(tiles, (64, 64), 0)


def test_images_without_objects_have_tiles_without_objects():
    tiles = tiled(scene([(100, 150), (40, 40)], [[], []]), (100, 100), 20)
    assert len(tiles) == 3
    assert len(tiles.boxes) == 0


def test_windows_may_be_oblong():
    one = scene([(300, 400)], [[square(200, 150)]])
    grid = GridWindows(size=(50, 80), overlap=10, keep_empty=1.0)(one, seed=0)
    expected = grid_windows((300, 400), (50, 80), 10)
    assert sorted(f for _, f in frames(grid)) == sorted(map(tuple, expected.tolist()))
    drawn = RandomWindows(size=(50, 80), scale=(0.5, 2.0))(one, seed=0)
    windows = [drawn[i] for i in range(100)]
    assert {w.size for w in windows} <= {(h, w) for h in (49, 50) for w in (79, 80)}
    for window in windows:
        x1, y1, x2, y2 = window.frame
        assert (x2 - x1) / (y2 - y1) == pytest.approx(1.6, rel=0.03)


@pytest.mark.parametrize("tiling", ["flush", "runtime", "clipped", "trimmed"])
def test_counts_per_window_are_right_for_every_tiling(tiling):
    random = np.random.default_rng(0)
    windows = grid_windows((97, 203), (32, 40), 25, tiling)
    points = random.uniform(0, (203, 97), (300, 2)).round()
    inside = (points[None] >= windows[:, None, :2]) & (points[None] < windows[:, None, 2:])
    counted = objects_per_window(windows, points)
    np.testing.assert_array_equal(counted, inside.all(axis=2).sum(axis=1))


def test_windows_are_empty_by_the_rule_that_objects_are_kept_by():
    # Its center lies in the left window, but neither shows half of it.
    cut = scene([(50, 100)], [[(30, 10, 69, 20)]])
    by_center = GridWindows(size=50, overlap=0, keep_empty=0.0)(cut, seed=0)
    assert frames(by_center) == [(0, (0, 0, 50, 50))]
    wide = GridWindows(size=50, overlap=0, keep_empty=0.0, cut="clipped")(cut, seed=0)
    assert sorted(frames(wide)) == [(0, (0, 0, 50, 50)), (0, (50, 0, 100, 50))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "grid", "size": [512, 0]}, "size must be a positive number of pixels"),
        ({"name": "grid", "size": [512, 640, 3]}, r"data\.windows\.size"),
        ({"name": "random", "size": [0, 640]}, "size must be a positive number of pixels"),
        ({"name": "grid", "size": [100, 640], "overlap": 100}, "overlap must be .* got 100"),
        ({"name": "grid", "tiling": "corner"}, r"data\.windows\.tiling"),
    ],
)
def test_senseless_tiles_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        WINDOWS.build(options, "data.windows")


def test_sizes_of_windows_may_be_given_as_yaml_gives_them():
    windows = WINDOWS.build({"name": "grid", "size": [512, 640], "tiling": "clipped"})
    assert windows.size == (512, 640)


def test_tiles_of_frames_are_stills_and_say_so():
    whole = scene([(200, 300)], [[[10, 10, 20, 20]]])
    video = VideoFrames.stills(whole.files.tolist(), len(whole.boxes))
    cut = tiled(replace(whole, video=video), (100, 100), 0)
    assert cut.video is None
    assert any("videos are left out" in note for note in cut.notes)
    assert not any("videos" in note for note in tiled(whole, (100, 100), 0).notes)
