"""Exact changes of weights where a published network computes the same with other constants."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tinyscope.errors import CheckpointError

STEM = "backbone.conv1.weight"
STEMS = (STEM, f"neck.{STEM}", f"detector.{STEM}", f"detector.neck.{STEM}")
"""Also of a neck that looks at the image again, and of both in a detector of videos."""


def with_red_first(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network that takes blue, green, red, for images of red, green, blue.

    Raises:
        CheckpointError: The network has no such stem.
    """
    stems = [name for name in STEMS if name in values]
    if not stems or any(values[name].ndim != 4 or values[name].shape[1] != 3 for name in stems):
        raise CheckpointError(f"there is no convolution {STEM} of three colors to be turned round")
    return {**values, **{name: values[name].flip(1) for name in stems}}


def with_norm_eps(values: Mapping[str, Tensor], model: nn.Module, eps: float) -> dict[str, Tensor]:
    """The weights of a network whose batch norms divide by sqrt(variance + eps), for ours.

    A norm's weight takes up the difference; where the variance is 0 and so is `eps`, nothing
    could be divided and the weight is left alone.
    """
    changed = dict(values)
    for name, module in model.named_modules():
        if not isinstance(module, nn.BatchNorm2d) or f"{name}.weight" not in values:
            continue
        variance = values[f"{name}.running_var"].double()
        factor = ((variance + module.eps) / (variance + eps)).sqrt()
        weight = values[f"{name}.weight"]
        changed[f"{name}.weight"] = (weight * torch.where(factor.isfinite(), factor, 1.0)).to(
            weight.dtype
        )
    return changed
