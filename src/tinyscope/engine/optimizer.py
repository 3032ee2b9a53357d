"""Optimizers with parameter groups, and their state as named tensors."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, AdamW, Optimizer

from tinyscope.engine.muon import Muon
from tinyscope.errors import CheckpointError, TrainingError

MATRIX = 16
"""Rows from which on Muon takes a weight for a matrix; most layers that predict have fewer."""

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def build_optimizer(
    model: nn.Module,
    name: Literal["sgd", "adamw", "muon"],
    *,
    learning_rate: float,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    decay_norm_and_bias: bool = True,
    bias_learning_rate_factor: float = 1.0,
    fused: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Optimizer:
    """SGD, AdamW or Muon over the parameters of `model` that learn.

    Each group carries `base`, its learning rate before any schedule.

    Args:
        model: Parameters that need no gradient are left out.
        name: Which.
        learning_rate: Of a full step.
        momentum: Of SGD and Muon; the first beta of AdamW.
        weight_decay: Of all, or of weights alone.
        decay_norm_and_bias: False spares biases and the parameters of norms from weight decay.
        bias_learning_rate_factor: Factor of the learning rate for biases (Caffe's recipes use 2).
        fused: Update all parameters in one pass, where the device has a kernel for it.
        dtype: In which Muon multiplies matrices.

    Raises:
        TrainingError: No parameter learns.
    """
    groups: dict[tuple[float, float, bool], list[Tensor]] = {}
    for parameter, bias, norm in _parameters(model):
        decay = weight_decay if decay_norm_and_bias or not (bias or norm) else 0.0
        factor = bias_learning_rate_factor if bias and not norm else 1.0
        large = parameter.ndim > 1 and len(parameter) >= MATRIX
        matrix = name == "muon" and large and not (bias or norm)
        groups.setdefault((learning_rate * factor, decay, matrix), []).append(parameter)
    if not groups:
        raise TrainingError("the model has no parameter that learns; unfreeze a part of it")
    settings = [
        {"params": parameters, "lr": rate, "base": rate, "weight_decay": decay, "matrices": matrix}
        for (rate, decay, matrix), parameters in groups.items()
    ]
    fused = fused and all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    if name == "sgd":
        return SGD(settings, lr=learning_rate, momentum=momentum, fused=fused)
    if name == "muon":
        return Muon(settings, learning_rate, momentum, fused=fused, dtype=dtype)
    return AdamW(settings, lr=learning_rate, betas=(momentum, 0.999), fused=fused)


def set_learning_rate(optimizer: Optimizer, factor: float) -> float:
    """Sets every group to `factor` of its base; returns the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor
    return float(optimizer.param_groups[0]["lr"])


def optimizer_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The state of `optimizer` as "parameter name/state name"."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(
    optimizer: Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what `optimizer_tensors` gave.

    Raises:
        CheckpointError: A tensor belongs to no parameter of `model`.
    """
    parameters = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        name, key = full_name.rsplit("/", 1)
        if name not in parameters:
            raise CheckpointError(
                f"optimizer state of {name}: the model has no such parameter; "
                "resume with the recipe that the run was started with"
            )
        parameter = parameters[name]
        # Fused kernels walk a parameter and its state in memory order: the strides must agree.
        like = parameter if tensor.shape == parameter.shape else tensor
        state: dict[str, Any] = optimizer.state[parameter]
        state[key] = torch.empty_like(like, dtype=tensor.dtype, requires_grad=False).copy_(tensor)


def _parameters(model: nn.Module) -> Iterator[tuple[nn.Parameter, bool, bool]]:
    """Parameters that learn, each once: (parameter, is a bias, belongs to a norm)."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter, name.endswith("bias"), isinstance(module, _NORMS)
