"""Commands that look into a recipe's model look into a video detector's inner one."""

from pathlib import Path

import pytest
import torch
import yaml

from small_video import TWO_STAGE, film, video_model
from tinyscope.data.synthetic import write_synthetic
from tinyscope.detectors.build import build
from tinyscope.detectors.video import image_detector
from tinyscope.engine.analyze_assignment import analyze_assignment
from tinyscope.engine.analyze_attention import analyze_attention
from tinyscope.engine.analyze_fusion import analyze_fusion
from tinyscope.engine.detector import Detector, load
from tinyscope.errors import SettingsError
from tinyscope.settings import load_recipe


def recipe_of(folder: Path, name: str, model: dict) -> Path:
    file = folder / f"{name}.yaml"
    values = {"source": "a test", "expected": {}, "model": model, "train": {"steps": 2}}
    values["data"] = {"windows": {"name": "whole"}}
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_synthetic(folder / "data", {"train": 2, "val": 1}, size=(96, 96))
    recipe_of(folder, "image", TWO_STAGE)
    recipe_of(folder, "video", video_model(TWO_STAGE))
    return folder


def test_assignment_is_that_of_the_inner_detector(place):
    report = analyze_assignment([place / "image.yaml", place / "video.yaml"], place / "data")
    image, video = report.audits
    assert image.tally.counts == video.tally.counts
    assert image.tally.per_level == video.tally.per_level
    assert video.assigner == image.assigner


def test_fusion_is_set_in_the_inner_detector(place, tmp_path):
    image = analyze_fusion(place / "image.yaml", place / "data")
    video = analyze_fusion(place / "video.yaml", place / "data", out=tmp_path / "new.yaml")
    assert video.counts == image.counts
    assert video.setting == image.setting.replace("model.", "model.detector.")
    model = load_recipe(tmp_path / "new.yaml").model
    assert tuple(model["detector"]["neck"]["fusion"]) == video.factors


def test_attention_names_the_inner_neck(place, tmp_path):
    recipe = load_recipe(place / "video.yaml")
    detector = Detector(build(recipe.model, 1), recipe, ("object",))
    with pytest.raises(SettingsError, match="its neck FPN makes no attention"):
        analyze_attention(detector, [place / "data"], tmp_path)


def test_a_checkpoint_brings_the_whole_detector_back(place, tmp_path):
    detector = load(place / "video.yaml", ["a"])
    detector.save(tmp_path / "video.ckpt")
    again = load(tmp_path / "video.ckpt")
    own = detector.model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in again.model.state_dict().items())
    assert type(image_detector(again.model)).__name__ == "TwoStageDetector"
    found = list(again.video(list(film(2)), frames={"name": "sliding", "radius": 1}))
    assert [one.names for one in found] == [("a",)] * 2
