import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from tinyscope.ops import near
from tinyscope.ops.near import Near
from tinyscope.tiling.cut import grid_windows

LENGTHS = st.integers(1, 90)


@given(LENGTHS, LENGTHS, st.integers(1, 40), st.integers(1, 40), st.data())
def test_grid_covers_every_pixel_with_windows_of_one_size(height, width, rows, columns, data):
    overlap = data.draw(st.integers(0, min(rows, columns) - 1))
    windows = grid_windows((height, width), (rows, columns), overlap)
    covered = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in windows:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert (y2 - y1, x2 - x1) == (min(rows, height), min(columns, width))
        covered[y1:y2, x1:x2] = True
    assert covered.all()
    assert len(np.unique(windows, axis=0)) == len(windows)
    assert windows[:, [1, 0]].tolist() == sorted(windows[:, [1, 0]].tolist())


@given(LENGTHS, st.integers(2, 40), st.data())
def test_an_object_no_longer_than_the_overlap_is_whole_in_a_window(length, tile, data):
    overlap = data.draw(st.integers(1, tile - 1))
    side = data.draw(st.integers(1, min(overlap, length)))
    start = data.draw(st.integers(0, length - side))
    windows = grid_windows((length, length), (tile, tile), overlap)
    whole = (windows[:, 0] <= start) & (start + side <= windows[:, 2])
    assert whole.any()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.sampled_from([0.0, 0.3, 0.5]))
def test_near_boxes_hold_every_overlapping_pair_once(seed, count, ratio):
    rng = torch.Generator().manual_seed(seed)
    spread = float(10 ** torch.empty(1).uniform_(0, 3, generator=rng))
    corners = (torch.rand(count, 2, generator=rng) - 0.5) * spread
    sides = 2 ** (torch.rand(count, 2, generator=rng) * 11 - 3)
    boxes = torch.cat([corners, corners + sides], dim=1)
    groups = torch.randint(2, (count,), generator=rng)
    found = [p for a, b in Near.of(boxes, groups, ratio).pairs() for p in zip(a, b, strict=True)]
    pairs = [tuple(sorted((int(a), int(b)))) for a, b in found]
    assert len(pairs) == len(set(pairs))
    together = (box_iou(boxes, boxes) > ratio) & (groups[:, None] == groups[None])
    expected = {tuple(p) for p in together.triu(1).nonzero().tolist()}
    assert expected <= set(pairs)


def test_near_pairs_do_not_hang_on_the_chunk(monkeypatch):
    boxes = torch.rand(80, 2, generator=torch.Generator().manual_seed(1)) * 30
    boxes = torch.cat([boxes, boxes + 5], dim=1)
    candidates = Near.of(boxes, torch.zeros(80, dtype=torch.int64))
    whole = torch.cat([torch.stack(p) for p in candidates.pairs()], dim=1)
    monkeypatch.setattr(near, "CHUNK", 7)
    parts = torch.cat([torch.stack(p) for p in candidates.pairs()], dim=1)
    assert torch.equal(whole, parts)


@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [((5, 5), (4, 4), 4), ((5, 5), (4, 4), -1), ((0, 5), (4, 4), 1)]
)
def test_impossible_grids_are_refused(size, tile, overlap):
    with pytest.raises(ValueError, match="must be"):
        grid_windows(size, tile, overlap)


def test_a_published_listing_is_reproduced():
    # TinyPerson's annotation document: 1280 x 720 in tiles of 640 x 512 with overlap 50.
    windows = grid_windows((720, 1280), (512, 640), 50)
    assert np.unique(windows[:, 0]).tolist() == [0, 590, 640]
    assert np.unique(windows[:, 1]).tolist() == [0, 208]


def test_a_tile_larger_than_the_image_is_the_image():
    assert grid_windows((30, 50), (64, 64), 8).tolist() == [[0, 0, 50, 30]]
