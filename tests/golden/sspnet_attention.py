"""The neck and the supervision of its attention against the reference implementation."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from tinyscope.nn.necks.sspnet import SSPNet

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
