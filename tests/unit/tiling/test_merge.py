import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.errors import SettingsError
from tinyscope.tiling import MERGES
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.found import Found, in_image
from tinyscope.tiling.nms import NmsMerge
from tinyscope.tiling.ownership import OwnershipMerge, cores
from tinyscope.tiling.pooled import PooledNmsMerge
from tinyscope.tiling.soft_nms import SoftNmsMerge
from tinyscope.types import Detections

NAMES = ["nms", "soft_nms", "ownership"]
RULES = [MERGES.load(name)() for name in NAMES]
SIZE, TILE, OVERLAP = (150, 210), (64, 64), 24


def windows(size=SIZE, tile=TILE, overlap=OVERLAP, tiling="flush"):
    return torch.from_numpy(grid_windows(size, tile, overlap, tiling))


def seen(boxes, labels=None, scores=None, jitter=0.0, size=SIZE, tile=TILE, overlap=OVERLAP):
    """What a faultless detector finds in every window: the visible parts of all objects."""
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.zeros(len(boxes), dtype=torch.int64) if labels is None else torch.tensor(labels)
    scores = torch.full((len(boxes),), 0.9) if scores is None else torch.tensor(scores)
    rng = torch.Generator().manual_seed(3)
    grid = windows(size, tile, overlap)
    found = []
    for window in grid:
        low, high = window[:2].repeat(2), window[2:].repeat(2)
        moved = boxes + jitter * (torch.rand(len(boxes), 4, generator=rng) - 0.5)
        part = moved.clamp(min=low, max=high)
        visible = ((part[:, 2:] - part[:, :2]) > 0.3).all(dim=1)
        lower = 0.05 * torch.rand(int(visible.sum()), generator=rng)
        found.append(Detections(part[visible] - low, scores[visible] - lower, labels[visible]))
    return in_image(grid, found, size)


def as_set(detections):
    return {tuple(round(float(v), 2) for v in box) for box in detections.boxes}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@pytest.mark.parametrize("side", [2, 5, 12, 20])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_an_object_is_found_once_wherever_the_seams_are(rule, side, jitter):
    # Every place across two seams of both axes, one after the other.
    for start in range(20, 110, 5):
        box = [start, start * 0.8, start + side, start * 0.8 + side]
        merged = rule(seen([box], jitter=jitter))
        assert len(merged) == 1, (start, merged)
        torch.testing.assert_close(merged.boxes[0], torch.tensor(box), rtol=0, atol=jitter / 2)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_small_object_on_a_larger_one_survives(rule):
    for start in range(10, 120, 3):
        large = [start, start, start + 22.0, start + 22]
        small = [start + 8.0, start + 9, start + 12, start + 13]
        assert as_set(rule(seen([large, small]))) == as_set(Detections(*_all([large, small])))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_other_classes_in_one_place_are_left_alone(rule):
    box = [42.0, 42, 50, 50]
    merged = rule(seen([box, box], labels=[0, 1]))
    assert sorted(merged.labels.tolist()) == [0, 1]


@pytest.mark.parametrize("rule", [NmsMerge(), OwnershipMerge()])
def test_neighbors_that_a_window_tells_apart_both_stay(rule):
    boxes = [[43.0, 20, 53, 30], [47.0, 20, 57, 30]]  # an IoU of 0.43
    assert as_set(rule(seen(boxes))) == as_set(Detections(*_all(boxes)))


def test_a_cut_box_yields_to_the_whole_one_though_it_scores_higher():
    grid = windows((64, 104))
    part = Detections(*_all([[54.0, 20, 64, 30]]))  # its window ends at 64
    whole = Detections(torch.tensor([[14.0, 20, 34, 30]]), torch.tensor([0.3]), part.labels)
    merged = NmsMerge()(in_image(grid, [part, whole], (64, 104)))
    assert merged.boxes.tolist() == [[54, 20, 74, 30]]
    assert merged.scores.tolist() == pytest.approx([0.3])


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@pytest.mark.parametrize("tiling", ["flush", "clipped", "trimmed"])
def test_an_object_is_found_once_however_the_grid_ends_at_the_border(rule, tiling):
    grid = windows(tiling=tiling)
    for start in range(60, 140, 4):
        box = torch.tensor([[start, start - 9.0, start + 7, start - 1]])
        found = []
        for window in grid:
            part = box.clamp(min=window[:2].repeat(2), max=window[2:].repeat(2))
            visible = ((part[:, 2:] - part[:, :2]) > 0.3).all(dim=1)
            scores, labels = torch.full((1,), 0.9), torch.zeros(1, dtype=torch.int64)
            frame = part - window[:2].repeat(2)
            found.append(Detections(frame[visible], scores[visible], labels[visible]))
        assert rule(in_image(grid, found, SIZE)).boxes.tolist() == box.tolist()


