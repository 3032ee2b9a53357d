"""Transforms that move by any angle, recolor and blur, against what they must do by hand."""

import colorsys
import itertools

import numpy as np
import pytest
import torch

from tinyscope.data import TRANSFORMS
from tinyscope.data.cut import CutRule
from tinyscope.data.images import BACKDROP
from tinyscope.data.transforms.box_blur import BoxBlur
from tinyscope.data.transforms.brightness_contrast import BrightnessContrast
from tinyscope.data.transforms.channel_shuffle import ChannelShuffle
from tinyscope.data.transforms.color_shift import ColorShift
from tinyscope.data.transforms.fit_range import FitRange
from tinyscope.data.transforms.hsv_shift import shift_hsv
from tinyscope.data.transforms.jpeg import Jpeg
from tinyscope.data.transforms.median import median_of_nine
from tinyscope.data.transforms.motion_blur import MotionBlur
from tinyscope.data.transforms.shift_rotate import ShiftRotate, move_pixels, shifted_and_rotated
from tinyscope.data.transforms.turn import turned
from tinyscope.errors import SettingsError
from tinyscope.types import Sample, Target

KEEP = CutRule("clip", 0.0, 0.0)


def noise(height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


def sample(image: torch.Tensor, boxes: list[list[float]], ignore: list[bool] | None = None):
    count = len(boxes)
    flags = torch.tensor(ignore or [False] * count, dtype=torch.bool)
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Sample(image, Target(corners, torch.zeros(count, dtype=torch.int64), flags))


def dot(image: torch.Tensor, at: tuple[int, int]) -> torch.Tensor:
    """Black, with one white pixel at (y, x)."""
    image = torch.zeros_like(image)
    image[:, at[0], at[1]] = 255
    return image


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("side", [20, 21])
@pytest.mark.parametrize("quarters", [1, 2, -1])
@pytest.mark.parametrize("border", ["color", "mirror"])
def test_a_quarter_is_that_of_turn_to_the_pixel(side, quarters, border):
    before = sample(noise(side, side), [[2.0, 3.0, 6.0, 9.5], [0.0, 0.0, 1.0, 1.0]])
    after = shifted_and_rotated(before, 90.0 * quarters, (0.0, 0.0), border, KEEP)
    expected = turned(before, quarters % 4)
    assert (after.image.int() - expected.image.int()).abs().max() <= 1
    torch.testing.assert_close(after.target.boxes, expected.target.boxes, rtol=0, atol=1e-4)


def test_a_shift_by_whole_pixels_moves_pixels_and_boxes():
    before = sample(noise(12, 16), [[4.0, 5.0, 7.0, 8.0]])
    after = shifted_and_rotated(before, 0.0, (3.0, -2.0), "color", KEEP)
    assert torch.equal(after.image[:, :10, 3:], before.image[:, 2:, :13])
    assert after.image[:, 11, 0].tolist() == list(BACKDROP)
    torch.testing.assert_close(after.target.boxes, torch.tensor([[7.0, 3.0, 10.0, 6.0]]))


def test_the_mirror_stands_in_the_outermost_pixels():
    image = noise(10, 14)
    moved = move_pixels(image, 0.0, (2.0, 0.0), "mirror")
    assert torch.equal(moved[:, :, 2:], image[:, :, :12])
    assert torch.equal(moved[:, :, :2], image[:, :, [2, 1]])


@pytest.mark.parametrize("degrees", [-45.0, 10.0, 45.0, 130.0])
def test_a_box_is_the_upright_one_around_its_turned_pixels(degrees):
    image = torch.zeros(3, 120, 160, dtype=torch.uint8)
    image[:, 50:70, 90:102] = 255
    color = torch.tensor(BACKDROP)[:, None, None]
    before = sample(image, [[90.0, 50.0, 102.0, 70.0]])
    after = shifted_and_rotated(before, degrees, (-7.5, 4.0), "mirror", KEEP)
    light = after.image[0] > 30
    rows, columns = light.any(1).nonzero()[:, 0], light.any(0).nonzero()[:, 0]
    seen = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
    torch.testing.assert_close(after.target.boxes[0], seen, rtol=0, atol=1.2)
    assert not torch.equal(after.image.int(), color.expand_as(image).int())


def test_ignored_regions_move_like_objects():
    before = sample(noise(60, 60), [[20, 20, 30, 26], [20, 20, 30, 26]], [False, True])
    target = shifted_and_rotated(before, 33.0, (2.0, 1.0), "mirror", KEEP).target
    assert target.ignore.tolist() == [False, True]
    assert torch.equal(target.boxes[0], target.boxes[1])


def test_what_leaves_the_image_is_counted_and_what_is_cut_too_far_is_ignored():
    boxes = [[0, 0, 4, 4], [8, 8, 12, 12], [3, 8, 9, 12], [0, 10, 4, 12]]
    before = sample(noise(20, 20), boxes, [False, False, False, True])
    after = shifted_and_rotated(before, 0.0, (-7.0, 0.0), "color", CutRule("clip", 0.5, 1.0))
    assert after.target.boxes.tolist() == [[1, 8, 5, 12], [0, 8, 2, 12]]
    assert after.target.ignore.tolist() == [False, True]
    assert {r: int(c.sum()) for r, c in after.dropped.counts.items()} == {
        "moved out of the image: not seen any more": 1,
        "cut by the window: now ignored": 1,
    }
    kept = shifted_and_rotated(before, 0.0, (-7.0, 0.0), "color", KEEP)
    assert kept.target.ignore.tolist() == [False, False]


def test_shifts_and_angles_are_drawn_within_their_limits():
    wide = sample(noise(40, 80), [[38, 18, 42, 22]])
    centers = []
    for seed in range(60):
        moved = ShiftRotate(shift=0.1, degrees=0.0, probability=1.0)(wide, draws(seed)).target.boxes
        centers.append(moved.reshape(2, 2).mean(0) - torch.tensor([40.0, 20.0]))
    far = torch.stack(centers).abs().amax(0)
    assert 6 < far[0] <= 8
    assert 3 < far[1] <= 4


def test_fit_range_draws_its_limits_independently():
    tile = sample(torch.zeros(3, 512, 640, dtype=torch.uint8), [[0, 0, 10, 10]])
    tile = Sample(tile.image[:, ::8, ::8], tile.target)  # 64 x 80
    fit = FitRange(short=(64, 96), long=(80, 120))
    sizes = [fit(tile, draws(seed)).size for seed in range(200)]
    expected = []
    for seed in range(200):
        random = draws(seed)
        short, long = random.integers(64, 97), random.integers(80, 121)
        factor = min(short / 64, long / 80)
        expected.append((round(64 * factor), round(80 * factor)))
    assert sizes == expected
    assert min(sizes) == (64, 80)
    assert max(sizes)[0] >= 94
    # The least of two: two thirds of the way down on average.
    assert np.mean([s[0] for s in sizes]) == pytest.approx(64 + 32 / 3, abs=2)


def test_brightness_adds_and_contrast_multiplies():
    image = torch.arange(256).byte().repeat(3, 2, 1)
    changed = BrightnessContrast((0.1, 0.1), (0.5, 0.5), 1.0)(sample(image, []), draws()).image
    expected = (torch.arange(256) * 1.5 + 25.5).round().clamp(0, 255).byte()
    assert torch.equal(changed, expected.repeat(3, 2, 1))


def test_a_color_shift_is_one_number_per_color_and_stays_in_range():
    image = torch.stack([torch.full((4, 4), v, dtype=torch.uint8) for v in (3, 128, 252)])
    seen = []
    for seed in range(80):
        changed = ColorShift(10, 1.0)(sample(image, []), draws(seed)).image
        assert (changed == changed[:, :1, :1]).all()
        seen.append(changed[:, 0, 0])
    values = torch.stack(seen).int()
    assert values.amin(0).tolist() == [0, 118, 242]
    assert values.amax(0).tolist() == [13, 138, 255]
    assert (values[:, 1] - 128 != values[:, 0] - 3).any()


def by_colorsys(pixel, degrees, saturation, value):
    hue, share, high = colorsys.rgb_to_hsv(*(c / 255 for c in pixel))
    share = min(max(share + saturation, 0), 1) if share else 0
    high = min(max(high + value / 255, 0), 1)
    return [255 * c for c in colorsys.hsv_to_rgb((hue + degrees / 360) % 1, share, high)]


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (40.0, 0.1, -20.0), (-170.0, -0.3, 60.0)])
def test_hsv_shifts_as_the_standard_library_converts(shift):
    image = noise(9, 11)
    image[:, 0] = image[:1, 0]  # gray
    image[:, 1, :4] = torch.tensor([[0, 255, 255, 0], [0, 255, 0, 9], [0, 255, 0, 9]])
    changed = shift_hsv(image, *shift).flatten(1).T
    expected = [by_colorsys(pixel, *shift) for pixel in image.flatten(1).T.tolist()]
    torch.testing.assert_close(changed.float(), torch.tensor(expected), rtol=0, atol=0.51)


