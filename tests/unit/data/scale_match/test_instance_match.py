"""Objects change their size, and nothing else changes but what is behind them."""

import numpy as np
import pytest
import torch

from tinyscope.data import TRANSFORMS
from tinyscope.data.scale_match.factor import FactorRule
from tinyscope.data.scale_match.fill import filled, smooth_fill
from tinyscope.data.scale_match.histogram import SizeHistogram
from tinyscope.data.scale_match.instances import plan_move, put_back, soft_opacity
from tinyscope.data.transforms.instance_match import InstanceMatch
from tinyscope.errors import SettingsError
from tinyscope.types import Sample, Target


def scene(*boxes, ignore=(), background=90, object=240):
    """An even background with even objects on it."""
    image = torch.full((3, 80, 100), background, dtype=torch.uint8)
    for x1, y1, x2, y2 in boxes:
        image[:, max(0, y1) : y2, max(0, x1) : x2] = object
    target = Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.arange(len(boxes)),
        torch.tensor([i in ignore for i in range(len(boxes))], dtype=torch.bool),
    )
    return Sample(image, target, 4, "b.png")


def wanting(size: float, rule: FactorRule | None = None) -> InstanceMatch:
    histogram = SizeHistogram(np.array([1.0]), np.array([size, size], dtype=np.float64))
    return InstanceMatch(histogram, rule or FactorRule(0.25, 4.0, 1.0))


def changed(sample, size, rule=None, seed=0):
    return wanting(size, rule)(sample, np.random.default_rng(seed))


def light(sample):
    """xyxy of what is nearer to the object than to the background."""
    rows, columns = torch.nonzero(sample.image[0] > 165, as_tuple=True)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@pytest.mark.parametrize(("size", "tolerance"), [(8, 1.1), (24, 1.1), (12, 1.1)])
def test_an_object_has_the_wanted_size_where_it_was(size, tolerance):
    after = changed(scene([40, 30, 56, 46]), size)
    box = after.target.boxes[0]
    assert (box[2:] - box[:2]).tolist() == pytest.approx([size, size], rel=0.1)
    assert ((box[:2] + box[2:]) / 2).tolist() == pytest.approx([48, 38], abs=1)
    assert light(after) == pytest.approx(box.tolist(), abs=tolerance)
    assert (after.image_id, after.file) == (4, "b.png")


def test_nothing_remains_of_an_object_that_became_smaller():
    before = scene([40, 30, 56, 46])
    after = changed(before, 5)
    x1, y1, x2, y2 = after.target.boxes[0].round().int().tolist()
    rest = after.image.clone()
    rest[:, y1 - 3 : y2 + 3, x1 - 3 : x2 + 3] = 90
    assert (rest == 90).all()
    assert (before.image[:, 30:46, 40:56] == 240).all()


def test_far_pixels_and_other_objects_stay():
    before = scene([10, 10, 18, 18], [60, 40, 70, 50], ignore=[1])
    after = changed(before, 12)
    assert torch.equal(after.image[:, :, 40:], before.image[:, :, 40:])
    assert after.target.boxes[1].tolist() == [60, 40, 70, 50]
    assert after.target.labels.tolist() == [0, 1]
    assert after.target.ignore.tolist() == [False, True]


def test_objects_that_touch_stay_as_they_are():
    close = scene([40, 30, 56, 46], [58, 30, 74, 46])
    assert changed(close, 8) is close
    over_a_region = scene([40, 30, 56, 46], [30, 20, 90, 70], ignore=[1])
    assert changed(over_a_region, 8) is over_a_region


def test_of_two_that_would_meet_when_grown_one_grows():
    after = changed(scene([20, 30, 30, 40], [44, 30, 54, 40]), 20)
    sides = (after.target.boxes[:, 2] - after.target.boxes[:, 0]).tolist()
    assert sides == pytest.approx([20, 10], rel=0.1)


