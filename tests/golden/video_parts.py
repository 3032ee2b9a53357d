"""Warping by flow, optical flow and aggregation against what the topic's files hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from video_fill import assert_close, filled, named_cases

from tinyscope.nn.temporal.embedding import EmbeddingAggregator
from tinyscope.nn.temporal.flownet import FlowNetSimple, published_names
from tinyscope.ops.warp import warp

DETECTOR_MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
DETECTOR_STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
"""By which the pairs of the files are normalized already."""


def assert_warps(stored: Mapping[str, Tensor]) -> None:
    """Every case: `x` moved by `flow` gives `out`."""
    for case in named_cases(stored).values():
        assert_close(warp(case["x"], case["flow"]), case["out"])


def assert_flow_names(manifest: Mapping[str, Sequence[int]]) -> None:
    """Names and shapes of published weights are those of our net."""
    with torch.device("meta"):
        net = FlowNetSimple(width=manifest["conv1.0.conv.weight"][0])
    theirs = published_names(net)
    found = {theirs[name]: list(value.shape) for name, value in net.state_dict().items()}
    assert found == manifest


def assert_flows(stored: Mapping[str, Tensor], manifest: Mapping[str, Sequence[int]]) -> None:
    """Every case: prepared pairs, raw flows of all levels, and flow."""
    values = filled(manifest, gain=2.0)
    for case in named_cases(stored).values():
        assert_flow(flow_net(values, scale=float(case["img_scale_factor"])), case)


def flow_net(values: Mapping[str, Tensor], **options: Any) -> FlowNetSimple:
    """With published weights, from which its width follows."""
    net = FlowNetSimple(width=len(values["conv1.0.conv.bias"]), **options)
    net.load_state_dict({ours: values[theirs] for ours, theirs in published_names(net).items()})
    return net


@torch.no_grad()
def assert_flow(net: FlowNetSimple, case: Mapping[str, Tensor]) -> None:
    pairs = case["imgs"].unflatten(1, (2, 3)) * DETECTOR_STD + DETECTOR_MEAN
    height, width = case["img_hw"].tolist()
    key, other = (
        net.prepare(images, [(height, width)] * len(images)) for images in pairs.unbind(1)
    )
    assert_close(torch.cat([key, other], dim=1), case["prepared"], 1e-4)
    raw = net.predict(net.as_key(key) + net.as_other(other))
    names = [f"predict_flow{n}" for n in (6, 5, 4, 3)] + ["predict_flow"]
    for found, name in zip(raw, names, strict=True):
        assert_close(found, case[name], 1e-4)
    assert_close(net(key, other), case["flow"], 1e-4)


def assert_aggregates(stored: Mapping[str, Tensor]) -> None:
    """Every case: weights of the frames, and the map that they give."""
    for case in named_cases(stored).values():
        assert_aggregate(aggregator(case, "embed_convs."), case)


def aggregator(tensors: Mapping[str, Tensor], prefix: str) -> EmbeddingAggregator:
    """With the published weights under a prefix, from which its options follow."""
    theirs = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    kernels = [v for v in theirs.values() if v.ndim == 4]
    made = EmbeddingAggregator(
        kernels[0].shape[1], convolutions=len(kernels), kernel=kernels[0].shape[-1]
    )
    made.load_state_dict({f"convolutions.{k.replace('.conv', '')}": v for k, v in theirs.items()})
    return made


@torch.no_grad()
def assert_aggregate(made: EmbeddingAggregator, case: Mapping[str, Tensor]) -> None:
    key, others = case["x"], case["ref"][None]
    weights = made.weights(made.embed(key), made.embed(others[0])[None])
    assert_close(weights[0, :, None], case["weights"])
    assert_close(made(key, others), case["out"])
