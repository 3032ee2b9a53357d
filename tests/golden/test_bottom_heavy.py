"""Backbones and HRFPN against the reference implementation (README of the topic's folder)."""

import re
import runpy
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from bottom_heavy_detector import assert_detector_equals
from golden_files import Topic, assert_near, filled, hashed
from manifests import assert_maps
from sspnet_attention import assert_soft_supervision_equals
from sspnet_models import recipe
from torch import Tensor, nn

from tinyscope.analysis.construct import Construction, bottom_heavy_depths
from tinyscope.analysis.operations import count_operations
from tinyscope.analysis.stage_costs import StageCosts, stage_costs
from tinyscope.analysis.suggest import Suggestion, suggest
from tinyscope.analysis.walk import Walk
from tinyscope.nn.antialias import AdaptiveBlur, WaveletPool
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.backbones.bottom_heavy_hrnet import BottomHeavyHRNet
from tinyscope.nn.backbones.hrnet import HRNet
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.blocks import Bottleneck
from tinyscope.nn.necks.hrfpn import HRFPN

TOPIC = Topic("bottom_heavy")
SUMMARY = TOPIC.json("forward_summary.json")
FULL = [
    (file, name)
    for file in TOPIC.cases("backbones_*.safetensors")
    for name in sorted({key.partition(".")[0] for key in TOPIC.tensors(file)})
]
TRAINED = [(file, case) for file in TOPIC.cases("*resnet*_train.json") for case in TOPIC.json(file)]


def network(name: str, channels: int | None = None, **options: Any) -> nn.Module:
    """The net that a row's name begins with, by the channels of its finest level if not full."""
    kind = re.match(r"(bh_)?(resnet|hrnet|wavec)(\d+)", name)
    assert kind, f"a row of an unknown net: {name}"
    number = int(kind[3])
    if kind[2] == "wavec":
        options["antialias"] = "haar" if name.endswith("haar") else "bior3.3"
    if kind[2] == "hrnet":
        return (BottomHeavyHRNet if kind[1] else HRNet)(channels or number, **options)
    width = 64 if channels is None else channels // (4 if number >= 50 else 1)
    if kind[1]:
        assert number == 50
        return BottomHeavyResNet(width=width, **options)
    return ResNet(number, width=width, **options)  # type: ignore[arg-type]


def levels(name: str, shape: list[int]) -> list[Tensor]:
    """Outputs in eval mode with filled weights, for the hashed input of a summary's row."""
    net = network(name, SUMMARY[name]["outputs"][0]["shape"][1])
    net.load_state_dict(filled(net))
    with torch.no_grad():
        found: list[Tensor] = net.eval()(2 * hashed("input", shape).float())
        return found


def assert_summary(found: Tensor, expected: Mapping[str, Any]) -> None:
    assert list(found.shape) == expected["shape"]
    x = found.detach().double()
    checksum = (x.flatten() * hashed("checksum", (x.numel(),))).sum()
    summary = {
        "mean": x.mean(),
        "std": x.std(correction=0),
        "absmax": x.abs().max(),
        "l2": x.norm(),
    }
    for key, value in summary.items():
        assert value == pytest.approx(expected[key], rel=1e-5), key
    assert checksum == pytest.approx(expected["checksum"], abs=1e-5 * expected["l2"])
    assert abs(int((x == 0).sum()) - expected["zeros"]) <= 2


def test_the_hash_is_that_of_the_fixtures():
    expected = torch.tensor([-0.73479872, -0.78641077, 0.94059083, 0.24472425])
    torch.testing.assert_close(hashed("input", (4,)).float(), expected)


