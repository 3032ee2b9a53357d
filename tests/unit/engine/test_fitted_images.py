"""Images of any size are looked at in one that fits the settings, and boxes come back."""

import pytest
import torch
from finder import finder, picture

from tinyscope.engine.detector import Detector
from tinyscope.settings import PredictSettings


@pytest.mark.parametrize(("size", "shown"), [
    ((720, 1280), (563, 1000)), ((600, 1000), (600, 1000)), ((500, 333), (901, 600)),
    ((100, 400), (250, 1000)), ((240, 240), (600, 600)),
])  # fmt: skip
def test_both_sides_fit_and_halves_are_rounded_up(size, shown):
    settings = PredictSettings(fit=(600, 1000))
    assert settings.resizes
    assert settings.shown_size(size) == shown
    assert settings.shown_size(size[::-1]) == shown[::-1]


def test_a_scale_comes_on_top():
    assert PredictSettings(fit=(300, 500), scale=2.0).shown_size((720, 1280)) == (563, 1000)
    assert PredictSettings(scale=1.5).shown_size((11, 20)) == (16, 30)
    assert not PredictSettings().resizes


def test_boxes_are_those_of_the_image_as_it_is():
    detector = finder()
    found = detector.predict(picture([(40, 30, 80, 60, 255)]), fit=(184, 400))
    best = found.boxes[found.scores.argmax()]
    torch.testing.assert_close(best, torch.tensor([40.0, 30, 80, 60]), rtol=0, atol=1.0)
    height, width = detector.model.shapes[-1][2:]
    assert 184 <= height <= 192
    assert width >= 256


def test_pixels_are_sampled_as_asked_for():
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)
    detector: Detector = finder()
    smooth, points = (
        detector.predictor(fit=(16, 40), sampling=way).scaled(image)[0]
        for way in ("antialiased", "points")
    )
    assert smooth.shape == points.shape == (3, 16, 24)
    assert smooth.float().std() < 0.8 * points.float().std()


def test_settings_that_decide_nothing_are_not_in_the_stamp():
    detector = finder()
    assert not {"fit", "sampling"} & detector.predictor().stamp.keys()
    assert detector.predictor(scale=2.0).stamp["sampling"] == "antialiased"
    assert detector.predictor(fit=(16, 40)).stamp["fit"] == (16, 40)


def test_sides_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"fit \[1000, 600\] must be the short side, then"):
        PredictSettings(fit=(1000, 600))
