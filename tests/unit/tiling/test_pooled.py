import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.errors import SettingsError
from tinyscope.tiling import MERGES
from tinyscope.tiling.found import in_image
from tinyscope.tiling.pooled import PooledNmsMerge
from tinyscope.tiling.published import bottom_heavy, sspnet, tinybenchmark
from tinyscope.types import Detections

SIZE = (40, 90)
WINDOWS = torch.tensor([[0, 0, 50, 40], [40, 0, 90, 40]])
PUBLISHED = [tinybenchmark(), sspnet(), bottom_heavy()]


def of_windows(*parts, order=(0, 1)):
    """Rows (x1, y1, x2, y2, score, label) of each window, in the frame of the image."""
    found = []
    for rows, window in zip(parts, WINDOWS, strict=True):
        values = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
        boxes = values[:, :4] - window[:2].repeat(2)
        found.append(Detections(boxes, values[:, 4], values[:, 5].long()))
    chosen = list(order)
    return in_image(WINDOWS[chosen], [found[i] for i in chosen], SIZE)


def scores(merged):
    return [round(float(s), 3) for s in merged.scores]


def test_neighbors_of_one_window_are_judged_again():
    near = [(10, 10, 20, 20, 0.9, 0), (13, 10, 23, 20, 0.8, 0)]  # an IoU of 0.54
    found = of_windows(near, [])
    assert scores(PooledNmsMerge()(found)) == [0.9]
    assert scores(PooledNmsMerge(iou_threshold=0.6)(found)) == [0.9, 0.8]
    assert len(MERGES.build({"name": "nms"})(found)) == 2


@pytest.mark.parametrize(("rule", "left"), [(tinybenchmark(), 1), (sspnet(), 2)])
def test_at_the_threshold_published_code_differs(rule, left):
    # With their last pixels 10 x 10 and 5 x 10: half of the larger one, exactly.
    found = of_windows([(0, 0, 9, 9, 0.9, 0), (0, 0, 4, 9, 0.8, 0)], [])
    assert len(rule(found)) == left


def test_the_last_pixel_makes_tiny_boxes_overlap_more():
    found = of_windows([(0, 0, 4, 4, 0.9, 0), (2, 0, 6, 4, 0.8, 0)], [])
    assert len(PooledNmsMerge(iou_threshold=0.4)(found)) == 2
    assert len(PooledNmsMerge(iou_threshold=0.4, last_pixel=True)(found)) == 1


def test_classes_are_looked_at_only_where_they_shall_be():
    same_place = [(5, 5, 10, 10, 0.9, 0), (5, 5, 10, 10, 0.8, 1)]
    assert PooledNmsMerge()(of_windows(same_place, [])).labels.tolist() == [0, 1]
    assert sspnet()(of_windows(same_place[::-1], [])).labels.tolist() == [0]
    alone = of_windows([(5, 5, 10, 10, 0.9, 1)], [])
    assert sspnet()(alone).labels.tolist() == [1]
    assert bottom_heavy()(alone).labels.tolist() == [0]


def test_a_score_at_the_least_one_is_left_out_before_it_suppresses():
    found = of_windows([(5, 5, 10, 10, 0.05, 0), (25, 5, 30, 10, 0.06, 0)], [])
    assert scores(bottom_heavy(score_above=float(found.scores[0]))(found)) == [0.06]
    assert scores(bottom_heavy(score_above=None)(found)) == [0.06, 0.05]


def test_what_remains_stands_as_it_was_found_or_best_first():
    found = of_windows(
        [(5, 5, 10, 10, 0.3, 0), (42, 5, 47, 10, 0.5, 0)],
        [(42, 5, 47, 10, 0.6, 0), (70, 5, 75, 10, 0.4, 0)],
    )
    assert scores(tinybenchmark()(found)) == [0.3, 0.6, 0.4]
    assert scores(sspnet()(found)) == [0.6, 0.4, 0.3]
    assert len(tinybenchmark(iou_threshold=1.0)(found)) == 4


@pytest.mark.parametrize("rule", PUBLISHED)
def test_nothing_found_merges_to_nothing(rule):
    assert len(rule(of_windows([], []))) == 0


@given(st.integers(0, 10**6))
def test_the_order_of_windows_changes_nothing_but_the_order(seed):
    rng = torch.Generator().manual_seed(seed)
    rows = torch.rand(30, 6, generator=rng) * torch.tensor([30.0, 30, 8, 8, 1, 2])
    rows[:, 2:4] += rows[:, :2] + 2
    rows[:, 4] = (rows[:, 4] * 4).round() / 4  # with ties
    rows[:, 5].floor_()
    parts = (rows[:15].tolist(), (rows[15:] + torch.tensor([40.0, 0, 40, 0, 0, 0])).tolist())
    for rule in (PooledNmsMerge(), sspnet()):
        one, two = (rule(of_windows(*parts, order=order)) for order in ((0, 1), (1, 0)))
        for name in ("boxes", "scores", "labels"):
            assert torch.equal(getattr(one, name), getattr(two, name))
    one, two = (tinybenchmark()(of_windows(*parts, order=order)) for order in ((0, 1), (1, 0)))
    assert sorted(one.boxes.tolist()) == sorted(two.boxes.tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "sspnet", "iou_threshold": 1.5}, r"merge\.iou_threshold: got 1\.5"),
        ({"name": "sspnet", "score_above": 0.1}, r"merge\.score_above: no such option of sspnet"),
        ({"name": "tinybenchmark", "iou_threshold": 0.0}, "would leave one detection"),
    ],
)
def test_wrong_options_are_refused_by_name(options, message):
    with pytest.raises(SettingsError, match=message):
        MERGES.build(options)