@pytest.mark.parametrize("file", TOPIC.cases("*resnet*_narrow*.safetensors"))
def test_levels_equal_the_reference(file):
    stored = TOPIC.tensors(file)
    name = file.removesuffix(".safetensors")
    shape = list(stored["input"].shape) if "input" in stored else SUMMARY[name]["input"]
    expected = {k.removeprefix("out."): v for k, v in stored.items() if re.search("out[0-9]$", k)}
    net = network(name, expected["out0"].shape[1])
    state = filled(net)
    for key, value in stored.items():
        if key.startswith("weight."):
            torch.testing.assert_close(state[key.removeprefix("weight.")], value)
    net.load_state_dict(state)
    images = 2 * hashed("input", shape).float()
    torch.testing.assert_close(images, stored.get("input", images))
    found = net.eval()(images)
    assert len(found) == len(expected)
    for i, level in enumerate(found):
        assert_near(level, expected[f"out{i}"], 1e-5)


@pytest.mark.parametrize(("file", "name"), FULL)
def test_full_width_equals_the_reference(file, name):
    stored = TOPIC.tensors(file)
    for i, level in enumerate(levels(name, SUMMARY[name]["input"])):
        expected = stored[f"{name}.out{i}"]
        largest = SUMMARY[name]["outputs"][i]["absmax"]
        torch.testing.assert_close(level[:1, :8, :4, :4], expected, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("name", [name for name in SUMMARY if "outputs" in SUMMARY[name]])
def test_levels_have_the_summary_of_the_reference(name):
    row = SUMMARY[name]
    for level, expected in zip(levels(name, row["input"]), row["outputs"], strict=True):
        assert_summary(level, expected)


@pytest.mark.parametrize("file", TOPIC.cases("detector_forward*.safetensors"))
def test_a_whole_detector_equals_the_reference(file):
    row = SUMMARY["faster_rcnn_bh50_sspnet"]
    assert_detector_equals(TOPIC.tensors(file), row, assert_summary)


@pytest.mark.parametrize(("file", "case"), TRAINED)
def test_a_training_step_equals_the_reference(file, case):
    expected = TOPIC.json(file)[case]
    tensors = TOPIC.tensors(file.replace(".json", ".safetensors"))
    frozen = re.search(r"frozen(\d+)", case)
    net = network(
        file,
        expected["out_stats"][0]["shape"][1],
        norm_eval="norm_train" not in case,
        frozen_stages=int(frozen[1]) if frozen else -1,
    )
    net.load_state_dict(filled(net))
    net.train()
    batch, _, height, width = expected["out_stats"][0]["shape"]
    found = net(2 * hashed("input", (batch, 3, 4 * height, 4 * width)).float())
    for level, summary in zip(found, expected["out_stats"], strict=True):
        assert_summary(level, summary)
    loss = torch.stack(
        [(x * hashed(f"g{i}", x.shape).float()).mean() for i, x in enumerate(found)]
    ).sum()
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], abs=1e-6)
    parameters = dict(net.named_parameters())
    assert [n for n, p in parameters.items() if p.grad is None] == expected["frozen_parameters"]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sorted({m.training for m in norms}) == sorted(expected["bn_training"])
    buffers = dict(net.named_buffers())
    for key, value in tensors.items():
        owner, kind, name = [*key.split(".", 2)]
        if owner == case and kind == "grad":
            gradient = parameters[name].grad
            assert gradient is not None
            assert_near(gradient, value, 1e-4)
        elif owner == case:
            assert_near(buffers[name], value, 1e-5)


@pytest.mark.parametrize("file", TOPIC.cases("hrfpn*.safetensors"))
def test_the_pyramid_of_hrnet_equals_the_reference(file):
    stored = TOPIC.tensors(file)
    inputs = [value for key, value in sorted(stored.items()) if re.fullmatch(r"in\d", key)]
    expected = [value for key, value in sorted(stored.items()) if re.fullmatch(r"out\d", key)]
    strides = [4 * 2**i for i in range(len(expected))]
    neck = HRFPN(
        [x.shape[1] for x in inputs],
        strides[: len(inputs)],
        channels=expected[0].shape[1],
        coarsest=strides[-1],
    )
    theirs = {"reduction_conv.conv": "reduce", "fpn_convs": "smooth", ".conv.": "."}
    state = {}
    for key, value in stored.items():
        if key.startswith("weight."):
            name = key.removeprefix("weight.")
            for old, new in theirs.items():
                name = name.replace(old, new)
            state[name] = value
    neck.load_state_dict(state)
    pyramid = neck.eval()(inputs)
    assert pyramid.strides == tuple(strides)
    for found, level in zip(pyramid.levels, expected, strict=True):
        assert_near(found, level, 1e-5)


