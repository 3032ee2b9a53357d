"""The plain pyramids among the topics' files, whose tensors have the names of mmdetection."""

from collections.abc import Mapping
from typing import Any

from golden_files import assert_near
from torch import Tensor

from tinyscope.nn.necks.fpn import FPN


def assert_pyramid_equals(stored: Mapping[str, Tensor], fraction: float, **options: Any) -> None:
    """Builds the FPN that the shapes of `in0..`, `out0..` and `w.*` tell, and compares."""
    inputs = [stored[f"in{i}"] for i in range(sum(key.startswith("in") for key in stored))]
    expected = [stored[f"out{i}"] for i in range(sum(key.startswith("out") for key in stored))]
    strides = [4 * 2**i for i in range(len(expected))]
    neck = FPN(
        [x.shape[1] for x in inputs],
        strides[: len(inputs)],
        channels=expected[0].shape[1],
        coarsest=strides[-1],
        **options,
    )
    state = {}
    for key, value in stored.items():
        if key.startswith("w."):
            _, kind, number, _, name = key.split(".")
            place, index = "lateral", int(number)
            if kind == "fpn_convs":
                added = index >= len(inputs)
                place, index = ("added", index - len(inputs)) if added else ("smooth", index)
            state[f"{place}.{index}.0.{name}"] = value
    neck.load_state_dict(state)
    pyramid = neck.eval()(inputs)
    assert pyramid.strides == tuple(strides)
    for found, level in zip(pyramid.levels, expected, strict=True):
        assert_near(found, level, fraction)
