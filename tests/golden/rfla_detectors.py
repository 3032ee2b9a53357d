"""The network of DetectoRS against the reference implementation: its convolutions and its neck."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from golden_files import assert_near
from torch import Tensor, nn

from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS
from tinyscope.detectors.published.mmdet import _keys as part_keys
from tinyscope.detectors.published.table import Entry, fit, tensors_of
from tinyscope.nn.backbones.convolutions import Convolution
from tinyscope.nn.backbones.staged import StagedNetwork
from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks.atrous import AtrousPyramid
from tinyscope.nn.necks.fpn import FPN
from tinyscope.nn.necks.recursive import DILATIONS, RecursivePyramid
from tinyscope.nn.standardized import StandardizedConvolution
from tinyscope.nn.switchable import SwitchableConvolution

BACKBONE = {
    "name": "resnet",
    "depth": 50,
    "convolution": "switchable_deformable",
    "norm_eval": True,
    "frozen_stages": 1,
}
MATCHING = {
    "assigner": {"name": "max_iou"},
    "sampler": {"name": "random"},
    "coder": {"name": "delta"},
}
BOXES = {"name": "boxes", "head": {"name": "two_fc", "per_class": False}, **MATCHING}
MODEL = {
    "name": "two_stage",
    "backbone": {**BACKBONE, "strides": [1, 4, 8, 16, 32]},
    "neck": {"name": "rfp", "backbone": BACKBONE, "neck": {"name": "fpn", "coarsest": 64}},
    "rpn": {
        "name": "proposals",
        "head": {"name": "rpn"},
        "priors": {"name": "anchors"},
        **MATCHING,
    },
    "roi": {"name": "cascade", "stages": [BOXES] * 3},
}
"""DetectoRS as far as its tensors go."""
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def cases(stored: Mapping[str, Tensor]) -> list[str]:
    """The cases of a file, by what stands before the first dot of its names."""
    return sorted({name.partition(".")[0] for name in stored})


def case_of(stored: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of a case, without its name."""
    return {k.removeprefix(f"{name}."): v for k, v in stored.items() if k.startswith(f"{name}.")}


def assert_module_equals(case: Mapping[str, Tensor]) -> None:
    """A convolution or the views of a level: what comes out and what goes back."""
    weights = {k.removeprefix("w."): v for k, v in case.items() if k.startswith("w.")}
    images = case["in"].clone().requires_grad_()
    if not weights:  # of a plain checkpoint: its constants follow from the weights
        module = _standardized(case["weight"], images, case["out"])
        module.load_state_dict({"weight": case["weight"]}, strict=False)
        torch.testing.assert_close(module.weight_gamma, case["gamma"], **TOLERANCE)
        torch.testing.assert_close(module.weight_beta, case["beta"], **TOLERANCE)
    elif "weight_diff" in weights:
        filters, channels = weights["weight"].shape[:2]
        module = SwitchableConvolution(
            channels,
            filters,
            _stride(images, case["out"]),
            deformable="offset_s.weight" in weights,
        )
        module.load_state_dict(weights)
    elif "weight_gamma" in weights:
        module = _standardized(weights["weight"], images, case["out"])
        module.load_state_dict(weights)
    else:
        places = ["cell", *(f"wide.{i}" for i in range(len(DILATIONS))), "whole"]
        ours = {
            re.sub(r"aspp\.(\d+)", lambda found: places[int(found[1])], name): value
            for name, value in weights.items()
        }
        view, channels = weights["aspp.0.weight"].shape[:2]
        module = AtrousPyramid(channels, view, DILATIONS)
        module.load_state_dict(ours)
    found = module(images)
    torch.testing.assert_close(found, case["out"], **TOLERANCE)
    gradients = {k: v for k, v in case.items() if k.startswith("grad_")}
    if gradients:
        assert_gradients_equal(module, images, found, gradients)


def assert_gradients_equal(
    module: nn.Module, images: Tensor, found: Tensor, gradients: Mapping[str, Tensor]
) -> None:
    """Of the mean of squares."""
    found.square().mean().backward()
    parameters = dict(module.named_parameters())
    of = {"in": images} | {name.replace(".", "_"): p for name, p in parameters.items()}
    for name, expected in gradients.items():
        gradient = of[name.removeprefix("grad_")].grad
        assert gradient is not None, name
        assert_near(gradient, expected, 1e-5)


