"""`tinyscope analyze fusion`, from Python and from the terminal."""

import json

import pytest

from tinyscope.cli.main import main
from tinyscope.data.synthetic import write_synthetic
from tinyscope.engine.analyze_fusion import analyze_fusion
from tinyscope.errors import DataError, SettingsError
from tinyscope.settings import load_recipe

SMALL = [
    "model.backbone={name: resnet, depth: 18, width: 8}",
    "model.neck.channels=8",
    "data.windows={name: grid, size: 128, overlap: 32, keep_empty: 0}",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    write_synthetic(folder, {"train": 3, "val": 1}, size=(160, 192))
    return folder


def test_factors_are_stored_in_a_recipe_that_can_be_trained(data, tmp_path):
    file = tmp_path / "new" / "mine.yaml"
    report = analyze_fusion("quick/faster_rcnn", data, overrides=SMALL, out=file)
    assert report.strides == (4, 8, 16, 32, 64)
    assert 0 < sum(report.counts) <= report.objects
    assert len(report.factors) == 3
    assert tuple(load_recipe(file).model["neck"]["fusion"]) == report.factors
    again = analyze_fusion("quick/faster_rcnn", data, overrides=SMALL)
    assert again.counts == report.counts


def test_no_image_is_decoded(data, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("tinyscope.data.images.read_image", refuse)
    assert analyze_fusion("quick/retinanet", data, overrides=SMALL).objects


def test_the_command_prints_the_setting(data, tmp_path, capsys):
    arguments = ["analyze", "fusion", "quick/retinanet", "--data", str(data)]
    for override in SMALL:
        arguments += ["--set", override]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--json", str(tmp_path / "f.json"), "--out", str(tmp_path / "f.yaml")])
    assert stopped.value.code in (0, None)
    written = json.loads((tmp_path / "f.json").read_text())
    assert f"--set '{written['setting']}'" in capsys.readouterr().out
    assert (tmp_path / "f.yaml").is_file()


@pytest.mark.parametrize(
    ("recipe", "overrides", "words"),
    [
        ("quick/small", [], "the statistic is of anchors, got Points"),
        (
            "quick/faster_rcnn",
            ["model.backbone={name: hrnet, width: 18}", "model.neck={name: hrfpn}"],
            "HRFPN has no fusion factors; use a recipe with fpn",
        ),
    ],
)
def test_a_model_that_fuses_nothing_is_refused(data, recipe, overrides, words):
    with pytest.raises(SettingsError, match=words):
        analyze_fusion(recipe, data, overrides=overrides)


def test_a_recipe_is_written_to_yaml_only(data, tmp_path):
    with pytest.raises(SettingsError, match=r"must end in \.yaml"):
        analyze_fusion("quick/faster_rcnn", data, overrides=SMALL, out=tmp_path / "a.json")


def test_a_set_without_objects_has_no_statistic(tmp_path):
    write_synthetic(tmp_path, {"train": 1, "val": 1}, size=(64, 64))
    file = tmp_path / "annotations" / "train.json"
    content = json.loads(file.read_text()) | {"annotations": []}
    file.write_text(json.dumps(content))
    everything = [*SMALL[:2], "data.windows={name: whole}"]
    with pytest.raises(DataError, match="there is nothing to count"):
        analyze_fusion("quick/faster_rcnn", tmp_path, overrides=everything)
