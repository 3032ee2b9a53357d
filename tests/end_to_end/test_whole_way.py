"""From a folder of images to scores, detections, pictures and a page, by the public functions."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_run import write_data

import tinyscope
from tinyscope.settings import Recipe, load_recipe

pytestmark = pytest.mark.slow

STEPS = 120


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The first recipe, narrower."""
    return load_recipe(
        "quick/small",
        [
            "model.backbone.width=16",
            "model.backbone.blocks=[1,1]",
            "model.backbone.strides=[4,8]",
            "model.neck.channels=24",
            "model.head.depth=1",
            "data.windows.size=64",
            "data.batch=8",
            "data.workers=0",
            f"train.steps={STEPS}",
            "train.warmup_steps=10",
            "train.learning_rate=0.005",
            "train.ema=0.95",
            f"train.evaluate_every={STEPS}",
            "train.precision=32",
            "predict.tile=64",
            "predict.overlap=16",
        ],
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), images=24)


@pytest.fixture(scope="module")
def run(recipe: Recipe, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tinyscope.Run:
    torch.set_num_threads(1)
    return tinyscope.train(recipe, data, tmp_path_factory.mktemp("runs") / "run")


def test_bright_squares_are_learned_in_a_minute(run):
    # A coordinate that is half a pixel off, or an assigner that gives priors to the wrong
    # objects, ends far below: squares are 3 to 12 px.
    assert run.steps == STEPS
    assert run.scores["AP50"] > 0.7


def test_predicting_files_scores_as_evaluating_the_checkpoint_does(run, data, tmp_path):
    found = tinyscope.predict(run.best, [data / "val"], tmp_path, truth=data / "val.json")
    assert found.images == 24
    by_files = tinyscope.evaluate(data / "val.json", tmp_path / "detections.json", "tiny")
    assert by_files["AP50"] == pytest.approx(run.scores["AP50"], abs=0.02)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 24
    with Image.open(pictures[0]) as picture:
        assert min(picture.size) >= 60


def test_a_loaded_detector_finds_the_squares_of_an_image(run, data):
    detector = tinyscope.load(run.best)
    truth = json.loads((data / "val.json").read_text())
    rows = [a["bbox"] for a in truth["annotations"] if a["image_id"] == 1]
    file = next(i["file_name"] for i in truth["images"] if i["id"] == 1)
    found = detector.predict(data / "val" / file)
    assert found.names == ("square",)
    sure = found[found.scores > 0.3].boxes
    for x, y, width, height in rows:
        wanted = torch.tensor([x, y, x + width, y + height])
        assert (sure - wanted).abs().amax(dim=1).min() < 2.5


def test_the_report_shows_scores_curves_and_objects(run, data):
    path = tinyscope.report(run.folder, data)
    page = path.read_text()
    assert f"AP50 {run.scores['AP50']:.3f}" in page
    assert page.count("<svg") == 4
    assert page.count("data:image/png;base64") >= 12
    assert "cut by the window: now ignored" in page
