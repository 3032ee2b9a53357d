import numpy as np
import pytest
import torch

from tinyscope.data import TRANSFORMS
from tinyscope.data.resize import resized
from tinyscope.data.transforms.blur import Blur
from tinyscope.data.transforms.crop import Crop
from tinyscope.data.transforms.fit import Fit
from tinyscope.data.transforms.flip import flipped
from tinyscope.data.transforms.noise import Noise
from tinyscope.data.transforms.photometric import Photometric, recolor, relight
from tinyscope.data.transforms.scale import Scale
from tinyscope.data.transforms.turn import turned
from tinyscope.errors import SettingsError
from tinyscope.types import Sample, Target

MATCHING = ("scale_match", "instance_match")
"""Names of transforms that need to know the sizes of another set."""


def sample(height: int = 20, width: int = 30, boxes: list[list[float]] | None = None) -> Sample:
    values = torch.arange(3 * height * width).reshape(3, height, width) % 251
    boxes = [[2.0, 3.0, 6.0, 9.5]] if boxes is None else boxes
    count = len(boxes)
    target = Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(count, dtype=torch.int64),
        torch.zeros(count, dtype=torch.bool),
    )
    return Sample(values.byte(), target, 3, "a.png")


@pytest.fixture
def named(tmp_path):
    """Builds a transform by its name, with what it cannot do without."""
    (tmp_path / "sizes.json").write_text('{"mean": 4, "deviation": 2}')
    required = {name: {"target": str(tmp_path / "sizes.json")} for name in MATCHING}
    required["one_of"] = {"transforms": [{"name": "flip"}, {"name": "photometric"}]}

    def build(name: str):
        return TRANSFORMS.build({"name": name, **required.get(name, {})})

    return build


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_flips_and_turns_move_boxes_as_by_hand():
    assert flipped(sample(), -1).target.boxes.tolist() == [[24, 3, 28, 9.5]]
    assert flipped(sample(), -2).target.boxes.tolist() == [[2, 10.5, 6, 17]]
    assert turned(sample(), 1).target.boxes.tolist() == [[3, 24, 9.5, 28]]
    assert turned(sample(), 2).target.boxes.tolist() == [[24, 10.5, 28, 17]]
    assert turned(sample(), 3).target.boxes.tolist() == [[10.5, 2, 17, 6]]
    assert turned(sample(), 1).size == (30, 20)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_every_transform_leaves_its_input_alone_and_repeats_by_seed(name, named):
    transform = named(name)
    before = sample(400, 300)
    pixels, boxes = before.image.clone(), before.target.boxes.clone()
    for seed in range(5):
        first, second = transform(before, draws(seed)), transform(before, draws(seed))
        assert torch.equal(before.image, pixels)
        assert torch.equal(before.target.boxes, boxes)
        assert torch.equal(first.image, second.image)
        assert torch.equal(first.target.boxes, second.target.boxes)
        assert first.image.dtype == torch.uint8
        assert (first.image_id, first.file) == (3, "a.png")


@pytest.mark.parametrize("name", TRANSFORMS.names())
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 2)])
def test_every_transform_copes_with_no_objects_and_slivers_of_images(name, size, named):
    changed = named(name)(sample(*size, boxes=[]), draws())
    assert len(changed.target) == 0
    assert changed.target.labels.dtype == torch.int64
    assert min(changed.size) >= 1


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_every_transform_takes_the_shared_planes_of_a_gray_image(name, named):
    gray = torch.arange(300).remainder(256).byte().reshape(1, 15, 20).expand(3, -1, -1)
    changed = named(name)(Sample(gray, sample().target), draws(1))
    assert changed.image.shape[0] == 3


def test_an_object_that_shrinks_below_a_pixel_is_ignored_and_counted():
    shrunk = resized(sample(20, 20, [[1, 1, 3, 3], [4, 4, 12, 12]]), (6, 6))
    assert shrunk.target.ignore.tolist() == [True, False]
    ((reason, counts),) = shrunk.dropped.counts.items()
    assert reason == "smaller than 1 px after resizing: now ignored"
    assert counts.tolist() == [0, 1, 0, 0, 0]


def test_an_object_below_a_pixel_that_grows_stays_an_object():
    grown = resized(sample(20, 20, [[1, 1, 1.4, 1.4]]), (40, 40))
    assert not grown.target.ignore.any()
    assert grown.dropped.total == 0


def test_losses_of_steps_add_up():
    twice = Scale(0.5, 0.5)(
        Scale(0.5, 0.5)(sample(40, 40, [[0, 0, 3, 3], [0, 0, 1, 1]]), draws()), draws()
    )
    assert twice.dropped.total == 2


def test_fit_bounds_the_long_side():
    assert Fit(short=(40,), long=100)(sample(20, 30), draws()).size == (40, 60)
    assert Fit(short=(40,), long=45)(sample(20, 30), draws()).size == (30, 45)


