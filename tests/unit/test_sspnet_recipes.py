"""The recipes of SSPNet say what its publications do, and build."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinyscope import recipes
from tinyscope.data import TRANSFORMS
from tinyscope.detectors.build import build
from tinyscope.engine.detector import without_files
from tinyscope.evaluation import evaluate
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import DetectionTable
from tinyscope.pretraining import load_pretraining
from tinyscope.settings import load_recipe
from tinyscope.types import Sample, Target

KEYS = ("AP50_tiny", "AP50_tiny1", "AP50_tiny2", "AP50_tiny3", "AP50_small")
BOTTOM_HEAVY = {
    "retinanet_resnet50_cifar100": (48.37, 36.78, 54.47, 55.05, 60.74),
    "retinanet_bh_resnet50_cifar100": (49.23, 36.01, 54.47, 56.17, 61.60),
    "cascade_rcnn_resnet50_cifar100": (48.79, 35.59, 50.75, 57.59, 65.63),
    "cascade_rcnn_bh_resnet50_cifar100": (48.96, 37.69, 52.15, 55.69, 62.62),
    "faster_rcnn_resnet50_cifar100": (48.05, 36.40, 50.38, 56.51, 62.94),
    "faster_rcnn_bh_resnet50_cifar100": (49.78, 39.99, 52.26, 57.14, 64.44),
    "retinanet_resnet50_imagenet32": (51.28, 39.38, 56.60, 58.55, 65.01),
    "retinanet_resnet50_imagenet_1000": (50.98, 38.97, 57.26, 57.68, 63.38),
    "retinanet_bh_resnet50_imagenet32": (55.34, 42.45, 61.04, 62.36, 67.63),
    "retinanet_bh_resnet50_imagenet": (52.70, 39.61, 58.82, 60.35, 69.00),
    "cascade_rcnn_resnet50_imagenet32": (54.31, 39.25, 56.81, 63.54, 69.40),
    "cascade_rcnn_resnet50_imagenet_1000": (56.60, 42.41, 59.56, 65.36, 71.20),
    "cascade_rcnn_bh_resnet50_imagenet32": (56.54, 43.65, 59.54, 64.45, 69.59),
    "cascade_rcnn_bh_resnet50_imagenet": (57.89, 44.39, 60.86, 66.25, 71.03),
    "faster_rcnn_resnet50_imagenet32": (50.48, 36.81, 51.08, 60.87, 67.38),
    "faster_rcnn_resnet50_imagenet_1000": (58.58, 44.92, 62.22, 67.19, 71.88),
    "faster_rcnn_bh_resnet50_imagenet32": (56.22, 46.07, 58.03, 63.36, 69.54),
    "faster_rcnn_bh_resnet50_imagenet": (58.97, 47.22, 61.61, 67.45, 72.37),
}
"""Rows of Tables 6 (CIFAR-100) and 7 of arXiv:2303.11267."""

SSPNET = {
    "faster_rcnn_resnet50_imagenet": (59.13, 47.56, 62.36, 66.15, 71.17),
    "cascade_rcnn_resnet50_imagenet": (58.59, 45.75, 62.03, 65.83, 71.80),
    "retinanet_resnet50_imagenet": (54.66, 42.72, 60.16, 61.52, 65.24),
    "fovea_resnet50_imagenet": (58.49, None, None, None, None),
}
"""Rows of its Table 2, which quotes arXiv:2107.01548, and one of the page of SSPNet's code."""

UNSCORED = {"fovea_bh_resnet50_imagenet"}
"""What no figure was published of."""

PUBLISHED = BOTTOM_HEAVY | SSPNET
NAMES = sorted(n.removeprefix("sspnet/") for n in recipes.names() if n.startswith("sspnet/"))


@cache
def load(name, *overrides):
    return load_recipe(f"sspnet/{name}", overrides)


@cache
def built(name):
    with torch.device("meta"):
        return build(without_files(load(name).model), 1)


def method(name):
    return name.split("_resnet50_")[0].removesuffix("_bh")


def test_every_row_of_the_tables_is_there():
    assert set(NAMES) == PUBLISHED.keys() | UNSCORED


@pytest.mark.parametrize("name", NAMES)
def test_what_is_expected_is_what_was_published(name):
    stated = zip(KEYS, PUBLISHED.get(name, [None] * 5), strict=True)
    shown = load(name)
    assert shown.expected == pytest.approx({k: v / 100 for k, v in stated if v is not None})
    if name in BOTTOM_HEAVY:
        table = 6 if name.endswith("_cifar100") else 7
        assert shown.source.startswith(f"arXiv:2303.11267, Table {table}, ")
    else:
        assert "arXiv:2107.01548" in shown.source