@pytest.mark.parametrize("file", TOPIC.cases("antialias*.safetensors"))
def test_what_halves_maps_equals_the_reference(file):
    stored = TOPIC.tensors(file)
    for key, expected in stored.items():
        kind = re.fullmatch(r"dwt\.(.*)\.(\d+x\d+)\.out|pasa\.s(\d)\.out|(.*)\.out(\d)", key)
        assert kind or key.endswith(".in"), f"a tensor of an unknown kind: {key}"
        if kind and kind[1]:
            assert_near(WaveletPool(kind[1])(stored[f"dwt.{kind[1]}.{kind[2]}.in"]), expected, 1e-5)
        elif kind and kind[3]:
            blur = AdaptiveBlur(expected.shape[1], int(kind[3]), joint=True).eval()
            blur.load_state_dict(filled(blur))
            assert_near(blur(stored["pasa.in"]), expected, 1e-5)
        elif kind:
            found = levels(kind[4], SUMMARY[kind[4]]["input"])[int(kind[5])]
            assert_near(found, expected, 1e-5)


@pytest.mark.parametrize(
    "file", TOPIC.cases("manifest_*resnet*.json", "manifest_*hrnet*.json", "manifest_*wavec*.json")
)
def test_names_and_shapes_are_those_of_published_weights(file):
    expected = TOPIC.json(file)
    name = file.removeprefix("manifest_").removesuffix(".json")
    finest = "transition1.0.1.weight" if "hrnet" in name else "layer1.0.bn3.weight"
    net = network(name, expected[finest][0])
    assert {key: list(value.shape) for key, value in net.state_dict().items()} == expected


@pytest.mark.parametrize("file", TOPIC.cases("manifest_faster_rcnn_bh50*.json"))
def test_names_and_shapes_of_a_published_detector_have_their_place(file):
    assert_maps(TOPIC.json(file), *recipe("faster", "bh50"))


@pytest.mark.parametrize("name", TOPIC.json("init_stats.json"))
def test_a_fresh_net_has_the_spread_of_the_reference(name):
    expected = TOPIC.json("init_stats.json")[name]
    net, tensor = name.split(".", 1) if name.startswith("hrnet") else ("bh_resnet50", name)
    found = network(net).state_dict()[tensor]
    assert list(found.shape) == expected["shape"]
    if expected["std"] == 0:
        assert (found == expected["mean"]).all()
    else:
        assert found.std().item() == pytest.approx(expected["std"], rel=0.05)
        assert abs(found.mean().item()) < 5 * expected["std"] / found.numel() ** 0.5


@pytest.mark.parametrize("name", [n for n in TOPIC.json("complexity.json") if "/" not in n])
def test_parameters_are_as_many_as_published(name):
    expected = TOPIC.json("complexity.json")[name]
    plain = network(name)
    assert sum(p.numel() for p in plain.parameters()) == expected["params"]
    assert trainable(plain) == expected["params_trainable"]
    norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
    counted = sum(p.numel() for m in norms for p in m.parameters())
    assert counted == expected["params_batchnorm"]
    for key, stages in (
        ("params_trainable_bn_fixed", -1),
        ("params_trainable_frozen1_bn_fixed", 1),
    ):
        if key in expected:
            net = network(name, norm_affine=False, frozen_stages=stages)
            assert trainable(net) == expected[key], key


