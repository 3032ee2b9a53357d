"""How the topic's files fill networks with numbers, and how their cases are named."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


def filled(shapes: Mapping[str, Sequence[int]], gain: float = 1.0) -> dict[str, Tensor]:
    """Weights by published names and the shapes of them, as the README's rule draws them."""
    return {name: _drawn(name, tuple(shape), gain) for name, shape in shapes.items()}


def named_cases(stored: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file by case and name: what stands before and after the first dot."""
    cases: dict[str, dict[str, Tensor]] = {}
    for key, value in stored.items():
        case, _, name = key.partition(".")
        cases.setdefault(case, {})[name] = value
    return cases


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Equal shapes, and no error above the tolerance, absolute and relative."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def _drawn(name: str, shape: tuple[int, ...], gain: float) -> Tensor:
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    # The generator is part of the rule; no newer one draws the same numbers.
    state = np.random.RandomState(zlib.crc32(name.encode()))
    drawn = state.standard_normal(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    if kind == "running_var":
        drawn = 1 + 0.2 * np.abs(drawn)
    elif kind == "weight" and len(shape) == 1:
        drawn = 1 + 0.1 * drawn
    elif len(shape) == 1:  # biases and running means
        drawn = 0.1 * drawn
    else:
        drawn = drawn * np.sqrt(gain / np.prod(shape[1:]))
    return torch.from_numpy(drawn).float()
