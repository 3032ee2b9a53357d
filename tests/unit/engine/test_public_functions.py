"""Public functions take places as texts or as paths, and wrong words before they read files."""

import inspect

import pytest
import torch
from finder import finder

import tinyscope
from tinyscope.catalog import plain
from tinyscope.data.locate import locate
from tinyscope.data.synthetic import write_synthetic
from tinyscope.engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tinyscope.engine.detector import Detector
from tinyscope.errors import CheckpointError, DataError, SettingsError
from tinyscope.settings import load_recipe, recipe_from


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_synthetic(folder, {"train": 2, "val": 1}, size=(64, 96))
    return folder


@pytest.fixture
def trained(monkeypatch, data):
    """Puts a detector that needs no weights in the place of every checkpoint."""
    names = locate(data, "val").names
    for user in ("predict", "evaluate_model", "report"):
        module = f"tinyscope.engine.{user}.load_trained"
        monkeypatch.setattr(module, lambda path: finder(names))


def test_annotations_are_converted_and_scored_by_text(data, tmp_path):
    done = tinyscope.convert(str(data), str(tmp_path / "out"))
    assert done.target == tmp_path / "out"
    (tmp_path / "found.json").write_text("[]")
    truth = str(tmp_path / "out" / "annotations" / "val.json")
    assert tinyscope.evaluate(truth, str(tmp_path / "found.json"))["AP"] == 0


def test_images_are_predicted_and_scored_by_text(data, tmp_path, trained):
    truth = str(data / "annotations" / "val.json")
    done = tinyscope.predict("a.ckpt", [str(data / "images" / "val")], str(tmp_path), truth=truth)
    assert done.images == 1
    assert "AP" in tinyscope.evaluate_model("a.ckpt", str(data))


@pytest.mark.parametrize(("protocol", "parts"), [("tiny", "size"), ("vid", "motion")])
def test_a_report_shows_the_numbers_that_a_protocol_has(
    data, tmp_path, monkeypatch, protocol, parts
):
    names = locate(data, "val").names
    options = {"name": protocol, "thresholds": [0.5], "class_groups": {"wheels": [names[0]]}}
    small = load_recipe("quick/small")
    detector = finder(names)
    detector.recipe = recipe_from(
        plain(small.model_dump()) | {"evaluate": {"protocol": options}, "predict": {"tile": None}}
    )
    monkeypatch.setattr("tinyscope.engine.report.load_trained", lambda path: detector)
    written = Checkpoint({"any": torch.zeros(1)}, plain(detector.recipe.model_dump()), names)
    save_checkpoint(written, tmp_path / "best.ckpt")
    page = tinyscope.report(tmp_path, data).read_text("utf-8")
    for kind in (parts, "group of classes", "class"):
        assert f"<th>{kind}</th><th>AP</th><th>AP50</th><th>objects</th>" in page
    assert "<td>wheels</td>" in page


def test_a_report_is_written_by_text(data, tmp_path, trained):
    recipe = plain(load_recipe("quick/small").model_dump())
    written = Checkpoint({"any": torch.zeros(1)}, recipe=recipe, names=("car",))
    save_checkpoint(written, tmp_path / "best.ckpt")
    assert tinyscope.report(str(tmp_path), str(data)) == tmp_path / "report.html"


def test_a_detector_is_saved_and_loaded_by_text(tmp_path):
    tiny = ["model.backbone.width=8", "model.backbone.stem_width=8", "model.neck.channels=8"]
    recipe = load_recipe("quick/small", tiny)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    detector = tinyscope.load(str(tmp_path / "recipe.yaml"), ("car",), "cpu")
    detector.save(str(tmp_path / "a.ckpt"))
    assert load_checkpoint(str(tmp_path / "a.ckpt")).names == ("car",)
    assert isinstance(tinyscope.load(str(tmp_path / "a.ckpt"), device="cpu"), Detector)


def test_training_takes_text(data, tmp_path):
    run = tinyscope.train(
        "quick/small",
        str(data),
        str(tmp_path / "run"),
        overrides=[
            "model.backbone.width=8",
            "model.backbone.blocks=[1]",
            "model.backbone.strides=[4]",
            "model.neck.channels=8",
            "data.windows.size=64",
            "data.batch=2",
            "data.workers=0",
            "train.steps=1",
            "train.warmup_steps=0",
            "train.precision=32",
        ],
    )
    assert run.best == tmp_path / "run" / "best.ckpt"


@pytest.mark.parametrize(
    "function",
    [
        tinyscope.train,
        tinyscope.predict,
        tinyscope.convert,
        tinyscope.report,
        tinyscope.load,
        tinyscope.evaluate,
        tinyscope.evaluate_model,
        tinyscope.load_recipe,
    ],
)
def test_no_place_must_be_a_path(function):
    for parameter in inspect.signature(function).parameters.values():
        words = str(parameter.annotation)
        assert "Path" not in words or "str" in words, parameter


def test_a_wrong_protocol_is_refused_before_anything_is_read():
    with pytest.raises(SettingsError, match=r"^evaluate\.protocol.*'coca'; did you mean coco"):
        tinyscope.evaluate("absent.json", "absent.json", "coca")
    with pytest.raises(SettingsError, match="did you mean coco"):
        tinyscope.evaluate_model("absent.ckpt", "absent", protocol="coca")
    with pytest.raises(DataError):
        tinyscope.evaluate("absent.json", "absent.json", "coco")
    with pytest.raises(CheckpointError):
        tinyscope.evaluate_model("absent.ckpt", "absent", protocol="coco")
