"""`tinyscope analyze assignment`, from Python and from the terminal."""

import csv
import json

import pytest
from PIL import Image

import tinyscope
from tinyscope.cli.main import main
from tinyscope.engine.analyze_assignment import analyze_assignment
from tinyscope.errors import DataError, SettingsError
from tinyscope.settings import load_recipe

PLAIN = ["data.windows={name: whole}", "data.transforms=[]"]
STRICT = "model.assigner={name: center, nearest: false}"
MAX_IOU = "model.assigner={name: max_iou}"


def write_set(folder, boxes, splits=("train",)):
    """One gray image of 32 x 32 pixels per split with boxes x y w h."""
    for split in splits:
        (folder / "images" / split).mkdir(parents=True)
        (folder / "annotations").mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (90, 90, 90)).save(folder / "images" / split / "a.png")
        objects = [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3]}
            for i, box in enumerate(boxes, 1)
        ]
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 32}],
            "categories": [{"id": 1, "name": "boat"}],
            "annotations": [{**one, "iscrowd": 0} for one in objects],
        }
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def data(tmp_path):
    # The first lies between four points of stride 4, which are on its corners; inside the second
    # are four of them, and a square of stride 8 covers it.
    return write_set(tmp_path / "data", [[14, 14, 4, 4], [1, 1, 6, 6]])


def test_every_number_is_that_of_a_count_by_hand(data):
    report = analyze_assignment(
        "quick/small",
        data,
        overrides=[*PLAIN, STRICT],
        variants={"overlap": [MAX_IOU]},
        windows=1,
    )
    center, overlap = report.audits
    assert (center.name, overlap.name) == ("quick/small", "overlap")
    assert center.views == overlap.views == 1
    assert center.tally.counts["all"] == center.tally.counts["2-8"] == 2
    halves = {"none": 0.5, "one": 0.0, "two": 0.0, "three or more": 0.5}
    assert center.tally.shares["all"] == halves
    assert center.tally.per_level == (4, 0, 0)
    assert center.tally.priors_per_object["all"] == 2
    assert center.tally.priors.tolist() == [4, 64 + 16 + 4 - 4, 0, 0]
    # Four squares of stride 4 share 2 x 2 px with the first, a rescue of ties.
    assert overlap.tally.shares["all"] == {"none": 0, "one": 0.5, "two": 0, "three or more": 0.5}
    assert overlap.tally.per_level == (4, 1, 0)
    likeness = overlap.tally.likeness["all"]
    assert likeness is not None
    assert likeness["best IoU"] == pytest.approx((4 / 28 + 36 / 64) / 2)
    assert likeness["mean IoU"] == pytest.approx((4 / 28 + 36 / 64) / 2)


def test_recipes_and_variants_stand_side_by_side(data):
    report = tinyscope.analyze_assignment(
        ["quick/small", "quick/faster_rcnn"],
        data,
        overrides=PLAIN,
        variants={"rfla": ["model.assigner={name: hierarchical}", "model.priors={name: fields}"]},
        windows=2,
    )
    assert isinstance(report, tinyscope.AssignmentReport)
    assert [audit.name for audit in report.audits] == ["quick/small", "quick/faster_rcnn", "rfla"]
    assert [audit.strides for audit in report.audits][1] == (4, 8, 16, 32, 64)
    assert report.audits[1].first_of_two
    assert "its first stage" in report.table
    assert report.audits[2].tally.shares["all"] == {
        "none": 0,
        "one": 0,
        "two": 0,
        "three or more": 1,
    }
    written = json.loads(report.to_json())
    assert written["audits"][2]["assigner"]["name"] == "hierarchical"
    assert written["audits"][2]["sizes"]["< 2"]["shares"] is None


