import numpy as np
import pytest
import torch

from tinyscope.data.cut import CutRule, cut_out
from tinyscope.types import Sample, Target

WINDOW = (10, 20, 42, 52)


def target(*boxes: tuple[float, ...], ignore: bool = False) -> Target:
    values = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Target(
        values, torch.arange(len(values)), torch.full((len(values),), ignore, dtype=torch.bool)
    )


def test_a_whole_object_moves_into_the_frame_of_the_window():
    seen, dropped = CutRule()(target((12, 24, 15, 29), (10, 20, 42, 52)), WINDOW)
    assert seen.boxes.tolist() == [[2, 4, 5, 9], [0, 0, 32, 32]]
    assert seen.labels.tolist() == [0, 1]
    assert not seen.ignore.any()
    assert dropped.total == 0


@pytest.mark.parametrize("cut", ["clip", "ignore", "keep"])
def test_objects_outside_belong_to_other_windows(cut):
    outside = target((0, 0, 5, 5), (42, 20, 50, 30), (2, 30, 10, 40), (10, 0, 20, 20))
    seen, dropped = CutRule(cut)(outside, WINDOW)
    assert len(seen) == 0
    assert dropped.total == 0
    assert seen.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("cut", "box", "ignored"),
    [
        ("clip", [0, 5, 6, 10], False),
        ("keep", [-2, 5, 6, 10], False),
        ("ignore", [0, 5, 6, 10], True),
    ],
)
def test_a_cut_object_follows_the_rule(cut, box, ignored):
    seen, dropped = CutRule(cut, min_visible=0.5)(target((8, 25, 16, 30)), WINDOW)
    assert seen.boxes.tolist() == [box]
    assert seen.ignore.tolist() == [ignored]
    assert dropped.total == int(ignored)


@pytest.mark.parametrize("cut", ["clip", "ignore", "keep"])
def test_an_object_seen_too_little_is_ignored_clipped_and_counted_by_its_size(cut):
    seen, dropped = CutRule(cut, min_visible=0.5)(target((2, 25, 14, 37)), WINDOW)
    assert seen.boxes.tolist() == [[0, 5, 4, 17]]
    assert seen.ignore.tolist() == [True]
    ((reason, counts),) = dropped.counts.items()
    assert reason == "cut by the window: now ignored"
    np.testing.assert_array_equal(counts, [0, 0, 1, 0, 0])  # 12 px


def test_exactly_the_share_that_is_asked_for_is_enough():
    half = target((6, 25, 14, 30))
    assert not CutRule(min_visible=0.5)(half, WINDOW)[0].ignore.any()
    assert CutRule(min_visible=0.51)(half, WINDOW)[0].ignore.all()


def test_a_rounding_error_at_the_border_cuts_nothing():
    seen, dropped = CutRule("ignore")(target((9.9999, 25, 14, 30)), WINDOW)
    assert not seen.ignore.any()
    assert seen.boxes[0, 0] == 0
    assert dropped.total == 0


def test_what_is_left_of_an_object_must_be_a_pixel_wide():
    seen, dropped = CutRule(min_visible=0.2)(target((8, 25, 10.8, 30)), WINDOW)
    assert seen.ignore.tolist() == [True]
    assert dropped.total == 1


def test_an_object_below_a_pixel_that_is_whole_stays_an_object():
    seen, _ = CutRule()(target((20, 25, 20.5, 25.5)), WINDOW)
    assert seen.ignore.tolist() == [False]


@pytest.mark.parametrize("cut", ["clip", "ignore", "keep"])
def test_ignored_regions_are_clipped_and_kept_but_not_counted(cut):
    seen, dropped = CutRule(cut)(target((0, 0, 100, 21), (0, 0, 11, 100), ignore=True), WINDOW)
    assert seen.boxes.tolist() == [[0, 0, 32, 1], [0, 0, 1, 32]]
    assert seen.ignore.all()
    assert dropped.total == 0


def test_no_objects_stay_no_objects():
    seen, dropped = CutRule()(Target.empty(), WINDOW)
    assert len(seen) == 0
    assert seen.labels.dtype == torch.int64
    assert dropped.total == 0


def test_cutting_does_not_touch_its_input():
    whole = target((8, 25, 16, 30))
    image = torch.zeros(3, 60, 60, dtype=torch.uint8)
    sample = cut_out(Sample(image, whole, 7, "a.png"), WINDOW, CutRule())
    assert whole.boxes.tolist() == [[8, 25, 16, 30]]
    assert sample.size == (32, 32)
    assert (sample.image_id, sample.file) == (7, "a.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"min_visible": 1.5}, "min_visible must be .* got 1.5"), ({"min_side": -1.0}, "min_side")],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CutRule(**options)
