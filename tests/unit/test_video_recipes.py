"""The recipes of videos say what their publications do, compare with each other, and build."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinyscope import recipes
from tinyscope.data.synthetic import FREQUENT, VIDEO_NAMES
from tinyscope.data.synthetic.videos import SPREAD, quotas
from tinyscope.detectors.build import build
from tinyscope.engine.detector import without_files
from tinyscope.engine.loop import schedule_of
from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.evaluation import evaluate
from tinyscope.formats.assemble import assemble
from tinyscope.formats.imagenet_vid import CLASSES
from tinyscope.formats.tables import DetectionTable
from tinyscope.settings import load_recipe
from tinyscope.types import Target

QUICK = ("quick/fgfa", "quick/fgfa_single", "quick/fgfa_sspnet")
PUBLISHED = {
    "imagenet_vid_r50_dc5": 0.747,
    "imagenet_vid_r101_dc5": 0.778,
    "imagenet_vid_r50_dc5_groups": None,
    "imagenet_vid_r50_dc5_groups_end_to_end": 0.759,
}
"""AP50 by MMTracking, and the one that the page of the group softmax on videos claims."""
MEMBERS = (
    "bicycle bus fox hamster lion lizard motorcycle rabbit sheep snake tiger whale",
    "antelope bear cattle domestic_cat giant_panda horse red_panda squirrel turtle watercraft",
    "airplane elephant monkey zebra",
    "bird car dog train",
)
NAMES = (*QUICK, *(name for name in recipes.names() if name.startswith("fgfa/")))


@cache
def load(name, *overrides):
    return load_recipe(name, overrides)


@cache
def built(name, classes=30):
    with torch.device("meta"):
        return build(without_files(load(name).model), classes)


def groups_that_are_proposed():
    """Those in the header of quick/fgfa."""
    text = (recipes.FOLDER / "quick/fgfa.yaml").read_text()
    return text.split("head.groups=")[1].split("'\n")[0]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_expected_and_watched_is_among_what_its_protocol_gives(name):
    shown = load(name)
    box = np.array([[8.0, 8.0, 20.0, 20.0]])
    size, label = np.full((1, 2), 64, dtype=np.int32), np.zeros(1, dtype=np.int64)
    truth = assemble(Path(), ["car"], ["a.png"], size, [1], box, label)
    result = evaluate(truth, DetectionTable.concatenate([]), shown.evaluate.protocol)
    assert {*shown.expected, shown.train.monitor} <= dict(result).keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds(name):
    model = built(name)
    video = load(name).model["name"] == "video"
    assert hasattr(model, "motion") == video
    assert (load(name).data.references is not None) == video


def test_the_twins_differ_in_nothing_but_the_frames():
    video, single = load("quick/fgfa"), load("quick/fgfa_single")
    assert single.model == video.model["detector"]
    assert single.train == video.train
    assert single.evaluate == video.evaluate
    assert single.predict == video.predict
    assert single.data == video.data.model_copy(update={"references": None})


def test_the_groups_in_the_header_are_of_equal_frequency():
    recipe = load("quick/fgfa", f"model.detector.roi.head.groups={groups_that_are_proposed()}")
    groups = recipe.model["detector"]["roi"]["head"]["groups"]
    in_order = [VIDEO_NAMES.index(name) for name in FREQUENT]
    assert [label for group in groups for label in group] == in_order
    counts = quotas(768, SPREAD) * 20  # objects of 48 videos, each seen in about 20 frames
    first = np.cumsum([0, *map(len, groups)])[:-1]
    bounds = [(counts[i : i + len(g)].min(), counts[i : i + len(g)].max())
              for i, g in zip(first, groups, strict=True)]  # fmt: skip
    assert [low >= edge for (low, _), edge in zip(bounds, (1000, 100, 0), strict=True)] == [
        True
    ] * 3
    assert [high < edge for (_, high), edge in zip(bounds[1:], (1000, 100), strict=True)] == [
        True
    ] * 2


def test_what_is_expected_is_what_was_published():
    shown = {name: load(f"fgfa/{name}").expected for name in PUBLISHED}
    assert shown == {k: {} if v is None else {"AP50": v} for k, v in PUBLISHED.items()}
    assert set(NAMES) == {*QUICK, *(f"fgfa/{name}" for name in PUBLISHED)}
    assert "(claimed)" in load("fgfa/imagenet_vid_r50_dc5_groups_end_to_end").source


@pytest.mark.parametrize("name", [n for n in PUBLISHED if "r50" in n])
def test_published_models_have_as_many_parameters_and_train_as_published(name):
    model = built(f"fgfa/{name}")
    groups = "groups" in name
    logits = 36 if groups else 31
    assert sum(p.numel() for p in model.parameters()) == 103_267_171 + (logits - 31) * 1025
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert len(learning) == 177
    assert "detector.backbone.layer2.0.bn1.weight" in learning
    assert "detector.backbone.layer1.0.conv1.weight" not in learning
    assert {n.split(".")[0] for n in learning} == {"detector", "motion", "aggregator"}
    assert model.detector.neck.strides == (16,)
    assert (model.exact_warp, model.sum_key) == (False, False)
    assert model.detector.roi.head.classification.out_features == logits
    model.train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize(
    "name", ["fgfa/imagenet_vid_r50_dc5_groups", "fgfa/imagenet_vid_r50_dc5_groups_end_to_end"]
)
def test_groups_are_those_that_were_published(name):
    names = tuple(CLASSES.values())
    groups = load(name).model["detector"]["roi"]["head"]["groups"]
    assert [{names[label] for label in group} for group in groups] == [
        set(group.split()) for group in MEMBERS
    ]


def test_the_layer_of_classes_alone_learns_in_a_finished_detector():
    recipe = load("fgfa/imagenet_vid_r50_dc5_groups")
    assert recipe.train.start
    (prefix,) = recipe.train.only
    names = [n for n, _ in built("fgfa/imagenet_vid_r50_dc5_groups").named_parameters()]
    chosen = [n for n in names if n.startswith(prefix)]
    assert [n.rpartition(".")[2] for n in chosen] == ["weight", "bias"]
    files = recipe.model["motion"]["weights"], recipe.model["detector"]["backbone"]["weights"]
    assert files == (None, None)


def test_the_rate_falls_as_published():
    settings = load("fgfa/imagenet_vid_r50_dc5").train
    epoch = 13_900
    schedule = schedule_of(settings, 7 * epoch)
    rates = [settings.learning_rate * schedule(step) for step in (
        0, 250, 500, 2 * epoch - 2, 2 * epoch + 2, 5 * epoch - 2, 5 * epoch + 2,
    )]  # fmt: skip
    half = 0.01 * (1 - 0.5 * 2 / 3)
    assert rates == pytest.approx([0.01 / 3, half, 0.01, 0.01, 0.001, 0.001, 0.0001], rel=1e-4)
    assert (settings.optimizer, settings.momentum, settings.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (settings.clip_norm, load("fgfa/imagenet_vid_r50_dc5").data.batch) == (35, 8)


def test_settings_of_the_inner_detector_are_told_their_place():
    message = r"^model\.roi: belongs to the detector inside video; set model\.detector\.roi$"
    with pytest.raises(SettingsError, match=message):
        load("quick/fgfa", "model.roi.head.groups=[[0], [1]]")


@pytest.mark.parametrize("part", ["motion", "detector.backbone"])
def test_of_two_files_of_weights_the_setting_of_the_missing_one_is_named(part):
    model = load("quick/fgfa", f"model.{part}.weights=nowhere.pth").model
    with pytest.raises(CheckpointError, match=rf"^model\.{part}\.weights: no file at nowhere\.pth"):
        build(model, 2)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [(name, ()) for name in QUICK]
    + [("quick/fgfa", (f"model.detector.roi.head.groups={groups_that_are_proposed()}",))],
)
def test_a_step_reaches_everything_that_learns(name, overrides):
    torch.manual_seed(0)
    recipe = load(name, *overrides)
    model = build(recipe.model, 12).train()
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    boxes = torch.tensor([[8.0, 8.0, 18.0, 20.0], [30.0, 30.0, 44.0, 42.0]])
    target = Target(boxes, torch.tensor([2, 5]), torch.zeros(2, dtype=torch.bool))
    sizes = [(64, 64)] * 2
    if recipe.model["name"] == "video":
        torch.nn.init.normal_(model.motion.predictors[-1].weight, std=0.01)  # as after a step
        outputs = model(images, (1, 1), sizes)
    else:
        outputs = model(images[:2])
    losses = model.loss(outputs, [target] * 2, sizes)
    sum(losses.values()).backward()
    still = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not still
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)