def test_scale_covers_its_range_evenly_on_a_log_scale():
    random = draws()
    sides = [Scale(0.5, 2.0)(sample(100, 100), random).size[0] for _ in range(300)]
    assert min(sides) >= 50
    assert max(sides) <= 200
    assert sum(s < 100 for s in sides) == pytest.approx(150, abs=30)


def test_a_crop_holds_an_object_whole():
    wide = sample(90, 200, [[150, 60, 156, 63], [10, 10, 20, 20]])
    for seed in range(30):
        crop = Crop(size=32)(wide, draws(seed))
        assert crop.size == (32, 32)
        assert len(crop.target) == 1
        assert crop.target.ignore.tolist() == [False]


def test_relighting_by_one_changes_nothing():
    image = sample().image
    assert torch.equal(relight(image, 1.0, 1.0, 1.0), image)


def test_relighting_follows_the_formula():
    image = torch.tensor([0, 64, 128, 255]).byte().repeat(3, 4, 1)
    assert relight(image, 0.5, 1.0, 1.0)[0, 0].tolist() == [0, 32, 64, 128]
    assert relight(image, 1.0, 1.0, 2.0)[0, 0].tolist() == [0, 16, 64, 255]
    flat = relight(torch.full((3, 4, 4), 90, dtype=torch.uint8), 1.0, 1.9, 1.0)
    assert (flat == 90).all()


def test_recoloring_keeps_gray_and_turns_colors():
    gray = torch.full((1, 4, 4), 77, dtype=torch.uint8).repeat(3, 1, 1)
    assert torch.equal(recolor(gray, 1.7, 90.0), gray)
    image = sample().image
    same = recolor(image, 1.0, 0.0)
    assert (same.int() - image.int()).abs().max() <= 1
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    muted = recolor(image, 0.0, 0.0).float()
    torch.testing.assert_close(muted[0], (image * luma).sum(0), rtol=0, atol=1.0)
    red = torch.tensor([120, 60, 60]).byte()[:, None, None].repeat(1, 4, 4)
    assert recolor(red, 1.0, -120.0)[:, 0, 0].argmax() in (1, 2)


def test_noise_has_the_deviation_that_is_asked_for():
    flat = Sample(torch.full((3, 200, 200), 128, dtype=torch.uint8), Target.empty())
    noisy = Noise((5.0, 5.0), probability=1.0)(flat, draws()).image.float()
    assert noisy.std() == pytest.approx(5, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    gray = Noise((5.0, 5.0), gray=True, probability=1.0)(flat, draws()).image
    assert torch.equal(gray[0], gray[1])


def test_blur_keeps_the_sum_of_light_and_its_place():
    image = torch.zeros(3, 41, 41, dtype=torch.uint8)
    image[:, 20, 20] = 255
    blurred = Blur((0.8, 0.8), probability=1.0)(Sample(image, Target.empty()), draws()).image[0]
    assert blurred.argmax() == 20 * 41 + 20
    assert blurred[20, 20] < 80
    assert int(blurred.sum()) == pytest.approx(255, abs=12)


def test_a_probability_of_zero_changes_nothing():
    for transform in (Photometric(probability=0.0), Blur(probability=0.0), Scale(probability=0.0)):
        assert torch.equal(transform(sample(), draws()).image, sample().image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "flip", "horizontal": 2.0}, "horizontal must be between 0 and 1, got 2.0"),
        ({"name": "turn", "degrees": [45]}, "degrees must be multiples of 90"),
        ({"name": "scale", "smallest": 3.0}, "smallest must be positive and at most"),
        ({"name": "fit", "short": []}, "short must hold"),
        ({"name": "fit", "long": 10}, "long must be at least"),
        ({"name": "crop", "size": 0}, "size must be"),
        ({"name": "photometric", "brightness": 1.5}, "brightness must be"),
        ({"name": "photometric", "hue": 270.0}, "hue must be degrees"),
        ({"name": "blur", "deviation": [2.0, 1.0]}, "deviation must be"),
        ({"name": "noise", "deviation": [-2.0, 1.0]}, "deviation must be"),
        ({"name": "flop"}, "did you mean flip"),
        ({"name": "scale_match"}, "target: must be given"),
        ({"name": "scale_match", "target": "a.json", "match": "mono"}, "did you mean monotone"),
        ({"name": "scale_match", "target": "a.json", "annotations": 3}, "annotations: got 3"),
        ({"name": "scale_match", "target": "a.json", "scale_range": [1, 0.5]}, "scale_range must"),
        ({"name": "scale_match", "target": "a.json", "default_scale": 0}, "default_scale must be"),
    ],
)
def test_senseless_options_are_refused_by_name(options, message):
    with pytest.raises(SettingsError, match=message):
        TRANSFORMS.build(options, "data.transforms[0]")
