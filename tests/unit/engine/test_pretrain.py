"""A pre-training learns, resumes exactly, and gives its weights to a detector."""

import json
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from small_pretraining import NAMES, recipe, run, write_images

from tinyscope.catalog import validate
from tinyscope.data.classification.cifar import CIFAR10_FILES
from tinyscope.detectors.build import build
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.detector import load
from tinyscope.engine.image_sets import open_image_sets
from tinyscope.engine.logs import read_rows
from tinyscope.engine.pretrain import pretrain
from tinyscope.engine.report import report
from tinyscope.engine.signals import Stop
from tinyscope.engine.train import train
from tinyscope.errors import CheckpointError, DataError, SettingsError
from tinyscope.pretraining import ImageSettings, load_any, load_pretraining
from tinyscope.settings import load_recipe

KEPT = ("last.ckpt", "best.ckpt", "metrics.csv", "scores.csv", "evaluation.json", "recipe.yaml")
DETECTOR = {
    "name": "dense",
    "backbone": {"name": "bottom_heavy", "block": "basic", "blocks": [1, 1], "width": 8},
    "neck": {"name": "fpn", "channels": 8},
    "head": {"name": "fcos", "depth": 1},
    "priors": {"name": "points"},
    "assigner": {"name": "center"},
    "sampler": {"name": "all"},
    "coder": {"name": "distance"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "colors.zip")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return pretrain(recipe(), data, folder / "run")


def test_a_pretraining_learns_and_leaves_its_files(whole):
    assert whole.steps == 16
    assert whole.scores["top1"] > 0.8
    assert whole.scores["top5"] == 1.0
    scores = json.loads((whole.folder / "evaluation.json").read_text())
    assert scores["top1"] == whole.scores["top1"]
    assert scores["images"] == 15
    assert tuple(scores["per_class"]) == NAMES
    assert [int(row["step"]) for row in read_rows(whole.folder / "scores.csv")] == [5, 10, 15, 16]
    assert not (whole.folder / "dropped.json").exists()
    assert load_checkpoint(whole.best).names == NAMES


class StopAt(Stop):
    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_a_stopped_pretraining_goes_on_to_the_same_bytes(data, whole, tmp_path, monkeypatch):
    @contextmanager
    def soon():
        yield StopAt(6)

    with monkeypatch.context() as patched:
        patched.setattr("tinyscope.engine.run.stop_signals", soon)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe(), data, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "last.ckpt").step == 7
    pretrain(recipe(), data, tmp_path / "run", resume=True)
    for name in KEPT:
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes(), name


@pytest.mark.parametrize("file", ["best.ckpt", "last.ckpt"])
def test_a_detector_takes_the_backbone_by_one_setting(whole, file):
    path = str(whole.folder / file)
    model = {**DETECTOR, "backbone": {**DETECTOR["backbone"], "weights": path}}
    detector = build(model, 1)
    trained = load_checkpoint(whole.folder / file).model
    taken = detector.get_submodule("backbone").state_dict()
    assert taken
    for name, tensor in taken.items():
        if not name.endswith("num_batches_tracked"):
            assert tensor.equal(trained[f"backbone.{name}"]), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 16}, "is of another model: conv1.weight is"),
        ({"blocks": [2, 1]}, "lacks 10 of .* tensors: layer1.1"),
        ({"blocks": [1, 1, 1]}, "lacks .* tensors: layer3.0"),
    ],
)
def test_a_detector_refuses_the_backbone_of_another(whole, change, words):
    backbone = {**DETECTOR["backbone"], **change, "weights": str(whole.best)}
    with pytest.raises(CheckpointError, match=words):
        build({**DETECTOR, "backbone": backbone}, 1)


def test_a_classifier_is_no_detector(whole):
    with pytest.raises(CheckpointError, match=r"is a classifier.s.*model\.backbone\.weights"):
        load(whole.best)


def test_the_weights_of_a_run_depend_on_its_seed(data, whole, tmp_path):
    other = pretrain(recipe(seed=1), data, tmp_path / "run")
    first, second = (load_checkpoint(run.best).model["head.weight"] for run in (whole, other))
    assert not torch.equal(first, second)


def test_data_that_do_not_suit_the_recipe_are_refused(data, tmp_path):
    small = write_images(tmp_path / "small.zip", side=12)
    with pytest.raises(DataError, match="12 x 12 pixels and enters the network as 12 x 12"):
        pretrain(recipe(), small, tmp_path / "a")
    with pytest.raises(DataError, match=r"has 3 classes \(blue, green, red\), the recipe is for 4"):
        pretrain(recipe(), data, tmp_path / "b", overrides=["data.classes=4"])
    with pytest.raises(SettingsError, match="use --data PATH"):
        pretrain(recipe(), None, tmp_path / "c")
    with pytest.raises(SettingsError, match=r"no number 'top2'; did you mean top"):
        pretrain(recipe(monitor="top2"), data, tmp_path / "d")


def test_a_single_class_is_refused(tmp_path):
    place = write_images(tmp_path / "one.zip", names=("red",))
    with pytest.raises(DataError, match=r"has one class \(red\)"):
        pretrain(recipe(), place, tmp_path / "run")


