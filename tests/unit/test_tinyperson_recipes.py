"""The recipes of published TinyPerson results say what the publications do."""

import pytest
import torch
from torch import nn

from tinyscope import recipes
from tinyscope.detectors.build import build
from tinyscope.errors import CheckpointError
from tinyscope.pretraining import load_pretraining
from tinyscope.settings import load_recipe

KEYS = ("AP50_tiny", "AP50_tiny1", "AP50_tiny2", "AP50_tiny3", "AP50_small")
PUBLISHED = {
    "resnet50_cifar100": (43.02, 26.09, 47.43, 54.24, None),
    "bh_resnet50_cifar100": (46.53, 31.65, 50.51, 56.60, 59.45),
    "hrnet32_cifar100": (37.67, 24.62, 41.84, 47.29, 51.39),
    "bh_hrnet32_cifar100": (41.82, 27.19, 46.03, 51.85, 55.39),
    "hrnet18_cifar100": (36.94, 24.05, 41.46, 45.94, 50.57),
    "bh_hrnet18_cifar100": (40.27, 25.56, 44.50, 50.18, 53.65),
    "resnet50_imagenet32": (47.81, None, 53.54, 58.34, 64.56),
    "resnet50_imagenet": (47.35, 30.25, 51.58, 58.95, 63.18),
    "bh_resnet50_imagenet32": (52.60, 38.18, 58.18, 61.66, 67.42),
    "bh_resnet50_imagenet": (52.03, 37.95, 57.58, 60.99, 65.71),
    "hrnet32_imagenet": (53.05, 35.61, 58.46, 63.87, 68.02),
    "bh_hrnet32_imagenet32": (52.62, 38.76, 57.64, 62.28, 67.42),
    "bh_hrnet32_imagenet": (53.29, 38.08, 58.92, 63.08, 67.72),
    "hrnet18_imagenet": (52.28, 34.92, 58.39, 63.36, 67.86),
    "bh_hrnet18_imagenet32": (50.04, 35.43, 55.10, 60.04, 65.03),
    "bh_hrnet18_imagenet": (52.69, 36.12, 59.13, 63.48, 67.45),
}
"""Faster R-CNN-FPN in Tables 6 (CIFAR-100) and 7 of arXiv:2303.11267; None where nothing stands."""

NAMES = [name for name in recipes.names() if name.startswith("tinyperson/faster_rcnn_")]


def recipe(name):
    return load_recipe(name, ["model.backbone.weights=null"])


def case(name):
    return name.removeprefix("tinyperson/faster_rcnn_")


def test_every_backbone_and_pretraining_of_the_tables_is_there():
    assert {case(name) for name in NAMES} == set(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_expected_is_what_was_published(name):
    published = zip(KEYS, PUBLISHED[case(name)], strict=True)
    stated = {key: value / 100 for key, value in published if value is not None}
    shown = load_recipe(name)
    assert shown.expected == pytest.approx(stated, abs=1e-9)
    table = 6 if name.endswith("_cifar100") else 7
    assert shown.source.startswith(f"arXiv:2303.11267, Table {table}, ")


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_normalizes_as_its_pretraining_and_has_its_backbone(name):
    net, _, data = case(name).rpartition("_")
    trained, detector = load_pretraining(f"pretrain/{data}_{net}").model, load_recipe(name).model
    assert (detector["mean"], detector["std"]) == (trained["mean"], trained["std"])
    free = ("norm_eval", "norm_affine", "frozen_stages", "weights")
    for option in trained["backbone"].keys() - set(free):
        assert detector["backbone"][option] == trained["backbone"][option], option


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_starts_from(name):
    shown = load_recipe(name)
    assert shown.model["backbone"]["weights"] == f"weights/{case(name)}.pth"
    assert shown.model["backbone"]["norm_eval"]
    assert (shown.model["neck"]["name"] == "hrfpn") == ("hrnet" in name)


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_imagenet")])
def test_a_detector_predicts_on_five_levels_from_stride_4(name):
    with torch.device("meta"):
        detector = build(recipe(name).model, 1)
    assert detector.neck.strides == (4, 8, 16, 32, 64)
    norms = [m for m in detector.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    learning = {p.requires_grad for m in norms for p in m.parameters()}
    assert learning == {"hrnet" in name}
    frozen = [n for n, p in detector.backbone.named_parameters() if not p.requires_grad]
    ordinary = name.endswith("rcnn_resnet50_imagenet")
    assert ("layer1.0.conv1.weight" in frozen) == ordinary


def test_a_run_without_the_weights_stops():
    with pytest.raises(CheckpointError, match=r"no file at weights/resnet50_imagenet\.pth"):
        build(load_recipe("tinyperson/faster_rcnn_resnet50_imagenet").model, 1)
