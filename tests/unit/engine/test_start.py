"""A training that begins with the weights of another one."""

from pathlib import Path

import pytest
import torch

import tinyscope
from tinyscope.catalog import plain
from tinyscope.data.synthetic import write_synthetic
from tinyscope.detectors.build import build
from tinyscope.engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tinyscope.engine.start import start_from
from tinyscope.errors import CheckpointError
from tinyscope.settings import load_recipe

NARROW = ["model.backbone={name: resnet, depth: 18, width: 8}", "model.neck.channels=8"]
NARROW += ["model.roi.head.width=8"]


def detector(classes: int, *more: str, recipe: str = "quick/faster_rcnn") -> torch.nn.Module:
    narrow = NARROW if recipe == "quick/faster_rcnn" else NARROW[:2]
    return build(load_recipe(recipe, [*narrow, *more]).model, classes)


def saved(folder: Path, classes: int, average: bool = False) -> tuple[Path, torch.nn.Module]:
    """A checkpoint and the detector whose weights predict."""
    trained, other = detector(classes), detector(classes)
    recipe = plain(load_recipe("quick/faster_rcnn", NARROW).model_dump())
    names = tuple(f"class {i}" for i in range(classes))
    averaged = trained.state_dict() if average else {}
    model = other.state_dict() if average else trained.state_dict()
    file = folder / "pre.ckpt"
    save_checkpoint(Checkpoint(model, recipe, names, average=averaged), file)
    return file, trained


@pytest.mark.parametrize("average", [False, True])
def test_a_detector_of_the_same_classes_takes_everything(tmp_path, average):
    file, trained = saved(tmp_path, 2, average)
    fresh = detector(2)
    started = start_from(fresh, file)
    assert started.fresh == ()
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in fresh.state_dict().items())
    assert str(started) == f"starts from {file}: {started.taken} tensors"


def test_what_depends_on_the_classes_stays_fresh(tmp_path):
    file, trained = saved(tmp_path, 80)
    fresh = detector(1)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    started = start_from(fresh, file)
    parts = ("roi.head.classification.", "roi.head.box.")
    assert set(started.fresh) == {n for n in before if n.startswith(parts)}
    for name, value in fresh.state_dict().items():
        source = before if name in started.fresh else trained.state_dict()
        assert torch.equal(value, source[name]), name
    assert "roi.head.classification.weight" in str(started)


GROUPS = "model.roi.head.groups="


@pytest.mark.parametrize(
    ("then", "now", "fresh"),
    [
        ("null", "[[0], [1, 2]]", True),
        ("[[0], [1, 2]]", "null", True),
        ("[[0], [1, 2]]", "[[0, 1], [2]]", True),  # as many rows, of other classes
        ("[[0], [1, 2]]", "[[1, 2], [0]]", True),
        ("[[0], [1, 2]]", "[[0], [2, 1]]", False),
    ],
)
def test_a_classifier_of_other_groups_stays_fresh(tmp_path, then, now, fresh):
    trained = detector(3, GROUPS + then)
    recipe = plain(load_recipe("quick/faster_rcnn", [*NARROW, GROUPS + then]).model_dump())
    save_checkpoint(Checkpoint(trained.state_dict(), recipe, ("a", "b", "c")), tmp_path / "a.ckpt")
    started = start_from(detector(3, GROUPS + now), tmp_path / "a.ckpt")
    rows = {f"roi.head.classification.{kind}" for kind in ("weight", "bias")}
    assert set(started.fresh) == (rows if fresh else set())


@pytest.mark.parametrize(
    ("more", "recipe"),
    [
        (["model.neck.channels=16"], "quick/faster_rcnn"),
        (["model.rpn.priors.octaves=2"], "quick/faster_rcnn"),
        ([], "quick/retinanet"),
    ],
)
def test_another_network_is_refused_and_left_alone(tmp_path, more, recipe):
    file, _ = saved(tmp_path, 2)
    other = detector(2, *more, recipe=recipe)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"^train\.start: .* is of another network; its tens"):
        start_from(other, file)
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


VIDEO = [
    "model.motion.width=4",
    "model.detector.neck.channels=8",
    "model.detector.roi.head.width=8",
]
SINGLE = ["model.neck.channels=8", "model.roi.head.width=8"]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_detector_of_videos_begins_with_one_of_images(tmp_path, classes):
    recipe = load_recipe("quick/fgfa_single", SINGLE)
    trained = build(recipe.model, 2)
    names = ("a", "b")
    file = tmp_path / "single.ckpt"
    save_checkpoint(Checkpoint(trained.state_dict(), plain(recipe.model_dump()), names), file)
    video = build(load_recipe("quick/fgfa", VIDEO).model, classes)
    before = {name: value.clone() for name, value in video.state_dict().items()}
    started = start_from(video, file)
    assert bool(started.fresh) == (classes != 2)
    for name, value in video.state_dict().items():
        inner = name.removeprefix("detector.")
        kept = inner == name or inner in started.fresh  # motion, aggregator, other classes
        assert torch.equal(value, before[name] if kept else trained.state_dict()[inner]), name
    assert str(started).endswith("motion and aggregator are fresh, as it is a detector of images")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        start_from(detector(1), tmp_path / "absent.ckpt")


def test_a_training_starts_from_the_checkpoint_it_is_given(tmp_path, capsys):
    data = tmp_path / "data"
    write_synthetic(data, {"train": 2, "val": 1}, size=(64, 64))
    tiny = ["model.backbone.width=8", "model.backbone.blocks=[1]", "model.backbone.strides=[4]"]
    tiny += ["model.neck.channels=8", "data.windows.size=64", "data.batch=2", "data.workers=0"]
    tiny += ["train.steps=1", "train.warmup_steps=0", "train.precision=32", "train.ema=null"]
    tiny += ["train.learning_rate=1e-12", "train.weight_decay=0"]
    first = tinyscope.train("quick/small", data, tmp_path / "first", overrides=tiny)
    tiny += [f"train.start={first.best}", "train.seed=1"]
    second = tinyscope.train("quick/small", data, tmp_path / "second", overrides=tiny)
    assert "starts from" in capsys.readouterr().out
    before, after = (load_checkpoint(run.best).model for run in (first, second))
    assert before.keys() == after.keys()
    for name, value in before.items():
        if value.is_floating_point() and "running_" not in name:
            torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9)
    # A run that goes on has its own weights, and needs the file no longer.
    first.best.unlink()
    tinyscope.train("quick/small", data, tmp_path / "second", resume=True, overrides=tiny)