@pytest.mark.parametrize(("key", "start"), [("train", pretrain), ("detector", train)])
def test_a_length_that_does_not_fit_is_refused_before_the_data_are_read(key, start, tmp_path):
    name = "pretrain/cifar10_small" if key == "train" else "quick/small"
    absent = tmp_path / "absent.zip"
    with pytest.raises(SettingsError, match=r"train\.warmup_steps: \d+ must be less than the 4 st"):
        start(name, absent, tmp_path / "run", overrides=["train.steps=4"])
    changes = ["train.steps=4", "train.warmup_steps=0"]
    with pytest.raises(DataError, match=r"absent\.zip: no such file"):
        start(name, absent, tmp_path / "other", overrides=changes)


def test_the_start_says_what_is_read_and_which_split_is_evaluated_on(data, tmp_path, capsys):
    pretrain(recipe(steps=3), data, tmp_path / "run")
    shown = capsys.readouterr().out
    assert shown.index(f"reading images of {data}") < shown.index("36 images of 3 classes")
    assert "evaluated on 15 images (test)" in shown


@pytest.mark.parametrize("named", [False, True])
def test_the_split_evaluated_on_is_called_as_its_set_does(named, tmp_path):
    for file in (f for files in CIFAR10_FILES.values() for f in files):
        np.arange(2 * 3073, dtype=np.int64).clip(0, 9).astype(np.uint8).tofile(tmp_path / file)
    (tmp_path / "batches.meta.txt").write_text("a b c d e f g h i j")
    part = {"name": "cifar10", "path": str(tmp_path), "split": "val"}
    settings = validate(ImageSettings, {"val": part} if named else {}, "data")
    train_set, val = open_image_sets(settings, tmp_path)
    assert (train_set.split, len(train_set)) == ("train", 10)
    assert (val.split, len(val)) == ("test", 2)


def test_a_split_to_evaluate_on_that_is_named_must_be_there(data, tmp_path):
    with pytest.raises(DataError, match=r"no folder vall"):
        pretrain(recipe(), data, tmp_path / "run", overrides=["data.val_split=vall"])


def test_there_is_no_report_of_a_pretraining(whole):
    with pytest.raises(DataError, match=r"is a pre-training, of which there is no report; .*scor"):
        report(whole.folder)


def test_other_labels_are_not_called_annotations_alone(data, whole, tmp_path):
    with zipfile.ZipFile(data) as old, zipfile.ZipFile(tmp_path / "less.zip", "w") as less:
        for name in old.namelist():
            if name != "train/red/3.png":
                less.writestr(name, old.read(name))
    with pytest.raises(SettingsError, match="its annotations or labels differ"):
        pretrain(recipe(), tmp_path / "less.zip", whole.folder, resume=True)


def test_splits_of_other_classes_are_refused(tmp_path):
    place = write_images(tmp_path / "a.zip")
    with zipfile.ZipFile(place) as whole, zipfile.ZipFile(tmp_path / "b.zip", "w") as part:
        for name in whole.namelist():
            if not name.startswith("test/red/"):
                part.writestr(name, whole.read(name))
    words = (
        r"evaluate on has 2 classes, the training set 3 \(only in train: red; only in test: none"
    )
    with pytest.raises(DataError, match=words):
        pretrain(recipe(), tmp_path / "b.zip", tmp_path / "run")


def test_a_run_resumes_only_with_its_own_labels(data, whole, tmp_path):
    other = write_images(tmp_path / "other.zip", names=("blue", "green", "rot"))
    with pytest.raises(SettingsError, match="has the classes"):
        pretrain(recipe(), other, whole.folder, resume=True)


def test_each_kind_of_recipe_has_its_command():
    with pytest.raises(SettingsError, match="cifar10_small pre-trains a backbone; run it with"):
        load_recipe("pretrain/cifar10_small")
    with pytest.raises(SettingsError, match="quick/demo trains a detector; run it with"):
        load_pretraining("quick/demo")
    changed = load_any(load_pretraining("pretrain/cifar10_small"), ["data.batch=4"])
    assert changed.data.batch == 4
    with pytest.raises(
        SettingsError, match=r"^data\.transforms\.1\.name: no augmentation named 'fli"
    ):
        load_pretraining("pretrain/cifar10_small", ["data.transforms.1={name: fli}"])


@pytest.mark.slow
def test_two_processes_equal_one(data, tmp_path):
    changes = {"norm": "group", "steps": 8}  # batch norm sees half a batch
    run(str(data), str(tmp_path / "one"), **changes)
    script = Path(__file__).parent / "small_pretraining.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(script), str(data), str(tmp_path / "two"), json.dumps(changes)]
    done = subprocess.run([*launch, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 process(es)" in done.stdout
    one, two = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("one", "two"))
    torch.testing.assert_close(two.model, one.model, rtol=1e-4, atol=1e-6)
    assert (
        two.progress["scores"].keys() == one.progress["scores"].keys() == {"top1", "top5", "loss"}
    )
