"""What commands make of a folder of TinyPerson: its splits, its tiles, other folders."""

import json
import shutil

import pytest
from finder import Finder

from tinyscope.data.synthetic import write_synthetic, write_tinyperson
from tinyscope.engine.convert import TileCut, convert
from tinyscope.engine.detector import Detector
from tinyscope.engine.evaluate import evaluate_files
from tinyscope.engine.evaluate_model import evaluate_model
from tinyscope.engine.merge import merge
from tinyscope.engine.predict import predict
from tinyscope.errors import DataError
from tinyscope.formats.coco import read_annotations
from tinyscope.formats.files import split_in
from tinyscope.settings import load_recipe

TRUTH = "annotations/task/tiny_set_test_all.json"


class Nothing(Finder):
    """Finds nothing: what is read is asked for here, not what is found."""

    def _find(self, image):
        return super()._find(image[:1, :1] * 0)


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "tiny_set"
    write_tinyperson(folder, {"train": 2, "test": 3}, seed=1, size=(300, 400))
    return folder


@pytest.fixture(scope="module")
def tiles(tiny_set, tmp_path_factory):
    """The test set's tiles, in files of `convert`."""
    folder = tmp_path_factory.mktemp("tiles") / "tiles"
    convert(tiny_set, folder, splits=["test"], tiles=TileCut("flush", (128, 160), 30))
    return folder / "annotations/test.json"


@pytest.fixture
def detector(monkeypatch):
    """Of the class `person`, trained by a recipe that names the benchmark."""
    val = "data.val={name: tinyperson, split: test}"
    recipe = load_recipe("quick/small", [val, "predict.tile=null"])
    made = Detector(Nothing(), recipe, ["person"])
    monkeypatch.setattr("tinyscope.engine.evaluate_model.load_trained", lambda path: made)


def evaluated(data, **options):
    return evaluate_model("best.ckpt", data, protocol="tinyperson", **options).stamp


@pytest.mark.usefixtures("detector")
def test_the_stamp_names_the_split_that_was_read(tiny_set):
    test, train = evaluated(tiny_set), evaluated(tiny_set, split="train")
    assert (test["split"], train["split"]) == ("test", "train")
    assert evaluated(tiny_set, split="val") == test
    both = evaluated(tiny_set, split="train+test")
    assert both["split"] == "train+test"
    assert both["images"] == train["images"] + test["images"]
    assert evaluated(tiny_set / TRUTH)["split"] is None
    with pytest.raises(DataError, match="no split 'tset'; did you mean test"):
        evaluated(tiny_set, split="tset")


@pytest.mark.usefixtures("detector")
def test_tiles_that_were_converted_are_scored_with_the_original_truth(tiny_set, tiles):
    truth = tiny_set / TRUTH
    stamp = evaluated(tiles, truth=truth)
    assert stamp["images"] == evaluated(truth)["images"]
    assert stamp["scored"] == "whole images"


def test_tiles_that_were_converted_are_merged_with_the_original_truth(tiny_set, tiles, tmp_path):
    content = json.loads(tiles.read_text())
    found = [row | {"score": 0.5} for row in content["annotations"] if not row["ignore"]]
    (tmp_path / "found.json").write_text(json.dumps(found))
    truth, out = tiny_set / TRUTH, tmp_path / "whole.json"
    done = merge(tmp_path / "found.json", tiles, out, truth=truth)
    assert done.images == len(read_annotations(truth))
    assert evaluate_files(truth, out, "tinyperson")["AP50_tiny"] > 0.9


def test_images_are_compared_with_a_truth_that_leaves_dense_ones_out(tiny_set, tmp_path):
    detector = Detector(Nothing(), load_recipe("quick/small", ["predict.tile=null"]), ["person"])
    truth = tiny_set / TRUTH
    with pytest.raises(DataError, match=r"labeled_dense_images/.* is not among the 2 annotated"):
        predict(detector, [tiny_set / "test"], tmp_path, truth=truth, pictures=False)
    listed = [tiny_set / "test" / kind for kind in ("labeled_images", "pure_bg_images")]
    assert predict(detector, listed, tmp_path, truth=truth, pictures=False).images == 2


@pytest.mark.usefixtures("detector")
def test_a_folder_of_another_layout_is_read_by_its_own(tiny_set, tiles, tmp_path):
    convert(tiny_set, tmp_path / "coco", splits=["test"])
    assert evaluated(tmp_path / "coco", split="test")["images"] == evaluated(tiny_set)["images"]
    with pytest.raises(DataError, match=r"no split 'val'.*\(COCO\)"):
        evaluated(tmp_path / "coco")
    write_synthetic(tmp_path / "boats", {"val": 1}, seed=3, size=(64, 64))
    with pytest.raises(DataError, match=r"val\.json: the data set has classes that"):
        evaluated(tmp_path / "boats")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("tiny_set_test_all", "test"),
        ("tiny_set_train_all", "train"),
        ("tiny_set_train_test", "train"),
    ],
)
def test_a_file_is_converted_as_the_split_that_its_name_speaks_of(tiny_set, name, split, tmp_path):
    file = tiny_set / "annotations/task" / f"{name}.json"
    if not file.exists():
        shutil.copy(tiny_set / "annotations/task/tiny_set_train_all.json", file)
    assert list(convert(file, tmp_path / "out", images="none").splits) == [split]
    assert (tmp_path / f"out/annotations/{split}.json").is_file()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_val2017", "val"),
        ("tiny_set_test_all", "test"),
        ("valid", "val"),
        ("train_and_test", None),
        ("latest", None),
        ("annotations", None),
    ],
)
def test_names_speak_of_one_split(name, split):
    assert split_in(name) == split
