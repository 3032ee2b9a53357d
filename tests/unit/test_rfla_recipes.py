"""The recipes of receptive-field assignment say what its publication does, and build."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tinyscope import recipes
from tinyscope.detectors.build import build
from tinyscope.engine.detector import without_files
from tinyscope.evaluation import evaluate
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import DetectionTable
from tinyscope.settings import load_recipe
from tinyscope.types import Target

KEYS = ("AP", "AP50", "AP75", "AP_verytiny", "AP_tiny", "AP_small", "AP_medium")
TABLE_1 = {
    "fcos_resnet50": (12.0, 29.0, 8.0, 2.5, 11.9, 17.1, 23.1),
    "fcos_diou_resnet50": (12.6, 30.4, 8.1, 2.3, 12.2, 17.2, 25.0),
    "fcos_p2_resnet50": (15.4, 36.3, 10.9, 6.0, 17.6, 18.5, 20.7),
    "faster_rcnn_resnet50": (11.1, 26.3, 7.6, 0.0, 7.2, 23.3, 33.6),
    "detectors_resnet50": (14.8, 32.8, 11.4, 0.0, 10.8, 28.3, 38.0),
    "fcos_rfla_resnet50": (13.3, 32.8, 8.5, 4.2, 14.1, 18.2, 23.4),
    "fcos_p2_rfla_resnet50": (16.3, 39.1, 11.3, 7.3, 18.5, 19.8, 21.8),
    "faster_rcnn_rfla_resnet50": (21.1, 51.6, 13.1, 9.5, 21.2, 26.1, 31.5),
    "detectors_rfla_resnet50": (24.8, 55.2, 18.5, 9.3, 24.8, 30.3, 38.2),
}
"""Rows of Table 1 of the page of the published code: AI-TOD."""
TABLE_2 = {
    "fcos_resnet50_v2": (13.4, 32.4, 8.8, 2.5, 12.4, 19.0, 26.7),
    "faster_rcnn_resnet50_v2": (12.8, 29.9, 9.4, 0.0, 9.2, 24.6, 37.0),
    "detectors_resnet50_v2": (16.1, 35.5, 12.5, 0.1, 12.6, 28.3, 40.0),
    "fcos_rfla_resnet50_v2": (15.6, 38.2, 9.6, 4.4, 14.6, 20.9, 29.5),
    "faster_rcnn_rfla_resnet50_v2": (22.6, 54.8, 14.5, 8.6, 21.7, 28.8, 35.5),
    "detectors_rfla_resnet50_v2": (25.7, 58.9, 18.8, 9.2, 25.5, 30.2, 40.2),
}
"""Rows of Table 2: AI-TOD-v2."""
LOGGED = {
    "faster_rcnn_rfla_wd_resnet50": (21.1, 52.0, 13.0, 8.0, 21.2, 27.7, 32.8),
    "fcos_rfla_third_resnet50": (12.3, 29.6, 8.1, 3.7, 13.4, 16.1, 20.6),
}
"""Training logs."""
BY_CLASS = {
    "cascade_rcnn_rfla_resnet50": (27.3, 16.8, 36.6, 42.9, 12.8, 25.0, 10.5, 7.8),
    "retinanet_rfla_resnet50": (0.0, 14.2, 17.5, 31.5, 0.3, 15.2, 4.7, 2.0),
}
"""AP of each class, of detectors that stand in no table."""
UNSCORED = {"fcos_p2_rfla_resnet50_v2", "cascade_rcnn_rfla_resnet50_v2"}
"""Settings that were published without a figure."""

PUBLISHED = TABLE_1 | TABLE_2 | LOGGED
NAMES = sorted(n.removeprefix("ai_tod/") for n in recipes.names() if n.startswith("ai_tod/"))
ELSEWHERE = ["dota/faster_rcnn_rfla_resnet50", "dota/fcos_rfla_resnet50"]
ELSEWHERE += ["visdrone/faster_rcnn_rfla_resnet50"]
ALL = [*(f"ai_tod/{name}" for name in NAMES), *ELSEWHERE]


@cache
def load(name, *overrides):
    return load_recipe(name if "/" in name else f"ai_tod/{name}", overrides)


def first_stage(model):
    """Where the priors are matched."""
    return model.get("rpn", model)


def test_every_row_of_the_tables_is_there():
    assert set(NAMES) == {*PUBLISHED, *BY_CLASS, *UNSCORED}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_expected_is_what_was_published(name):
    shown = load(name)
    if name in BY_CLASS:
        assert shown.expected == pytest.approx({"AP": np.mean(BY_CLASS[name]) / 100}, abs=5e-4)
    elif name in UNSCORED:
        assert shown.expected == {}
    else:
        stated = zip(KEYS, PUBLISHED[name], strict=True)
        assert shown.expected == pytest.approx({k: v / 100 for k, v in stated})
    for table, number in ((TABLE_1, 1), (TABLE_2, 2)):
        assert (f"Table {number}" in shown.source) == (name in table)


@pytest.mark.parametrize("name", ALL)
def test_what_is_expected_is_among_what_its_protocol_gives(name):
    shown = load(name)
    box = np.array([[8.0, 8.0, 20.0, 20.0]])
    size, label = np.full((1, 2), 64, dtype=np.int32), np.zeros(1, dtype=np.int64)
    truth = assemble(Path(), ["ship"], ["a.jpg"], size, [1], box, label)
    result = evaluate(truth, DetectionTable.concatenate([]), shown.evaluate.protocol)
    assert shown.evaluate.protocol["name"] == "ai_tod"
    assert {*shown.expected, shown.train.monitor} <= dict(result).keys()


@pytest.mark.parametrize("name", ALL)
def test_a_detector_predicts_on_five_levels_and_learns_as_published(name):
    with torch.device("meta"):
        detector = build(without_files(load(name).model), 8)
    first = 8 if "retinanet" in name or ("fcos" in name and "_p2_" not in name) else 4
    assert detector.neck.strides == tuple(first * 2**i for i in range(5))
    frozen = {n for n, p in detector.backbone.named_parameters() if not p.requires_grad}
    assert "layer1.0.conv1.weight" in frozen
    assert not any(n.endswith("conv1.weight") and "layer2" in n for n in frozen)
    caffe = "fcos" in name
    assert ("layer2.0.bn1.weight" in frozen) == caffe
    assert load(name).model["backbone"]["stride_first"] == caffe


@pytest.mark.parametrize("name", [n for n in ALL if "rfla" in n])
def test_objects_are_matched_as_published(name):
    model = load(name).model
    stage = first_stage(model)
    assigner = stage["assigner"]
    first = {"dota/faster_rcnn_rfla_resnet50": 2, "dota/fcos_rfla_resnet50": 6}.get(name, 3)
    assert (assigner["first"], assigner["second"], assigner["shrink"]) == (first, 1, 0.9)
    assert (assigner["distance"] == "wasserstein") == ("_wd_" in name)
    points = "fcos" in name
    assert assigner["ignore"] == (None if points else 0.8)
    assert assigner["carry"] == points
    priors = stage["priors"]
    assert priors["ratios"] == ([1.0] if points else [0.5, 1.0, 2.0])
    assert priors["offset"] == (0.5 if points else 0.0)
    assert priors["fraction"] == pytest.approx(1 / 3 if "third" in name else 1 / 2)
    logged_then = name.endswith(("faster_rcnn_rfla_resnet50_v2", "faster_rcnn_rfla_wd_resnet50"))
    fields = [34, 91, 267, 427, 555] if logged_then else "published"
    assert priors["receptive_fields"] == fields
    if "rpn" in model:
        assert stage["coder"]["encoding_shrink"] == 0.9
        bordered = "cascade" in name or "detectors" in name
        assert stage["overhang"] == (0 if bordered else None)
        assert stage["head"]["box_loss"] == ("smooth_l1" if bordered else "l1")
    else:
        assert model["head"]["box_loss"] == "diou"


@pytest.mark.parametrize("name", [n for n in NAMES if "rfla" not in n])
def test_a_baseline_differs_in_its_matching_alone(name):
    ours, other = load(name), load(name.replace("_diou", "").replace("_resnet50", "_rfla_resnet50"))
    for group in ("data", "train", "predict", "evaluate"):
        assert getattr(ours, group) == getattr(other, group)
    for part in ours.model.keys() - {"rpn", "priors", "assigner", "head"}:
        assert ours.model[part] == other.model[part], part
    stage, theirs = first_stage(ours.model), first_stage(other.model)
    matching = {"priors", "assigner", "coder", "head"}
    assert {k for k in stage if stage[k] != theirs.get(k)} <= matching | {"rpn"}
    assert stage["coder"].get("encoding_shrink", 1.0) == 1.0
    if "fcos" not in name:
        assert stage["head"] == theirs["head"]


@pytest.mark.parametrize("name", NAMES)
def test_images_are_seen_trained_and_scored_as_published(name):
    shown = load(name)
    version = 2 if name.endswith("_v2") else 1
    assert shown.data.train["version"] == shown.data.val["version"] == version
    assert (shown.data.train["split"], shown.data.val["split"]) == ("trainval", "test")
    assert shown.data.train["ignored"] == "drop"
    assert not shown.data.train["keep_empty"]
    assert shown.data.windows["name"] == "whole"
    assert [part["name"] for part in shown.data.transforms] == ["flip"]
    train = shown.train
    assert (train.epochs, train.learning_rate, shown.data.batch) == (12, 0.005, 2)
    points = "fcos" in name
    assert train.warmup == ("constant" if points else "linear")
    assert train.warmup_steps == (10000 if points else 5000)
    assert train.clip_norm == (35 if points else None)
    assert shown.predict.limit is shown.predict.tile is None
    assert list(shown.evaluate.protocol["limits"]) == [100, 300, 1500]


@pytest.mark.parametrize("name", ALL)
def test_three_thousand_are_kept_everywhere(name):
    model = load(name).model
    if "rpn" not in model:
        assert (model["candidates"], model["rank"], model["limit"]) == (3000, "priors", 3000)
        return
    rpn = model["rpn"]
    for key in ("train_before", "train_after", "test_before", "test_after"):
        assert rpn[key] == 3000
    last = model["roi"]["stages"][-1] if "stages" in model["roi"] else model["roi"]
    assert (last["limit"], last["nms"], last["score_threshold"]) == (3000, 0.5, 0.05)


def test_the_page_shows_every_figure():
    page = (Path(__file__).parents[2] / "docs" / "rfla.md").read_text(encoding="utf-8")
    for name, figures in PUBLISHED.items():
        row = " | ".join([f"| `{name}`", *(f"{v:.1f}" for v in figures)]) + " |"
        assert row in page, row
    for name in ELSEWHERE:
        assert f"`{name}`" in page


def test_the_quick_recipe_differs_from_its_neighbor_in_its_matching_alone():
    ours, other = load("quick/rfla"), load("quick/small")
    for group in ("data", "train", "predict", "evaluate"):
        assert getattr(ours, group) == getattr(other, group)
    differing = {k for k in ours.model if ours.model[k] != other.model[k]}
    assert differing == {"priors", "assigner"}


def test_the_quick_recipe_learns_an_object_of_two_pixels():
    torch.manual_seed(0)
    detector = build(load("quick/rfla").model, 1)
    box = torch.tensor([[30.0, 30.0, 32.0, 32.0]])
    target = Target(box, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool))
    outputs = detector(torch.rand(1, 3, 64, 64) * 255)
    losses = detector.loss(outputs, [target], [(64, 64)])
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["box"] > 0
    priors = detector.priors(outputs.pyramid.sizes, torch.device("cpu"))
    assert int((detector.assigner(priors, box) >= 0).sum()) >= 3