def test_files_say_the_same_as_the_report(data, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "new" / "out"
    report = analyze_assignment(
        "quick/small", data, overrides=[*PLAIN, STRICT], windows=3, out=out, pictures=2
    )
    rows = list(csv.DictReader((out / "objects.csv").read_text().splitlines()))
    assert [row["priors"] for row in rows] == ["0", "4"] * 3
    assert [row["levels"] for row in rows] == ["", "4:4"] * 3
    assert [row["best_iou"] == "" for row in rows] == [True, False] * 3
    assert rows[0]["class"] == "boat"
    assert (out / "assignment.svg").read_text().startswith("<svg")
    assert len(report.pictures) == 2
    with Image.open(report.pictures[0]) as picture:
        assert picture.width > 32


def test_no_image_is_decoded_without_pictures(data, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("tinyscope.data.images.read_image", refuse)
    for view in ("train", "predict"):
        report = analyze_assignment("quick/small", data, overrides=PLAIN, view=view)
        assert report.audits[0].tally.counts["all"]


def test_prediction_shows_objects_at_its_scale(data):
    changes = [*PLAIN, "predict={scale: 3}"]
    report = analyze_assignment("quick/small", data, overrides=changes, view="predict")
    assert report.audits[0].tally.counts == {
        "all": 2,
        "< 2": 0,
        "2-8": 0,
        "8-16": 1,
        "16-32": 1,
        ">= 32": 0,
    }


def test_the_command_prints_a_table_and_writes_json(data, tmp_path, capsys):
    file = tmp_path / "audit.json"
    arguments = ["analyze", "assignment", "quick/small", "--data", str(data), "--json", str(file)]
    for override in PLAIN:
        arguments += ["--set", override]
    variant = ["--variant", "rfla:model.assigner={name: hierarchical}"]
    variant += ["--variant", "rfla: model.priors={name: fields}"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, *variant, "--windows", "1"])
    assert stopped.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "% without a prior" in shown
    rfla = json.loads(file.read_text())["audits"][1]
    assert (rfla["name"], rfla["priors"]["name"]) == ("rfla", "fields")


@pytest.mark.parametrize(
    ("recipes", "options", "error", "words"),
    [
        ("pretrain/cifar10_small", {}, SettingsError, "pre-trains a backbone"),
        (["quick/small", "quick/small"], {}, SettingsError, "two ways of assigning have this name"),
        ("quick/small", {"variants": {"quick/small": [MAX_IOU]}}, SettingsError, "have this name"),
        ("quick/small", {"variants": {"a": ["model.x=1"]}}, SettingsError, r"^a: model\.x"),
        ([], {}, SettingsError, "none is given"),
        ("quick/small", {"windows": 0}, SettingsError, "must be 1 or more"),
        ("quick/small", {"pictures": -1}, SettingsError, "must be 0 or more"),
        ("quick/small", {"split": "val"}, DataError, "no split 'val'"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(data, recipes, options, error, words):
    with pytest.raises(error, match=words):
        analyze_assignment(recipes, data, **options)


def test_a_recipe_without_data_needs_a_folder():
    with pytest.raises(SettingsError, match=r"data\.val: no data set is given"):
        analyze_assignment("quick/small", split="val")


def test_two_recipes_at_hand_have_one_name(data):
    recipe = load_recipe("quick/small")
    with pytest.raises(SettingsError, match=r"^model: two ways"):
        analyze_assignment([recipe, recipe], data)


def test_a_set_without_objects_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no objects that priors could answer for"):
        analyze_assignment("quick/small", write_set(tmp_path, []))


def test_windows_that_show_no_object_are_refused(data):
    lost = [PLAIN[0], "data.transforms=[{name: scale, smallest: 0.1, largest: 0.1}]"]
    with pytest.raises(DataError, match="no object is seen in them"):
        analyze_assignment("quick/small", data, overrides=lost, windows=1)


@pytest.mark.parametrize("option", ["model.assigner=1", "rfla", ":a=1"])
def test_a_variant_needs_a_name(data, option, capsys):
    arguments = ["analyze", "assignment", "quick/small", "--data", str(data)]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--variant", option])
    assert stopped.value.code not in (0, None)
    assert "NAME:KEY=VALUE" in " ".join(capsys.readouterr().err.split())
