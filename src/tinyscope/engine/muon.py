"""Muon: matrices take steps of the same length in all of their directions.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
https://kellerjordan.github.io/posts/muon; lengths of the steps as in Liu et al. 2025, "Muon is
Scalable for LLM Training", arXiv:2502.16982.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

QUINTIC = (3.4445, -4.775, 2.0315)
"""Of the Newton-Schulz iteration: steepest at zero, and ends near one rather than at it."""

ITERATIONS = 5
LENGTH = 0.2
"""Root mean square of a step for a learning rate of 1, as AdamW's usually is."""


class Muon(AdamW):
    """Muon for groups of parameters marked `matrices`, AdamW for the others.

    A convolution's kernel is the matrix (output, input and place). Rates and decay suit both
    kinds alike, since their steps are of like length.

    Args:
        groups: Parameter groups, each with `matrices`: whether its parameters, all of two or more
            dimensions then, are stepped as matrices.
        learning_rate: Of groups that name none.
        momentum: Of matrices (Nesterov's), and the first beta of the others.
        fused: As of AdamW, for the others.
        dtype: In which matrices are multiplied; the method needs no more than bfloat16.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        learning_rate: float,
        momentum: float,
        *,
        fused: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        groups = [group | {"dtype": dtype} for group in groups]
        super().__init__(groups, lr=learning_rate, betas=(momentum, 0.999), fused=fused)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; takes away the gradients of matrices, of which AdamW must not see any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["matrices"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._turn(parameter, group)
        super().step()
        return loss

    def _turn(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
            state["step"] = torch.zeros(())  # AdamW expects it of every state that it loads
        share, rate = group["betas"][0], group["lr"]
        state["momentum"].lerp_(gradient, 1 - share)
        matrix = gradient.lerp(state["momentum"], share).flatten(1)
        step = orthogonal(matrix.to(group["dtype"])).view_as(parameter)
        length = LENGTH * math.sqrt(max(matrix.shape))
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.add_(step.to(parameter.dtype), alpha=-rate * length)
        parameter.grad = None


def orthogonal(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """A matrix of the same singular vectors, whose singular values all lie near 1."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / wide.norm().clamp(min=1e-7)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    found: Tensor = x if wide is matrix else x.T
    return found
