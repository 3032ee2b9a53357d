"""A running average of the weights, which often scores better than the weights themselves."""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of everything in a model's state that is a float.

    `model` is a copy of the trained one, in eval mode, that holds the average. The decay grows
    from 0.1 to `decay` as (1 + updates) / (10 + updates), so that the random start is soon
    forgotten. Integers (counters) are copied. The trained model must keep its tensors: move it to
    its device before.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._floats, self._others = _pairs(self.model, model)

    def update(self, updates: int) -> None:
        """Takes in the trained model as it is now, after `updates` earlier updates."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        mine, trained = self._floats
        torch._foreach_lerp_(mine, trained, 1 - decay)
        for own, other in zip(*self._others, strict=True):
            own.copy_(other)


Pair = tuple[list[Tensor], list[Tensor]]


def _pairs(average: nn.Module, model: nn.Module) -> tuple[Pair, Pair]:
    """(average, trained) tensors that are floats, and those that are not; detached."""
    tensors = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [pair for pair in tensors if pair[0].is_floating_point()]
    others = [pair for pair in tensors if not pair[0].is_floating_point()]
    return _transposed(floats), _transposed(others)


def _transposed(pairs: list[tuple[Tensor, Tensor]]) -> Pair:
    return [a for a, _ in pairs], [b for _, b in pairs]
