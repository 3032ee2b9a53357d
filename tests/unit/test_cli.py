"""Commands parse and call; what a user can mend is one line on stderr and exit code 2."""

import dataclasses
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import typer
import yaml

import tinyscope
from tinyscope import recipes
from tinyscope.cli import app, main
from tinyscope.engine.import_checkpoint import Imported
from tinyscope.errors import DataError, SettingsError

COMMANDS = typer.main.get_command(app).commands


def call(*arguments):
    """Exit code of one command."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    return caught.value.code or 0


@pytest.fixture
def engine(monkeypatch):
    """Puts a function in the place of one of the engine and returns the calls that it got."""

    def replace(name, result=None):
        module, _, function = name.partition(":")
        calls = []

        def fake(*arguments, **options):
            calls.append((arguments, options))
            if isinstance(result, Exception):
                raise result
            return result

        stand_in = types.ModuleType(module)
        setattr(stand_in, function, fake)
        monkeypatch.setitem(sys.modules, module, stand_in)
        return calls

    return replace


def test_the_help_names_every_command(capsys):
    assert call("--help") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert set(COMMANDS) == {
        *(
            "train",
            "pretrain",
            "evaluate",
            "predict",
            "merge",
            "report",
            "convert",
            "import-checkpoint",
        ),
        *("recipes", "synthetic", "analyze"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name):
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert parameter.help, parameter.name


def test_help_loads_neither_torch_nor_the_engine():
    code = (
        "import sys, tinyscope, tinyscope.cli; "
        "print([m for m in ('torch', 'numpy', 'tinyscope.engine') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith("tinyscope 0.")


def test_an_error_of_the_user_is_one_line(engine, capsys):
    engine("tinyscope.engine.train:train", SettingsError("train.steps: got 0; must be more [x]"))
    assert call("train", "any", "--out", "run") == 2
    shown = capsys.readouterr()
    assert shown.err == "error: train.steps: got 0; must be more [x]\n"
    assert shown.out == ""


def test_a_long_error_is_not_broken_into_lines(engine, capsys):
    engine("tinyscope.engine.train:train", DataError("long " * 100))
    assert call("train", "any", "--out", "run") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_error_of_ours_is_not_hidden(engine):
    engine("tinyscope.engine.train:train", AssertionError("a bug"))
    with pytest.raises(AssertionError, match="a bug"):
        main(["train", "any", "--out", "run"])


def test_train_passes_on_what_it_was_given(engine, capsys):
    run = types.SimpleNamespace(best=Path("run/best.ckpt"), steps=7, scores={"AP50": 0.5})
    calls = engine("tinyscope.engine.train:train", run)
    overrides = ["--set", "train.steps=7", "--set", "train.seed=1"]
    assert call("train", "quick/demo", "--data", "d", "--out", "run", "--resume", *overrides) == 0
    arguments = ("quick/demo", Path("d"), Path("run"), True, ["train.steps=7", "train.seed=1"], 1)
    assert calls == [(arguments, {})]
    assert capsys.readouterr().out == "7 steps -> run/best.ckpt\n"
    assert call("train", "quick/demo", "--out", "run", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["scores"] == {"AP50": 0.5}


def test_evaluate_scores_files_without_a_model(engine, capsys, tmp_path):
    result = types.SimpleNamespace(table="AP50 0.5", stamp={}, to_json=lambda: '{"AP50": 0.5}')
    calls = engine("tinyscope.engine.evaluate:evaluate_files", result)
    written = tmp_path / "score.json"
    files = ["--truth", "t.json", "--detections", "d.json"]
    assert call("evaluate", *files, "--protocol", "tiny", "--json", written) == 0
    assert calls == [((Path("t.json"), Path("d.json"), {"name": "tiny"}), {})]
    assert capsys.readouterr().out == "AP50 0.5\n"
    assert json.loads(written.read_text()) == {"AP50": 0.5}


def test_predict_passes_on_only_what_was_given(engine, capsys):
    done = dataclasses.make_dataclass("Done", ["folder", "images"])(Path("found"), 2)
    calls = engine("tinyscope.engine.predict:predict", done)
    assert call("predict", "a.ckpt", "x.png", "y", "--out", "found", "--tile", 0, "--views", 4) == 0
    (arguments, options), *_ = calls
    assert arguments == (Path("a.ckpt"), ["x.png", "y"], Path("found"), 0, None, None)
    assert options["views"] == 4
    assert not {"voting", "scale", "score_threshold", "zooms", "frames"} & set(options)
    assert options["as_video"] is None
    assert call("predict", "a.ckpt", "x", "--out", "found", "--json", "-") == 0
    assert '"folder": "found"' in capsys.readouterr().out


def test_predict_says_how_videos_are_looked_through(engine):
    calls = engine("tinyscope.engine.predict:predict", "done")
    window = ["--frame-window", "{name: sliding, radius: 5}"]
    assert call("predict", "a.ckpt", "x", "--out", "y", "--frames", "--rate", 5, *window) == 0
    ((_, options),) = calls
    assert (options["as_video"], options["rate"]) == (True, 5.0)
    assert options["frames"] == {"name": "sliding", "radius": 5}


LOOKED = {
    "tile": (512, 640),
    "overlap": 100,
    "tiling": "runtime",
    "scale": 1.0,
    "zooms": (2.0, 3.5),
    "views": 2,
    "merge": {"name": "pooled_nms", "iou_threshold": 0.6},
    "score_threshold": None,
    "limit": 1000,
}


def test_evaluate_passes_on_how_images_are_looked_through_and_prints_it(engine, capsys):
    stamp = {"scored": "whole images", "predict": LOOKED}
    result = types.SimpleNamespace(table="AP50 0.5", stamp=stamp, to_json=lambda: "{}")
    calls = engine("tinyscope.engine.evaluate_model:evaluate_model", result)
    given = ["--tile", "640x512", "--tiling", "runtime", "--limit", 1000]
    given += ["--merge", "{name: pooled_nms, iou_threshold: 0.6}", "--protocol", "tinyperson"]
    given += ["--zoom", 2, "--zoom", 3.5]
    assert call("evaluate", "a.ckpt", "--data", "d", "--split", "test", *given) == 0
    ((arguments, options),) = calls
    assert arguments == (Path("a.ckpt"), Path("d"), "test", {"name": "tinyperson"})
    assert options == {
        "truth": None,
        "tile": (512, 640),
        "tiling": "runtime",
        "merge": {"name": "pooled_nms", "iou_threshold": 0.6},
        "limit": 1000,
        "zooms": (2.0, 3.5),
    }
    assert capsys.readouterr().out == (
        "AP50 0.5\n\nwhole images: tile 640x512, overlap 100, tiling runtime, scale 1.0, "
        "zooms 2+3.5, views 2, limit 1000; merged by pooled_nms (iou_threshold 0.6)\n"
    )


def test_evaluate_passes_on_the_window_in_time_and_prints_it(engine, capsys):
    frames = {"name": "sliding", "radius": 5}
    predict = {"views": 2, "frames": frames, "merge": {"name": "nms", "iou_threshold": 0.6}}
    stamp = {"scored": "images", "predict": predict}
    result = types.SimpleNamespace(table="AP50 0.5", stamp=stamp, to_json=lambda: "{}")
    calls = engine("tinyscope.engine.evaluate_model:evaluate_model", result)
    window = ["--frame-window", "{name: sliding, radius: 5}"]
    assert call("evaluate", "a.ckpt", "--data", "d", *window) == 0
    ((_, options),) = calls
    assert options == {"truth": None, "frames": frames}
    assert "images: views 2, frames sliding (radius 5); merged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stamp", "line"),
    [
        (
            {"scored": "tiles as images of their own", "truth": "t.json", "found": "d.json"},
            "Tiles were scored as images of their own: what a seam cuts counts in each. For the "
            "figures of whole images merge first: tinyscope merge d.json --tiles t.json --out "
            "WHOLE.json",
        ),
        (
            {
                "scored": "whole images",
                "merged": {
                    "tile": [512, 640],
                    "overlap": 50,
                    "limit": None,
                    "rule": {"name": "nms", "iou_threshold": 0.3},
                },
            },
            "whole images: tile 640x512, overlap 50; merged by nms (iou_threshold 0.3)",
        ),
    ],
)
def test_evaluate_says_what_tiles_mean_for_scores_of_files(stamp, line, engine, capsys):
    result = types.SimpleNamespace(table="AP50 0.5", stamp=stamp, to_json=lambda: "{}")
    engine("tinyscope.engine.evaluate:evaluate_files", result)
    assert call("evaluate", "--truth", "t.json", "--detections", "d.json") == 0
    assert capsys.readouterr().out == f"AP50 0.5\n\n{line}\n"


def test_evaluate_takes_the_truth_of_whole_images_beside_tiles(engine):
    result = types.SimpleNamespace(table="", stamp={}, to_json=lambda: "{}")
    calls = engine("tinyscope.engine.evaluate_model:evaluate_model", result)
    assert call("evaluate", "a.ckpt", "--data", "tiles.json", "--truth", "whole.json") == 0
    assert calls[0][1] == {"truth": Path("whole.json")}


@pytest.mark.parametrize("tile", ["wide", "640x", "0x5", "-3", "5x5x5"])
def test_a_wrong_tile_is_named(tile, capsys):
    assert call("evaluate", "a.ckpt", "--data", "d", "--tile", tile) == 2
    assert f"--tile {tile}: must be the side of a square" in capsys.readouterr().err


def test_a_rule_that_is_no_mapping_is_named(capsys):
    assert call("evaluate", "a.ckpt", "--data", "d", "--merge", "{name: nms") == 2
    assert "--merge {name: nms: is no mapping of YAML" in capsys.readouterr().err


def test_merge_passes_on_what_it_was_given(engine, capsys):
    done = dataclasses.make_dataclass("Done", ["path", "after"])(Path("o.json"), 2)
    calls = engine("tinyscope.engine.merge:merge", done)
    files = ["d.json", "--tiles", "t.json", "--out", "o.json", "--truth", "w.json"]
    assert call("merge", *files, "--rule", "sspnet", "--limit", 9, "--json", "-") == 0
    arguments = (Path("d.json"), Path("t.json"), Path("o.json"), {"name": "sspnet"})
    assert calls == [(arguments, {"truth": Path("w.json"), "limit": 9})]
    assert '"path": "o.json"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["best.ckpt"],
        ["--truth", "t.json"],
        ["best.ckpt", "--data", "d", "--truth", "t.json", "--detections", "d.json"],
    ],
)
def test_evaluate_takes_a_checkpoint_or_files(arguments, capsys):
    assert call("evaluate", *arguments) == 2
    assert "give either a checkpoint and --data, or" in capsys.readouterr().err


def test_evaluate_refuses_what_files_have_no_use_for(capsys):
    files = ["--truth", "t.json", "--detections", "d.json"]
    assert call("evaluate", *files, "--voting", "mean") == 2
    assert "--voting is for a checkpoint" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_is_an_error(engine, capsys, tmp_path):
    result = types.SimpleNamespace(table="", stamp={}, to_json=lambda: "{}")
    engine("tinyscope.engine.evaluate:evaluate_files", result)
    place = tmp_path / "absent" / "score.json"
    files = ["--truth", "t.json", "--detections", "d.json"]
    assert call("evaluate", *files, "--json", place) == 2
    assert f"{place}: the JSON cannot be written" in capsys.readouterr().err


def test_import_checkpoint_passes_on_what_it_was_given(engine, capsys, tmp_path):
    done = Imported(tmp_path / "o.ckpt", "detector", "mmdet", 3, ("neck.CAM.a",), ("person",))
    calls = engine("tinyscope.engine.import_checkpoint:import_checkpoint", done)
    given = ["import-checkpoint", "a.pth", "--as", "quick/small", "--out", tmp_path / "o.ckpt"]
    given += ["--name", "person", "--ignore", "neck.CAM.", "--layout", "mmdet", "--blue-first"]
    assert call(*given) == 0
    (arguments, options) = calls[0]
    assert arguments == (Path("a.pth"), "quick/small", tmp_path / "o.ckpt")
    assert options == {
        "names": ["person"],
        "overrides": (),
        "part": "detector",
        "layout": "mmdet",
        "ignore": ["neck.CAM."],
        "blue_first": True,
        "norm_eps": 1e-5,
    }
    assert "ignored: neck.CAM.a" in capsys.readouterr().out
    assert call(*given, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["names"] == ["person"]


def test_the_synthetic_set_can_be_converted(capsys, tmp_path):
    numbers = ["--train", 2, "--val", 1, "--size", 64, 96]
    assert call("synthetic", tmp_path / "made", *numbers) == 0
    capsys.readouterr()
    places = [tmp_path / "made", tmp_path / "yolo"]
    assert call("convert", *places, "--to", "yolo", "--split", "val", "--json", "-") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["splits"]["val"]["images"] == 1
    assert list(told["splits"]) == ["val"]
    assert len(list((tmp_path / "yolo").rglob("*.png"))) == 1
    assert call("convert", *places) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_recipes_are_listed(capsys):
    assert call("recipes", "--json", "-") == 0
    assert set(json.loads(capsys.readouterr().out)) == set(recipes.names())
    assert call("recipes") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in recipes.names())


@pytest.mark.parametrize("name", recipes.names()[:1])
def test_a_recipe_is_shown_as_it_is_run(name, capsys):
    assert call("recipes", name, "--set", "train.steps=3") == 0
    assert yaml.safe_load(capsys.readouterr().out)["train"]["steps"] == 3


def test_the_schema_knows_the_options_of_parts(capsys):
    assert call("recipes", "--schema") == 0
    schema = json.loads(capsys.readouterr().out)
    resnet = schema["$defs"]["part_backbone"]["oneOf"][0]["properties"]
    assert resnet["name"] == {"const": "resnet"}
    assert "depth" in resnet
    assert schema["$defs"]["part_rpn"]["oneOf"][0]["properties"]["coder"] == {
        "$ref": "#/$defs/part_coder"
    }
    necks = {p["properties"]["name"]["const"]: p for p in schema["$defs"]["part_neck"]["oneOf"]}
    assert necks["rfp"]["properties"]["neck"] == {"$ref": "#/$defs/part_neck"}
    assert {"backbone", "neck"} <= set(necks["rfp"]["required"])
    images = schema["$defs"]["ImageSettings"]["properties"]
    assert images["transforms"]["items"] == {"$ref": "#/$defs/part_augmentations"}
    classifier = schema["else"]["then"]["properties"]["model"]
    assert classifier == {"$ref": "#/$defs/part_classifier"}
    references = {f"#/$defs/{name}" for name in schema["$defs"]}
    assert set(_references(schema)) <= references


def _references(node):
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _references(value)


@pytest.mark.parametrize("name", tinyscope.__all__)
def test_every_public_name_exists(name):
    assert getattr(tinyscope, name) is not None
    assert name in dir(tinyscope)


def test_the_public_names_are_those_documented():
    page = Path(__file__).parents[2] / "docs" / "python.md"
    cells = [row.split("|")[1] for row in page.read_text().splitlines() if row.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`(\w+)", cell)]
    assert sorted(named) == sorted(tinyscope.__all__)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = tinyscope.trian