@pytest.mark.parametrize("name", NAMES)
def test_what_is_expected_is_among_what_its_protocol_gives(name):
    shown = load(name)
    box = np.array([[8.0, 8.0, 20.0, 20.0]])
    size, label = np.full((1, 2), 64, dtype=np.int32), np.zeros(1, dtype=np.int64)
    truth = assemble(Path(), ["person"], ["a.jpg"], size, [1], box, label)
    result = evaluate(truth, DetectionTable.concatenate([]), shown.evaluate.protocol)
    assert {*shown.expected, shown.train.monitor} <= dict(result).keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_predicts_on_five_levels_and_learns_as_published(name):
    detector = built(name)
    assert detector.neck.strides == (4, 8, 16, 32, 64)
    assert detector.neck.channels == 256
    frozen = {n for n, p in detector.backbone.named_parameters() if not p.requires_grad}
    assert ("layer1.0.conv1.weight" in frozen) == ("_bh_" not in name)
    assert not any(n.startswith(("layer2", "layer3", "layer4")) for n in frozen)
    norms = [m for m in detector.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    detector.train()
    assert not any(norm.training for norm in norms)
    assert any(m.training for m in detector.neck.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize(("kind", "million"), [
    ("faster_rcnn", 46.78), ("cascade_rcnn", 74.59), ("retinanet", 37.10), ("fovea", 37.01),
])  # fmt: skip
def test_as_many_parameters_train_as_published(kind, million):
    count = sum(
        p.numel() for p in built(f"{kind}_resnet50_imagenet").parameters() if p.requires_grad
    )
    assert count / 1e6 == pytest.approx(million, abs=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_supervised_by_the_maps_of_its_publication(name):
    neck = load(name).model["neck"]
    soft = name.startswith("faster_rcnn") and name in BOTTOM_HEAVY and not name.endswith("_1000")
    expected = "soft" if soft else "hard"
    if name in UNSCORED:
        expected = "soft_asymmetric"
    assert neck["target"] == expected
    assert neck["weight"] is None  # the published one of these maps
    assert neck["ignored"] == "background"


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_normalizes_as_its_pretraining_and_has_its_backbone(name):
    _, _, rest = name.removesuffix("_1000").partition(method(name) + "_")
    net, _, data = rest.rpartition("_")
    trained, detector = load_pretraining(f"pretrain/{data}_{net}").model, load(name).model
    assert (detector["mean"], detector["std"]) == (trained["mean"], trained["std"])
    free = ("norm_eval", "norm_affine", "frozen_stages", "weights")
    for option in trained["backbone"].keys() - set(free):
        assert detector["backbone"][option] == trained["backbone"][option], option
    assert detector["backbone"]["weights"] == f"weights/{net}_{data}.pth"


@pytest.mark.parametrize("name", NAMES)
def test_images_are_seen_trained_and_scored_as_published(name):
    shown = load(name)
    windows, predict = shown.data.windows, shown.predict
    assert (windows["size"], windows["overlap"], windows["cut"]) == ([512, 640], 30, "flush")
    assert windows["keep_empty"] == 0
    assert (predict.tile_size, predict.overlap, predict.zooms) == ((512, 640), 30, (2.0, 3.0))
    assert predict.views == 1
    limits = [1000] if name in BOTTOM_HEAVY or name in UNSCORED else None  # its own: 200
    assert shown.evaluate.protocol["limits"] == limits
    assert shown.evaluate.protocol["published"] == "tinybenchmark"
    assert shown.data.train["ignored"] == shown.data.train["uncertain"] == "drop"
    images = 8 if name.startswith("fovea") else 2
    assert shown.data.batch * shown.train.accumulate == images
    assert (shown.train.epochs, shown.train.learning_rate) == (12, 0.002)
    assert shown.data.redraw


def test_all_recipes_share_the_published_pipeline():
    first = load("faster_rcnn_resnet50_imagenet").data.transforms
    assert [part["name"] for part in first] == [
        "fit_range", "shift_rotate", "brightness_contrast", "one_of", "jpeg", "channel_shuffle",
        "one_of", "flip",
    ]  # fmt: skip
    assert all(load(name).data.transforms == first for name in NAMES)


def test_the_pipeline_runs_and_keeps_sizes_in_range():
    transforms = [
        TRANSFORMS.build(part) for part in load("retinanet_resnet50_imagenet").data.transforms
    ]
    box = torch.tensor([[300.0, 250.0, 312.0, 270.0]])
    tile = torch.randint(0, 256, (3, 512, 640), dtype=torch.uint8)
    target = Target(box, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool))
    for seed in range(6):
        sample, random = Sample(tile, target), np.random.default_rng(seed)
        for transform in transforms:
            sample = transform(sample, random)
        height, width = sample.size
        assert 512 <= height <= 768
        assert 640 <= width <= 960
        assert not sample.target.ignore.any()


def test_rows_of_one_method_differ_in_backbone_and_supervision_alone():
    first, other = load("cascade_rcnn_resnet50_imagenet"), load("cascade_rcnn_bh_resnet50_imagenet")
    changed = {**other.model, "backbone": first.model["backbone"]}
    assert changed == first.model
    assert (other.data, other.train) == (first.data, first.train)


def test_the_page_shows_every_figure():
    page = (Path(__file__).parents[2] / "docs" / "sspnet.md").read_text(encoding="utf-8")
    for name, figures in PUBLISHED.items():
        shown = load(name)
        limit = (shown.evaluate.protocol["limits"] or [200])[0]
        cells = ["" if v is None else f"{v:.2f}" for v in figures]
        row = " | ".join([f"| `{name}`", shown.model["neck"]["target"], str(limit), *cells, ""])
        assert row in page, row


def test_the_quick_recipe_takes_a_plain_pyramid_as_well():
    plain = "model.neck={name: fpn, channels: 64, coarsest: 64}"
    for overrides in ((), (plain,)):
        model = load_recipe("quick/sspnet", overrides).model
        assert model["rpn"]["sampler"]["name"] == "weighted_negative"
        with torch.device("meta"):
            assert build(model, 3).neck.strides == (4, 8, 16, 32, 64)