def test_a_shuffle_keeps_the_planes_and_reaches_every_order():
    image = torch.stack([torch.full((2, 2), v, dtype=torch.uint8) for v in (1, 2, 3)])
    shuffle = ChannelShuffle(1.0)
    orders = {
        tuple(shuffle(sample(image, []), draws(s)).image[:, 0, 0].tolist()) for s in range(60)
    }
    assert orders == set(itertools.permutations((1, 2, 3)))


def test_jpeg_changes_little_and_less_at_higher_quality():
    ramp = torch.linspace(0, 255, 64).byte().repeat(3, 64, 1)
    image = (ramp.int() + noise(64, 64).int() // 16).clamp(0, 255).byte()
    errors = []
    for quality in (30, 95):
        packed = Jpeg((quality, quality), 1.0)(sample(image, []), draws()).image
        errors.append((packed.int() - image.int()).abs().float().mean())
    assert 0 < errors[1] < errors[0] < 12


def test_the_median_is_that_of_nine():
    image = noise(13, 17)
    padded = torch.nn.functional.pad(image.float()[None], (1, 1, 1, 1), mode="reflect")[0]
    expected = padded.unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2).median(-1).values
    assert torch.equal(median_of_nine(image), expected.byte())


def test_a_box_blur_is_a_mean_of_squares():
    image = noise(13, 17)
    padded = torch.nn.functional.pad(image.float()[None], (2, 2, 2, 2), mode="reflect")
    expected = torch.nn.functional.avg_pool2d(padded, 5, 1)[0]
    blurred = BoxBlur(5, 1.0)(sample(image, []), draws()).image
    torch.testing.assert_close(blurred.float(), expected, rtol=0, atol=0.51)