def test_objects_at_the_border_stay_inside_and_those_beyond_it_as_they_are():
    after = changed(scene([0, 0, 10, 10]), 20)
    box = after.target.boxes[0]
    assert box.min() >= 0
    assert (box[2:] - box[:2]).tolist() == pytest.approx([20, 20], rel=0.15)
    beyond = scene([-4, 10, 8, 22])
    assert changed(beyond, 24) is beyond


def test_a_factor_that_is_out_of_range_or_one_changes_nothing():
    sample = scene([40, 30, 56, 46])
    assert changed(sample, 16) is sample
    assert changed(sample, 40, FactorRule(0.5, 2.0, 1.0, "default")) is sample
    assert changed(sample, 0.4, FactorRule(0.0, 4.0, 1.0)) is sample  # it would vanish


def test_a_hole_takes_texture_from_nearby():
    stripes = torch.full((3, 140, 140), 60, dtype=torch.uint8)
    stripes[:, :, ::4] = 200  # vertical lines
    holes = torch.zeros(140, 140, dtype=torch.bool)
    holes[65:75, 65:75] = True
    spoilt, inside = stripes.masked_fill(holes, 255), slice(62, 78)
    expected = stripes[:, inside, inside].float()
    errors = []
    for seed in range(8):
        patch = filled(spoilt, holes, (62, 62, 78, 78), np.random.default_rng(seed))
        errors.append(float((patch - expected).abs().mean()))
    # A smooth surface between the rims has no lines.
    smooth = smooth_fill(spoilt[:, inside, inside].float(), ~holes[inside, inside])
    assert np.median(errors) < float((smooth - expected).abs().mean()) / 4


def test_a_smooth_filling_keeps_what_is_known_and_a_slope():
    slope = torch.arange(32.0).expand(2, 32, 32).clone()
    known = torch.ones(32, 32, dtype=torch.bool)
    known[12:20, 12:20] = False
    found = smooth_fill(slope * known, known)
    assert torch.equal(found[:, known], slope[:, known])
    assert (found - slope).abs().max() < 4
    assert (smooth_fill(slope, torch.zeros_like(known)) == 0).all()
    assert torch.equal(smooth_fill(slope, torch.ones_like(known)), slope)


def test_a_hole_as_large_as_the_image_has_a_filling():
    image = torch.full((3, 8, 9), 50, dtype=torch.uint8)
    holes = torch.ones(8, 9, dtype=torch.bool)
    patch = filled(image, holes, (0, 0, 9, 8), np.random.default_rng(0))
    assert patch.shape == (3, 8, 9)
    assert torch.isfinite(patch).all()


def test_opacity_is_full_in_the_box_and_fades_around_it():
    opacity = soft_opacity(torch.tensor([3.0, 2.0, 7.0, 6.0]), (0, 0, 10, 8), 2.0)
    assert opacity.shape == (8, 10)
    assert (opacity[2:6, 3:7] == 1).all()
    assert opacity[4].tolist() == [0, 0.25, 0.75, 1, 1, 1, 1, 0.75, 0.25, 0]


def test_an_object_of_a_pixel_is_put_back_on_its_box():
    sample = scene([50, 40, 51, 41])
    move = plan_move(sample.target.boxes[0], 3.0, 1.0, sample.size)
    pixels = put_back(sample.image, sample.image, move)
    left, top, right, bottom = move.new
    assert pixels.shape == (3, bottom - top, right - left)
    assert (move.moved[2:] - move.moved[:2]).tolist() == pytest.approx([3, 3])


def test_senseless_options_are_refused(tmp_path):
    (tmp_path / "h.json").write_text('{"mean": 4, "deviation": 2}')
    part = {"name": "instance_match", "target": str(tmp_path / "h.json")}
    with pytest.raises(SettingsError, match="t: scale_range must be"):
        TRANSFORMS.build({**part, "scale_range": [2.0, 1.0]}, "t")
    with pytest.raises(SettingsError, match=r"t\.border: got 0; must be greater than 0"):
        TRANSFORMS.build({**part, "border": 0}, "t")
