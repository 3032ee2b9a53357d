"""The recipes of published TinyPerson results say what the publications do."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinyscope import recipes
from tinyscope.detectors.build import build
from tinyscope.engine.detector import without_files
from tinyscope.errors import CheckpointError
from tinyscope.evaluation import evaluate
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import DetectionTable
from tinyscope.pretraining import load_pretraining
from tinyscope.settings import load_recipe

KEYS = ("AP50_tiny", "AP50_tiny1", "AP50_tiny2", "AP50_tiny3", "AP50_small")
PUBLISHED = {
    # Faster R-CNN-FPN
    "faster_rcnn_resnet50_cifar100": (43.02, 26.09, 47.43, 54.24, None),
    "faster_rcnn_bh_resnet50_cifar100": (46.53, 31.65, 50.51, 56.60, 59.45),
    "faster_rcnn_hrnet32_cifar100": (37.67, 24.62, 41.84, 47.29, 51.39),
    "faster_rcnn_bh_hrnet32_cifar100": (41.82, 27.19, 46.03, 51.85, 55.39),
    "faster_rcnn_hrnet18_cifar100": (36.94, 24.05, 41.46, 45.94, 50.57),
    "faster_rcnn_bh_hrnet18_cifar100": (40.27, 25.56, 44.50, 50.18, 53.65),
    "faster_rcnn_resnet50_imagenet32": (47.81, None, 53.54, 58.34, 64.56),
    "faster_rcnn_resnet50_imagenet": (47.35, 30.25, 51.58, 58.95, 63.18),
    "faster_rcnn_bh_resnet50_imagenet32": (52.60, 38.18, 58.18, 61.66, 67.42),
    "faster_rcnn_bh_resnet50_imagenet": (52.03, 37.95, 57.58, 60.99, 65.71),
    "faster_rcnn_hrnet32_imagenet": (53.05, 35.61, 58.46, 63.87, 68.02),
    "faster_rcnn_bh_hrnet32_imagenet32": (52.62, 38.76, 57.64, 62.28, 67.42),
    "faster_rcnn_bh_hrnet32_imagenet": (53.29, 38.08, 58.92, 63.08, 67.72),
    "faster_rcnn_hrnet18_imagenet": (52.28, 34.92, 58.39, 63.36, 67.86),
    "faster_rcnn_bh_hrnet18_imagenet32": (50.04, 35.43, 55.10, 60.04, 65.03),
    "faster_rcnn_bh_hrnet18_imagenet": (52.69, 36.12, 59.13, 63.48, 67.45),
    # Faster R-CNN-SM
    "faster_rcnn_sm_resnet50_cifar100": (43.21, 27.12, 47.44, 54.52, 59.78),
    "faster_rcnn_sm_bh_resnet50_cifar100": (46.69, 31.19, 50.88, 57.13, 61.09),
    "faster_rcnn_sm_resnet50_imagenet32": (50.65, 33.68, 55.69, 61.40, 67.39),
    "faster_rcnn_sm_resnet50_imagenet": (51.33, 33.91, 55.16, 62.58, 66.96),
    "faster_rcnn_sm_bh_resnet50_imagenet32": (52.04, 37.87, 57.01, 61.32, 65.91),
    "faster_rcnn_sm_bh_resnet50_imagenet": (51.48, 37.35, 57.35, 60.49, 65.47),
    # Faster R-CNN-RFLA
    "faster_rcnn_rfla_resnet50_cifar100": (42.41, 24.73, 45.39, 55.11, 61.50),
    "faster_rcnn_rfla_bh_resnet50_cifar100": (45.34, 27.09, 49.27, 58.41, 62.63),
    "faster_rcnn_rfla_resnet50_imagenet32": (45.78, 27.72, 49.09, 58.33, 64.38),
    "faster_rcnn_rfla_resnet50_imagenet": (48.86, 30.35, 54.15, 61.28, 66.69),
    "faster_rcnn_rfla_bh_resnet50_imagenet32": (50.07, 32.29, 54.83, 62.60, 68.21),
    "faster_rcnn_rfla_bh_resnet50_imagenet": (52.27, 34.36, 56.62, 64.48, 67.77),
    # Adap-FCOS
    "adap_fcos_resnet50_cifar100": (36.29, 21.70, 40.60, 46.10, 49.87),
    "adap_fcos_bh_resnet50_cifar100": (41.42, 25.92, 45.49, 51.33, 57.08),
    "adap_fcos_resnet50_imagenet32": (42.13, 22.62, 46.50, 54.32, 57.61),
    "adap_fcos_resnet50_imagenet": (47.42, 29.05, 52.06, 59.15, 65.06),
    "adap_fcos_bh_resnet50_imagenet32": (48.20, 28.56, 53.00, 59.87, 66.51),
    "adap_fcos_bh_resnet50_imagenet": (49.16, 31.13, 53.89, 60.09, 67.60),
}
"""Rows of Tables 6 (CIFAR-100) and 7 of arXiv:2303.11267; None where nothing stands."""

ELSEWHERE = {
    "faster_rcnn_s_alpha_resnet50_imagenet": (48.39, 31.68, 52.20, 60.01, 65.15),
    "faster_rcnn_sm_plus_resnet50_imagenet": (51.46, 33.74, 55.32, 62.95, 67.37),
    "faster_rcnn_tb_resnet50_imagenet": (47.35, 30.25, 51.58, 58.95, 63.18),
    "faster_rcnn_msm_resnet50_imagenet": (50.18, None, None, None, None),
    "faster_rcnn_tov_resnet50_imagenet": (49.81, None, None, None, None),
    "adap_fcos_caffe_resnet50_imagenet": (47.61, None, None, None, None),
    "adap_retinanet_resnet50_imagenet": (46.56, 27.08, 52.63, 57.88, 59.97),
    "adap_retinanet_s_alpha_resnet50_imagenet": (None, None, None, None, None),
}
"""Rows of its Table 2 and of the publications of TinyBenchmark and TOV_mmdetection."""

PRE_TRAININGS = {
    *(
        f"coco_sm_{net}_{data}"
        for net in ("resnet50", "bh_resnet50")
        for data in ("cifar100", "imagenet32", "imagenet")
    ),
    "coco_msm_resnet50_imagenet",
    "coco_sm_plus_resnet50_imagenet",
}
"""What others start from."""

NAMES = [n.removeprefix("tinyperson/") for n in recipes.names() if n.startswith("tinyperson/")]
SCORED = sorted({*PUBLISHED, *ELSEWHERE})


@cache
def load(name, *overrides):
    return load_recipe(f"tinyperson/{name}", overrides)


def parts(name):
    """The network and the data of its pre-training, as in `resnet50`, `imagenet32`."""
    found = re.fullmatch(r".*?_((?:bh_)?(?:resnet|hrnet)\d+)_(\w+)", name)
    assert found
    return found[1], found[2]


def test_every_row_of_the_tables_is_there():
    assert set(NAMES) == {*PUBLISHED, *ELSEWHERE, *PRE_TRAININGS}


@pytest.mark.parametrize("name", SCORED)
def test_what_is_expected_is_what_was_published(name):
    published = {**PUBLISHED, **ELSEWHERE}[name]
    stated = {k: v / 100 for k, v in zip(KEYS, published, strict=True) if v is not None}
    shown = load(name)
    found = {k: v for k, v in shown.expected.items() if k in KEYS}
    assert found == pytest.approx(stated, abs=1e-9)
    if name in PUBLISHED:
        table = 6 if name.endswith("_cifar100") else 7
        assert shown.source.startswith(f"arXiv:2303.11267, Table {table}, ")


@pytest.mark.parametrize("name", SCORED)
def test_what_is_expected_is_among_what_its_protocol_gives(name):
    shown = load(name)
    box = np.array([[8.0, 8.0, 20.0, 20.0]])
    size, label = np.full((1, 2), 64, dtype=np.int32), np.zeros(1, dtype=np.int64)
    truth = assemble(Path(), ["person"], ["a.jpg"], size, [1], box, label)
    result = evaluate(truth, DetectionTable.concatenate([]), shown.evaluate.protocol)
    assert shown.expected.keys() <= dict(result).keys()
    assert shown.train.monitor in dict(result)


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_predicts_on_five_levels_from_stride_4(name):
    model = without_files(load(name).model)
    with torch.device("meta"):
        detector = build(model, 1)
    assert detector.neck.strides == (4, 8, 16, 32, 64)
    norms = [m for m in detector.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    net, _ = parts(name)
    learning = {p.requires_grad for m in norms for p in m.parameters()}
    assert learning == {"hrnet" in net}
    assert (model["neck"]["name"] == "hrfpn") == ("hrnet" in net)
    frozen = [n for n, p in detector.backbone.named_parameters() if not p.requires_grad]
    assert ("layer1.0.conv1.weight" in frozen) == (net == "resnet50")


@pytest.mark.parametrize("name", sorted({*PUBLISHED, *PRE_TRAININGS}))
def test_a_detector_normalizes_as_its_pretraining_and_has_its_backbone(name):
    net, data = parts(name)
    trained, detector = load_pretraining(f"pretrain/{data}_{net}").model, load(name).model
    assert (detector["mean"], detector["std"]) == (trained["mean"], trained["std"])
    free = ("norm_eval", "norm_affine", "frozen_stages", "weights")
    for option in trained["backbone"].keys() - set(free):
        assert detector["backbone"][option] == trained["backbone"][option], option


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_starts_from(name):
    shown = load(name)
    net, data = parts(name)
    weights = shown.model["backbone"]["weights"]
    assert shown.model["backbone"]["norm_eval"]
    if matched := re.match(r"faster_rcnn_(sm|msm|sm_plus)_(?=bh|resnet)", name):
        pre_training = f"coco_{matched[1]}_{net}_{data}"
        assert (weights, shown.train.start) == (None, f"weights/{pre_training}.ckpt")
        # The same network on the same pixels; what only testing knows may differ.
        first = load(pre_training, "model.backbone.weights=null")
        assert load(name, "model.rpn.test_nms_across=null").model == first.model
    else:
        own = "caffe" in name or shown.model["backbone"].get("stride_first")
        assert own or weights == f"weights/{net}_{data}.pth"
        assert shown.train.start is None


@pytest.mark.parametrize("name", sorted({*PUBLISHED, *ELSEWHERE}))
def test_images_are_seen_in_the_published_tiles(name):
    shown = load(name)
    overlaps = {"tb": (50, 50), "s_alpha": (50, 50)}
    overlaps |= dict.fromkeys(("tov", "msm", "caffe"), (50, 100))
    kind = next((k for k in overlaps if f"rcnn_{k}" in name or f"fcos_{k}" in name), None)
    train, test = (50, 100) if "retinanet" in name else overlaps.get(kind, (30, 30))
    windows = shown.data.windows
    assert (windows["size"], windows["cut"]) == ([512, 640], "flush")
    assert (windows["tiling"], windows["overlap"]) == ("flush", train)
    assert (shown.predict.tile_size, shown.predict.overlap) == ((512, 640), test)
    assert (shown.predict.tiling == "runtime") == (test == 100)
    assert shown.evaluate.protocol["name"] == "tinyperson"
    # What training must not see is background or painted over; nothing is merely spared.
    assert shown.data.train["ignored"] == shown.data.train["uncertain"] != "ignore"


def test_fusion_factors_are_those_of_the_publication():
    faster, retina = (
        load(f"{name}_s_alpha_resnet50_imagenet") for name in ("faster_rcnn", "adap_retinanet")
    )
    assert list(faster.model["neck"]["fusion"]) == [0.48, 0.66, 1.06]
    assert list(retina.model["neck"]["fusion"]) == [0.368, 0.387, 0.367]
    assert load("faster_rcnn_resnet50_imagenet").model["neck"]["fusion"] is None


def test_s_alpha_differs_from_its_baseline_in_nothing_else():
    baseline = load("faster_rcnn_tb_resnet50_imagenet")
    changed = load("faster_rcnn_s_alpha_resnet50_imagenet", "model.neck.fusion=null")
    for group in ("model", "data", "train", "predict", "evaluate"):
        assert getattr(changed, group) == getattr(baseline, group)


def test_the_detector_of_pre_training_is_that_of_the_baseline():
    baseline = load("faster_rcnn_resnet50_imagenet")
    assert load("coco_sm_resnet50_imagenet").model == baseline.model


def test_monotone_scale_match_differs_from_its_baseline_in_the_weights_alone():
    baseline = load("faster_rcnn_tov_resnet50_imagenet", "model.backbone.weights=null")
    changed = load("faster_rcnn_msm_resnet50_imagenet", "train.start=null")
    for group in ("model", "data", "train", "predict", "evaluate"):
        assert getattr(changed, group) == getattr(baseline, group)


@pytest.mark.parametrize("name", [name for name in sorted(PUBLISHED) if "_rfla_" in name])
def test_receptive_fields_change_the_first_stage_alone(name):
    ours, other = load(name), load(name.replace("_rfla", ""))
    for group in ("data", "train", "predict", "evaluate"):
        assert getattr(ours, group) == getattr(other, group)
    assert {k for k in ours.model if ours.model[k] != other.model[k]} == {"rpn"}
    first = load_recipe("ai_tod/faster_rcnn_rfla_resnet50").model["rpn"]
    assert ours.model["rpn"] == first


@pytest.mark.parametrize("name", sorted(PRE_TRAININGS))
def test_pre_training_is_validated_on_small_objects(name):
    shown = load(name)
    assert shown.predict.scale == 0.42  # 640 x 480 in the published 333 x 200
    assert shown.evaluate.protocol["name"] == "coco"


def test_a_run_without_the_weights_stops():
    with pytest.raises(CheckpointError, match=r"no file at weights/resnet50_imagenet\.pth"):
        build(load("faster_rcnn_resnet50_imagenet").model, 1)