def test_an_object_longer_than_the_overlap_stays_in_parts():
    merged = NmsMerge()(seen([[10.0, 20, 140, 30]], size=(64, 210)))
    assert len(merged) >= 2


def test_the_borders_of_the_image_cut_nothing():
    found = seen([[0.0, 0, 5, 5], [205.0, 145, 210, 150]])
    assert not found.cut(2.0).any()
    assert len(NmsMerge()(found)) == 2


def test_soft_suppression_keeps_a_lesser_neighbor_of_another_window_with_a_lower_score():
    grid = windows((64, 104))
    one = Detections(*_all([[44.0, 20, 54, 30]]))
    other = Detections(torch.tensor([[8.0, 20, 18, 30]]), torch.tensor([0.8]), one.labels)
    found = in_image(grid, [one, other], (64, 104))  # an IoU of 0.43
    merged = SoftNmsMerge()(found)
    assert len(merged) == 2
    assert merged.scores[0] == pytest.approx(0.9)
    assert 0.05 < float(merged.scores[1]) < 0.2
    assert len(NmsMerge()(found)) == 1


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_nothing_found_merges_to_nothing(rule):
    assert len(rule(seen([]))) == 0


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 60))
def test_the_order_of_windows_and_detections_changes_nothing(rule, seed, count):
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=rng) * torch.tensor([200.0, 140.0])
    boxes = torch.cat([corners, corners + 2 + 20 * torch.rand(count, 2, generator=rng)], dim=1)
    scores = (torch.rand(count, generator=rng) * 5).round() / 5  # with ties
    found = seen(boxes.tolist(), torch.randint(2, (count,), generator=rng).tolist(),
                 scores.tolist(), jitter=1.0)  # fmt: skip
    tile_order = torch.randperm(len(found.windows), generator=rng)
    place = torch.empty_like(tile_order)
    place[tile_order] = torch.arange(len(tile_order))
    rows = torch.randperm(len(found), generator=rng)
    shuffled = Found(
        found.boxes[rows],
        found.scores[rows],
        found.labels[rows],
        place[found.tiles[rows]],
        found.windows[tile_order],
        found.size,
    )
    one, two = rule(found), rule(shuffled)
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(one, name), getattr(two, name))


@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(2, 64),
    st.sampled_from(["flush", "clipped", "trimmed"]),
    st.data(),
)
def test_the_cores_of_a_grid_divide_the_image(height, width, tile, tiling, data):
    overlap = data.draw(st.integers(0, tile - 1))
    grid = windows((height, width), (tile, tile), overlap, tiling)
    x = data.draw(st.floats(-1, width + 1, width=32))
    y = data.draw(st.floats(-1, height + 1, width=32))
    here = torch.tensor([[x, y]])
    low, high = cores(grid, (height, width))
    owners = ((here >= low) & (here < high)).all(dim=1)
    assert int(owners.sum()) == 1
    if 0 <= x < width and 0 <= y < height:
        owner = grid[owners][0]
        assert owner[0] <= x <= owner[2]
        assert owner[1] <= y <= owner[3]


@given(st.integers(0, 10**6))
def test_boxes_that_only_one_window_shows_are_told_from_those_that_two_show(seed):
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(40, 2, generator=rng) * torch.tensor([190.0, 130.0])
    boxes = torch.cat([corners, corners + 1 + 15 * torch.rand(40, 2, generator=rng)], dim=1)
    found = seen(boxes.tolist())
    grid = found.windows
    for box, tile, twice in zip(found.boxes, found.tiles, found.seen_twice(), strict=True):
        touching = (box[:2] < grid[:, 2:]).all(dim=1) & (box[2:] > grid[:, :2]).all(dim=1)
        touching[tile] = False
        if touching.any():
            assert twice


def test_wrong_options_are_refused_by_name():
    with pytest.raises(SettingsError, match=r"predict\.merge\.iou_threshold: got 1\.5"):
        MERGES.build({"name": "nms", "iou_threshold": 1.5}, "predict.merge")
    with pytest.raises(SettingsError, match="sigma"):
        MERGES.build({"name": "soft_nms", "sigma": 0.0}, "predict.merge")
    with pytest.raises(SettingsError, match="slack"):
        MERGES.build({"name": "ownership", "slack": -1.0}, "predict.merge")


def _all(boxes):
    count = len(boxes)
    return torch.tensor(boxes), torch.full((count,), 0.9), torch.zeros(count, dtype=torch.int64)


@pytest.mark.parametrize("name", MERGES.names())
def test_every_rule_says_what_it_wants(name):
    rule = MERGES.build({"name": name})
    assert rule.undecided is False
    assert rule.within_windows == isinstance(rule, PooledNmsMerge)
