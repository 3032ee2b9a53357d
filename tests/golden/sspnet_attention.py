"""The neck and the supervision of its attention against the reference implementation."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from tinyscope.nn.necks.attention_loss import attention_loss, dice_loss, mined_weights
from tinyscope.nn.necks.attention_targets import Painting, attention_targets, is_of_level
from tinyscope.nn.necks.sspnet import AttentionPyramid, SSPNet
from tinyscope.types import Target

NAMES = {
    "CAM.dila_conv.0": "context.join",
    "CAM.dila_conv.1.aspp.0": "context.views.cell",
    "CAM.dila_conv.1.aspp.1": "context.views.wide.0",
    "CAM.dila_conv.1.aspp.2": "context.views.wide.1",
    "CAM.dila_conv.1.aspp.3": "context.views.whole",
    "CAM.dila_conv.2": "context.blend",
    "CAM.dila_conv.3": "context.norm",
    **{f"CAM.down_conv.{i}": f"context.down.{i}" for i in range(4)},
    **{f"CAM.att_conv.{i}": f"context.attend.{i}" for i in range(4)},
    **{f"lateral_convs.{i}.conv": f"lateral.{i}" for i in range(4)},
    **{f"fpn_convs.{i}.conv": f"smooth.{i}" for i in range(4)},
}
"""Modules of the reference and ours."""
PAINTINGS: dict[str, Painting] = {
    "hard": "hard",
    "soft_bh": "soft",
    "soft_ssp": "soft_asymmetric",
}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def settings(path: Path) -> dict[str, str]:
    """The metadata of a file."""
    with safe_open(path, "pt") as opened:
        return opened.metadata() or {}


def assert_neck_equals(stored: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """Outputs, attention, what lies between, running statistics and gradients of a neck."""
    channels = json.loads(said["in_channels"])
    neck = SSPNet(
        channels,
        [4 * 2**i for i in range(len(channels))],
        channels=int(said["out_channels"]),
        coarsest=2 * 2 ** int(said["num_outs"]),
    )
    assert said["add_extra_convs"] == "False"
    weights = {ours(k[2:]): v for k, v in stored.items() if k.startswith("w.")}
    missing, unexpected = neck.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    neck.train(said["train"] == "True")
    between: dict[str, list[Tensor]] = {"cam_aspp": [], "topdown": []}
    neck.context.views.register_forward_hook(lambda *io: between["cam_aspp"].append(io[2]))
    for smooth in neck.smooth:
        smooth.register_forward_hook(lambda *io: between["topdown"].append(io[1][0]))
    fused: list[Tensor] = []
    neck.context.down[0].register_forward_hook(lambda *io: fused.append(io[1][0]))
    inputs = [stored[f"in{i}"].requires_grad_() for i in range(len(channels))]
    pyramid = neck(inputs)
    found = {f"out{i}": x for i, x in enumerate(pyramid.levels)}
    found |= {f"att{i}": x for i, x in enumerate(pyramid.attention)}
    found |= {f"mid.att_logit{i}": x for i, x in enumerate(pyramid.logits)}
    found |= {f"mid.topdown{i}": x for i, x in enumerate(between["topdown"])}
    found |= {"mid.cam_aspp": between["cam_aspp"][0], "mid.cam_fused": fused[0]}
    buffers = dict(neck.named_buffers())
    found |= {k: buffers[ours(k[6:])] for k in stored if k.startswith("after.")}
    torch.stack(
        [(found[k[4:]] * v).sum() for k, v in stored.items() if k.startswith("cot_")]
    ).sum().backward()
    found |= {f"grad_in{i}": x.grad for i, x in enumerate(inputs)}
    for name, parameter in neck.named_parameters():
        theirs = published(name)
        assert parameter.grad is not None, name
        found[f"grad_norm.{theirs}"] = parameter.grad.norm()
    expected = {k: v for k, v in stored.items() if not k.startswith(("w.", "in", "cot_"))}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, **TOLERANCE, msg=lambda m, k=key: f"{k}: {m}")


def ours(name: str) -> str:
    """Our name of a parameter of theirs."""
    module, _, kind = name.rpartition(".")
    return f"{NAMES[module]}.{kind}"


def published(name: str) -> str:
    """Their name of a parameter of ours."""
    module, _, kind = name.rpartition(".")
    return f"{next(theirs for theirs, mine in NAMES.items() if mine == module)}.{kind}"


def assert_targets_equal(stored: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """The maps of every set of boxes and every way to paint them."""
    canvas = image_size(said)
    compared = 0
    for key in stored:
        if (found := re.fullmatch(r"(.*)\.(\w+)\.lvl0", key)) is None:
            continue
        name, painting = found.groups()
        expected = levels(stored, f"{name}.{painting}.lvl")
        sizes = [(x.shape[-2], x.shape[-1]) for x in expected]
        maps = attention_targets([stored[f"{name}.boxes"]], canvas, sizes, PAINTINGS[painting])
        for found_map, level in zip(maps, expected, strict=True):
            tolerance = 0 if painting == "hard" else 1e-6
            torch.testing.assert_close(found_map[:, None], level, rtol=0, atol=tolerance)
        compared += 1
    assert compared


def assert_rule_equals(rule: Mapping[str, Any]) -> None:
    """Whether an object of a size (root of its area) is of each level."""
    sizes = torch.tensor([float(size) for size in rule["table"]], dtype=torch.float64)
    expected = torch.tensor([*rule["table"].values()]) > 0
    for level, wanted in enumerate(expected.unbind(dim=1)):
        found = is_of_level(sizes.square(), level, expected.shape[1])
        torch.testing.assert_close(found, wanted, msg=f"level {level}")


def assert_supervision_equals(stored: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """Maps, weights, both losses and the gradients of every way to paint that is stored."""
    targets = targets_of(stored)
    paintings = [name for name in PAINTINGS if f"{name}.total" in stored]
    assert paintings, "no losses to compare with"
    for painting in paintings:
        case = {k.removeprefix(f"{painting}."): v for k, v in stored.items()}
        attention = [x.clone().requires_grad_() for x in levels(stored, "pred")]
        neck = supervised(painting)
        assert_parts_equal(neck, attention, targets, case)
        losses = neck.loss(pyramid_of(attention), targets)
        per_image = case["loss_seg"].mean(dim=1)
        near(losses["attention"], case["loss_reg"].sum(), 1e-6)
        near(losses["attention_dice"], per_image.sum(), 1e-6)
        total = losses["attention"] + losses["attention_dice"]
        near(total, case["total"], 1e-6)
        total.backward()
        for x, gradient in zip(attention, levels(case, "grad"), strict=True):
            assert x.grad is not None
            near(x.grad, gradient, 1e-7)
    size = image_size(said)
    assert size == tuple(4 * side for side in stored["pred0"].shape[-2:])


def assert_parts_equal(
    neck: SSPNet,
    attention: Sequence[Tensor],
    targets: Sequence[Target],
    case: Mapping[str, Tensor],
) -> None:
    """Maps, weights and both losses level by level."""
    maps, left_out = neck.maps(targets, [(x.shape[-2], x.shape[-1]) for x in attention])
    for i, (x, wanted, spared) in enumerate(zip(attention, maps, left_out, strict=True)):
        logits = x.detach()[:, 0].logit()
        weights = mined_weights(logits.sigmoid(), wanted, spared)
        near(wanted[:, None], case[f"target{i}"], 0 if neck.target == "hard" else 1e-6)
        near(weights, case[f"weight{i}"], 0)
        near((wanted > 0).float(), case[f"posmask{i}"].float(), 0)
        count = (weights > 0).sum().clamp(min=1)
        entropy = neck.weight * attention_loss(logits, wanted, weights) / count
        near(entropy, case["loss_reg"][i], 1e-6)
        near(dice_loss(logits.sigmoid(), wanted), case["loss_seg"][i], 1e-6)


def assert_soft_supervision_equals(stored: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
    """The same for the file of the bottom-heavy detectors, which has soft maps alone."""
    targets, neck = targets_of(stored), supervised("soft_bh")
    predicted = levels(stored, "pred")
    assert tuple(said["image_hw"]) == tuple(4 * side for side in predicted[0].shape[-2:])
    maps, left_out = neck.maps(targets, [(x.shape[-2], x.shape[-1]) for x in predicted])
    for i, (x, wanted, spared) in enumerate(zip(predicted, maps, left_out, strict=True)):
        logits = x[:, 0].logit()
        weights = mined_weights(logits.sigmoid(), wanted, spared)
        near(wanted[:, None], stored[f"target{i}"], 1e-6)
        near(weights, stored[f"regmask{i}"].float(), 0)
        near((wanted > 0).float(), stored[f"segmask{i}"].float(), 0)
        entropy = neck.weight * attention_loss(logits, wanted, weights) / (weights > 0).sum()
        assert entropy.item() == pytest.approx(said["loss_reg"][i], rel=1e-5)
        dice = dice_loss(logits.sigmoid(), wanted)
        assert dice.tolist() == pytest.approx(said["loss_seg_per_image"][i], rel=1e-5)
    losses = neck.loss(pyramid_of(predicted), targets)
    assert losses["attention"].item() == pytest.approx(sum(said["loss_reg"]), rel=1e-5)
    means = [sum(row) / len(row) for row in said["loss_seg_per_image"]]
    assert losses["attention_dice"].item() == pytest.approx(sum(means), rel=1e-5)


def supervised(painting: str) -> SSPNet:
    """A neck of no use but its loss, with the published weight for its maps."""
    return SSPNet(
        [4] * 4,
        [4, 8, 16, 32],
        channels=4,
        target=PAINTINGS[painting],
        ignored="background",
    )


def pyramid_of(attention: Sequence[Tensor]) -> AttentionPyramid:
    """A pyramid of nothing but attention."""
    return AttentionPyramid((), (), tuple(attention), tuple(x.logit() for x in attention))


def targets_of(stored: Mapping[str, Tensor]) -> list[Target]:
    """The boxes of every image."""
    targets = []
    for boxes in levels(stored, "boxes"):
        nothing = torch.zeros(len(boxes), dtype=torch.int64)
        targets.append(Target(boxes, nothing, nothing.bool()))
    return targets


def levels(stored: Mapping[str, Tensor], start: str) -> list[Tensor]:
    """The tensors whose names are `start` and a number, in order."""
    found = {int(k.removeprefix(start)): v for k, v in stored.items() if named(start, k)}
    return [found[i] for i in range(len(found))]


def named(start: str, key: str) -> bool:
    return re.fullmatch(rf"{re.escape(start)}\d+", key) is not None


def image_size(said: Mapping[str, str]) -> tuple[int, int]:
    height, width = (int(side) for side in re.findall(r"\d+", said["image_hw"]))
    return height, width


def near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
