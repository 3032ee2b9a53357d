"""The recipes of published TinyPerson results say what the publications do."""

import pytest
import torch
from torch import nn

from tinyscope import recipes
from tinyscope.detectors.build import build
from tinyscope.errors import CheckpointError
from tinyscope.settings import load_recipe

NAMES = [name for name in recipes.names() if name.startswith("tinyperson/faster_rcnn_")]


def recipe(name):
    return load_recipe(name, ["model.backbone.weights=null"])


def test_every_backbone_and_pretraining_of_the_tables_is_there():
    cases = {name.removeprefix("tinyperson/faster_rcnn_") for name in NAMES}
    nets = ("resnet50", "hrnet18", "hrnet32")
    expected = {f"bh_{net}_{data}" for net in nets for data in ("imagenet32", "imagenet")}
    expected |= {f"{net}_imagenet" for net in nets} | {"resnet50_imagenet32"}
    expected |= {f"{kind}{net}_cifar100" for net in nets for kind in ("", "bh_")}
    assert cases == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_was_published_and_what_it_starts_from(name):
    shown = load_recipe(name)
    assert shown.source.startswith("arXiv:2303.11267, Table ")
    assert 0.36 < shown.expected["AP50_tiny"] < 0.54
    assert shown.model["backbone"]["weights"] == f"weights/{name.split('rcnn_')[1]}.pth"
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