def trainable(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", TOPIC.json("complexity.json"))
def test_operations_are_as_many_as_published(name):
    expected = TOPIC.json("complexity.json")[name]
    with torch.device("meta"):
        model = detector(name) if "/" in name else network(name)
        walk = Walk(model, regions=1000)
    counted = count_operations(
        walk, lambda n: walk(torch.empty(n, *expected["input_chw"], device="meta"))
    )
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for path, kinds in counted.published.items():
        component = path.split(".")[0 if "/" in name else 1] if kinds else ""
        found[component].update(kinds)
    published: dict[str, Counter[str]] = defaultdict(Counter)
    for component, counts in expected["macs_by_component"].items():
        ours = COMPONENTS.get(component, component)
        if ours == "relu" and hasattr(model, "pool"):
            ours = "pool"
        published[ours].update({KINDS[kind]: count for kind, count in counts.items()})
    found.pop("", None)
    assert found == published
    assert sum(map(Counter.total, found.values())) == expected["macs"]
    if "/" in name:
        assert sum(p.numel() for p in walk.parameters()) == expected["params"]
        assert trainable(walk) == expected["params_trainable"]


KINDS = {
    "conv": "convolution",
    "linear": "linear",
    "norm": "norm",
    "act": "activation",
    "pool": "pooling",
    "upsample": "upsampling",
}
COMPONENTS = {"maxpool": "pool", "rpn_head": "rpn", "roi_head": "roi", "bbox_head": "head"}


def detector(name: str) -> nn.Module:
    """The detector of a row, as the documentation counts it."""
    page = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "complexity.py"))
    found: nn.Module = page["detector"](name.removesuffix("_caffe_stride"))
    if name.endswith("_caffe_stride"):
        for block in (m for m in found.modules() if isinstance(m, Bottleneck)):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return found


@pytest.mark.parametrize(
    "case", TOPIC.json("construction_rule.json").get("cases", []), ids=lambda c: c["name"]
)
def test_the_rule_takes_the_depths_of_the_derivation(case):
    rule = TOPIC.json("construction_rule.json")
    width, height = rule["input_wh"]
    suggestion, found, parameters = constructed(case, (height, width))
    assert suggestion.budget == case["macs"]
    assert suggestion.backbone["blocks"] == case["result"]
    assert suggestion.chosen.operations == case["result_macs"]
    assert round(100 * suggestion.chosen.deviation, 4) == case["deviation_percent"]
    assert found.chosen.tier == case["tier"]
    assert len(found.ranked) == case["candidates_in_tier"]
    assert len(found.depths) == case["candidates_in_budget"]
    falling = rule.get(f"{case['name']}_nonincreasing_candidates")
    if falling:
        every = [found.candidate(row) for row in range(len(found.depths))]
        tiers = [c for c in every if c.tier in (1, 2)]
        assert falling == [
            {
                "depths": [*c.depths],
                "macs": c.operations,
                "params": parameters.of(c.depths),
                "deviation_percent": round(100 * c.deviation, 4),
            }
            for c in tiers
        ]


def constructed(
    case: Mapping[str, Any], size: tuple[int, int]
) -> tuple[Suggestion, Construction, StageCosts]:
    """What is suggested for a case, and what the rule says of it in full."""
    suggestion = suggest({"name": "resnet", "depth": int(case["name"][6:])}, size)

    def build(blocks: tuple[int, ...]) -> nn.Module:
        return BottomHeavyResNet(blocks, block=case["block"])

    operations, parameters = stage_costs(build, len(case["depths"]), size)
    return (
        suggestion,
        bottom_heavy_depths(operations, case["depths"], suggestion.budget),
        parameters,
    )


@pytest.mark.parametrize("file", TOPIC.cases("ssp_attention*.safetensors"))
def test_supervision_by_soft_maps_equals_the_reference(file):
    assert_soft_supervision_equals(
        TOPIC.tensors(file), TOPIC.json(file.replace(".safetensors", ".json"))
    )


def test_every_file_is_read():
    assert not TOPIC.unread()