def assert_recursion_equals(stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
    """Both backbones, the pyramid of the first look, and what comes out at last."""
    levels = [stored[f"out.c{i}"] for i in range(2, 6)]
    expected = [v for k, v in sorted(stored.items()) if re.fullmatch(r"out\.p\d", k)]
    strides = [4 * 2**i for i in range(len(expected))]
    backbone = _network(said, (1, *strides[: len(levels)]))
    neck = RecursivePyramid(
        backbone.channels,
        backbone.strides,
        _network(said, tuple(strides[: len(levels)])),
        FPN(
            backbone.channels[1:],
            strides[: len(levels)],
            channels=expected[0].shape[1],
            coarsest=strides[-1],
        ),
    )
    whole = nn.ModuleDict({"backbone": backbone, "neck": neck})
    keys = {f"backbone.{name}": Entry((f"backbone.{name}",)) for name in backbone.state_dict()}
    keys |= part_keys(whole, "neck", "neck")
    weights = {k: v for k, v in stored.items() if k.startswith(("backbone.", "neck."))}
    held = fit(weights, keys, lambda name: name)
    assert held.missing == held.left_over == ()
    missing, unexpected = whole.load_state_dict(held.values, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    whole.eval()
    (images,) = (v for k, v in stored.items() if k.startswith("in"))
    with torch.no_grad():
        found = backbone(images)
        assert [list(x.shape) for x in found] == said["rfp"]["backbone_outputs"]
        assert torch.equal(found[0], images)
        for level, wanted in zip(found[1:], levels, strict=True):
            assert_near(level, wanted, 1e-4)
        for i, level in enumerate(neck.neck(found[1:]).levels):
            assert_near(level, stored[f"out.first_pass_p{i + 2}"], 1e-4)
        pyramid = neck(found)
    assert [list(x.shape) for x in pyramid.levels] == said["rfp"]["neck_outputs"]
    for level, wanted in zip(pyramid.levels, expected, strict=True):
        assert_near(level, wanted, 1e-4)


def assert_fresh(said: Mapping[str, Any]) -> None:
    """Shapes and first values of a convolution that nothing was loaded into."""
    filters, channels = said["weight"]["shape"][:2]
    module = SwitchableConvolution(channels, filters, deformable="offset_s.weight" in said)
    state = module.state_dict()
    assert state.keys() == said.keys()
    for name, tensor in state.items():
        assert list(tensor.shape) == said[name]["shape"], name
        if said[name]["value"] == "random":
            assert tensor.std() > 0, name
        else:
            assert (tensor == said[name]["value"]).all(), name


def assert_maps_detectors(said: Mapping[str, Any]) -> None:
    """Every tensor of the published network has its place and shape in ours, and comes back."""
    published = said["state_dict"]
    with torch.device("meta"):
        model = build(MODEL, published["roi_head.bbox_head.0.fc_cls.bias"][0] - 1)
        tensors = {name: torch.empty(shape) for name, shape in published.items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in model.parameters()) == said["parameters"]
    assert sum(p.numel() for p in trained) == said["trainable_parameters"]
    keys = LAYOUTS["mmdet"].keys(model)
    found = fit(tensors, keys, LAYOUTS["mmdet"].renamed)
    assert found.missing == found.left_over == ()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in found.values.items()} == shapes
    back = tensors_of(found.values, keys)
    assert back.keys() == tensors.keys()
    assert all(back[name] is tensor for name, tensor in tensors.items())


def _network(said: Mapping[str, Any], strides: tuple[int, ...]) -> StagedNetwork:
    kind: Convolution = "switchable_deformable"
    rfp = said["rfp"]
    return StagedNetwork(
        Kernel(7, 2),
        "bottleneck",
        rfp["blocks"],
        width=rfp["base_channels"],
        stem_width=rfp["stem_channels"],
        strides=strides,
        norm="batch",
        groups=1,
        antialias=None,
        norm_eval=True,
        norm_affine=True,
        frozen_stages=-1,
        zero_init_residual=False,
        weights=None,
        convolution=kind,
    )


def _standardized(weight: Tensor, images: Tensor, out: Tensor) -> StandardizedConvolution:
    filters, channels, size = weight.shape[:3]
    return StandardizedConvolution(channels, filters, size, _stride(images, out), size // 2)


def _stride(images: Tensor, out: Tensor) -> int:
    return round(images.shape[-1] / out.shape[-1])
