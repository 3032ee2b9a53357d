"""`tinyscope analyze model`, from Python and from the terminal."""

import json

import pytest

from tinyscope.cli.main import main
from tinyscope.engine.analyze_model import PICTURE, analyze_model
from tinyscope.errors import DataError, SettingsError
from tinyscope.settings import load_recipe

NARROW = [
    "model.backbone={name: resnet, depth: 18, width: 8, strides: [4, 8, 16], frozen_stages: 1}"
]
PARTS_OF_VIDEO = {
    "motion": {"name": "flownet", "width": 2},
    "aggregator": {"name": "embedding"},
}


def test_a_recipe_is_counted_without_its_weights():
    report = analyze_model(
        "quick/small", (64, 96), overrides=[*NARROW, "model.backbone.weights=nowhere.pth"]
    )
    assert "backbone.stage 3" in report.table
    assert report.complexity.size == (64, 96)


def test_a_suggestion_can_be_set_in_the_recipe():
    report = analyze_model("quick/small", (64, 96), overrides=NARROW, suggest=True, tolerance=0.1)
    assert report.suggestion is not None
    (setting,) = [line for line in report.table.splitlines() if "--set" in line]
    override = setting.partition("'")[2].removesuffix("'")
    assert "frozen" not in override
    taken = analyze_model("quick/small", (64, 96), overrides=[*NARROW, override])
    cost = taken.complexity.together("backbone").published
    assert cost == report.suggestion.chosen.operations
    own = report.complexity.together("backbone").published
    assert report.suggestion.budget == own
    assert abs(cost / own - 1) <= 0.1


def test_a_budget_needs_a_suggestion():
    with pytest.raises(SettingsError, match="are for a suggestion; add suggest"):
        analyze_model("quick/small", budget=1e9)
    with pytest.raises(SettingsError, match="batch 0: must be 1 or more"):
        analyze_model("quick/small", batch=0)


def test_the_command_prints_and_writes(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["analyze", "model", "quick/small", "--size", "96x64", "--set", *NARROW]
    file, out = tmp_path / "m.json", tmp_path / "new" / "folder"
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--json", str(file), "--out", str(out)])
    assert stopped.value.code in (0, None)
    printed = capsys.readouterr().out
    assert "quick/small at 96x64" in printed
    content = json.loads(file.read_text())
    assert content["size"] == [64, 96]
    parts = content["parts"].values()
    assert content["total"]["published"] == sum(part["published"] for part in parts)
    assert sum(content["shares"].values()) == pytest.approx(1)
    assert content["levels"][0]["receptive_field"] == 43
    picture = (out / PICTURE).read_text()
    assert picture.startswith("<svg")
    assert "stage 3" in picture
    assert "share of backbone operations at 96x64" in picture


def test_a_wrong_size_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["analyze", "model", "quick/small", "--size", "640"])
    assert stopped.value.code == 2
    assert "--size 640: must be width x height" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_says_so(tmp_path):
    pytest.importorskip("matplotlib")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        analyze_model("quick/small", (64, 64), overrides=NARROW, out=blocked)


NUMBERS = [
    ({"budget": float("nan")}, "budget nan G: must be more than 0 and finite"),
    ({"budget": 0}, "budget 0 G: must be more than 0"),
    ({"budget": float("inf")}, "budget inf G: must be more than 0 and finite"),
    ({"tolerance": float("inf")}, "tolerance inf: must be from 0 to below 1"),
    ({"tolerance": float("nan")}, "tolerance nan: must be"),
    ({"tolerance": 1}, "tolerance 1: must be from 0 to below 1"),
    ({"object_side": -5}, "object side -5: must be more than 0"),
    ({"object_side": float("nan")}, "object side nan: must be"),
]


@pytest.mark.parametrize(("options", "message"), NUMBERS, ids=lambda x: str(x)[:24])
def test_numbers_that_mean_nothing_are_refused_at_once(options, message):
    with pytest.raises(SettingsError, match=message):
        analyze_model("quick/small", suggest=True, **options)
    with pytest.raises(SettingsError, match="are for a suggestion; add suggest"):
        analyze_model("quick/small", **options)


def test_proposals_are_told_where_there_is_a_second_stage():
    narrow = ["model.backbone={name: resnet, depth: 18, width: 8}", "model.neck.channels=8"]
    report = analyze_model("quick/faster_rcnn", (64, 64), overrides=narrow, rois=77)
    assert "the second stage meets 77 proposals" in report.table
    assert json.loads(report.to_json())["rois"] == 77
    assert analyze_model("quick/faster_rcnn", (64, 64), overrides=narrow).rois == 1000
    dense = analyze_model("quick/small", (64, 64), overrides=NARROW)
    assert "proposals" not in dense.table
    assert json.loads(dense.to_json())["rois"] is None
    with pytest.raises(SettingsError, match="rois 5: the model has no second stage"):
        analyze_model("quick/small", (64, 64), overrides=NARROW, rois=5)


def test_a_recipe_of_pre_training_is_counted_with_its_classifier():
    report = analyze_model("pretrain/cifar10_small", (32, 32))
    total = report.complexity.together()
    assert report.complexity.parts[-1].name == "head"
    channels = report.complexity.levels[-1].channels
    assert report.complexity.together("head").parameters == 10 * (channels + 1)
    assert report.complexity.together("head").multiply_adds == 10 * channels
    assert total.published > report.complexity.together("backbone").published > 0


@pytest.mark.parametrize("side", [16, 32])
def test_small_images_have_memory_too(side):
    overrides = ["model.backbone={name: resnet, depth: 18, width: 8}", "model.neck.channels=8"]
    found = analyze_model("quick/faster_rcnn", (side, side), overrides=overrides).complexity
    assert found.levels[-1].size == (1, 1)
    assert found.together("backbone").saved_bytes > 0


def test_a_model_of_one_size_says_so():
    swin = "model.backbone={name: timm, model: swin_tiny_patch4_window7_224}"
    with pytest.raises(SettingsError, match=r"size 64x64: the model cannot .*224"):
        analyze_model("quick/faster_rcnn", (64, 64), overrides=[swin])


def test_what_a_detector_of_videos_costs_is_said_to_be_of_one_other_frame():
    model = load_recipe("quick/small", NARROW).model
    video = json.dumps({"name": "video", "detector": model, **PARTS_OF_VIDEO})
    report = analyze_model("quick/small", (64, 96), overrides=[f"model={video}"])
    assert "motion and aggregator are those of one other frame" in report.table
    assert "motion" in json.loads(report.to_json())["parts"]
    single = analyze_model("quick/small", (64, 96), overrides=NARROW)
    assert "one other frame" not in single.table