def test_motion_spreads_a_dot_along_a_line_with_it_in_the_middle():
    image = dot(torch.zeros(3, 15, 15, dtype=torch.uint8), (7, 7))
    lines = set()
    for seed in range(40):
        moved = MotionBlur(5, 1.0)(sample(image, []), draws(seed)).image
        places = moved[0].nonzero()
        assert len(places) == 5
        assert places.float().mean(0).tolist() == [7, 7]
        assert (moved[0][moved[0] > 0] == 51).all()
        lines.add(tuple((places[-1] - places[0]).tolist()))
    assert lines == {(0, 4), (4, 0), (4, 4), (4, -4)}


def test_one_of_applies_exactly_one_and_each_as_often():
    red, green = ({"name": "color_shift", "limit": n, "probability": 1.0} for n in (0, 200))
    flip = {"name": "flip", "horizontal": 1.0}
    either = TRANSFORMS.build({"name": "one_of", "transforms": [flip, green, red]})
    image = torch.full((3, 4, 6), 120, dtype=torch.uint8)
    image[:, :, 0] = 60
    found = {"flipped": 0, "colored": 0, "same": 0}
    for seed in range(300):
        changed = either(sample(image, [[0, 0, 1, 4]]), draws(seed))
        if changed.target.boxes[0, 0] == 5:
            assert torch.equal(changed.image, image.flip(-1))
            found["flipped"] += 1
        else:
            found["same" if torch.equal(changed.image, image) else "colored"] += 1
    assert min(found.values()) > 70


def test_one_of_may_apply_none():
    flip = {"name": "flip", "horizontal": 1.0}
    seldom = TRANSFORMS.build({"name": "one_of", "transforms": [flip], "probability": 0.1})
    moved = [seldom(sample(noise(4, 6), [[0, 0, 1, 4]]), draws(s)) for s in range(300)]
    assert sum(m.target.boxes[0, 0] == 5 for m in moved) == pytest.approx(30, abs=15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fit_range", "short": [96, 64]}, r"short must be \(smallest, largest\)"),
        ({"name": "shift_rotate", "shift": 2.0}, "shift must be between 0 and 1, got 2.0"),
        ({"name": "shift_rotate", "degrees": 200.0}, "degrees must be between 0 and 180"),
        ({"name": "shift_rotate", "border": "mirrored"}, "did you mean mirror"),
        ({"name": "shift_rotate", "min_visible": 2.0}, "min_visible must be"),
        ({"name": "brightness_contrast", "contrast": [0.3, 0.1]}, "contrast must be"),
        ({"name": "color_shift", "limit": -1}, "limit must be"),
        ({"name": "hsv_shift", "hue": 300.0}, "hue must be between 0 and 180"),
        ({"name": "jpeg", "quality": [0, 50]}, "quality must be"),
        ({"name": "box_blur", "size": 2}, "size must be an odd number"),
        ({"name": "motion_blur", "length": 4}, "length must be an odd number"),
        ({"name": "median", "probability": 3.0}, "probability must be"),
        ({"name": "channel_shuffle", "probability": 3.0}, "probability must be"),
        ({"name": "one_of"}, "transforms: must be given"),
        ({"name": "one_of", "transforms": []}, r"transforms: got \[\]"),
        ({"name": "one_of", "transforms": ["flip"]}, "transforms.0: got 'flip'; must be a mapping"),
        ({"name": "one_of", "transforms": [{"name": "flop"}]}, "transforms.0: .*mean flip"),
        (
            {"name": "one_of", "transforms": [{"name": "flip", "horizontle": 1}]},
            "transforms.0: .*horizontle: no such option of flip; did you mean horizontal",
        ),
    ],
)
def test_senseless_options_are_refused_where_they_stand(options, message):
    with pytest.raises(SettingsError, match=r"^data\.transforms\.2\.?.*" + message):
        TRANSFORMS.build(options, "data.transforms.2")
