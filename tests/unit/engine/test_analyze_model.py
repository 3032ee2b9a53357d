"""`tinyscope analyze model`, from Python and from the terminal."""

import json

import pytest

from tinyscope.cli.main import main
from tinyscope.engine.analyze_model import PICTURE, analyze_model
from tinyscope.errors import DataError, SettingsError

NARROW = [
    "model.backbone={name: resnet, depth: 18, width: 8, strides: [4, 8, 16], frozen_stages: 1}"
]


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
