"""Convolutions whose filters are standardized, then scaled and shifted by constants.

Qiao et al. 2019, "Micro-Batch Training with Batch-Channel Normalization and Weight
Standardization", arXiv:1903.10520; with the constants as Qiao, Chen and Yuille 2020, "DetectoRS",
arXiv:2006.02334, use them, and with the names of its published weights.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-5
"""Added to the variance of a filter."""


class StandardizedConvolution(nn.Conv2d):
    """A convolution without bias by gamma * (w - mean) / deviation + beta of its weights w.

    Mean and deviation are those of each filter; gamma is 1 and beta 0 in a fresh one. Weights of a
    plain convolution, loaded without the two, set them to the filter's own deviation and mean, so
    that it begins as what it was trained to be.

    Args:
        channels: Of the map.
        filters: Channels that come out.
        size: Of the kernel.
        stride: Of the cells that are kept.
        padding: With zeros, in cells.
    """

    weight_gamma: Tensor
    weight_beta: Tensor

    def __init__(
        self, channels: int, filters: int, size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(channels, filters, size, stride, padding, bias=False)
        self.register_buffer("weight_gamma", torch.ones(filters, 1, 1, 1))
        self.register_buffer("weight_beta", torch.zeros(filters, 1, 1, 1))

    @property
    def standardized(self) -> Float[Tensor, "f c h w"]:
        """The weights that it convolves with."""
        mean, deviation = filter_statistics(self.weight)
        return self.weight_gamma * (self.weight - mean) / deviation + self.weight_beta

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f _ _"]:
        """(b, channels, h, w) to (b, filters, ...), as of every convolution."""
        return functional.conv2d(
            x, self.standardized, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *others: Any, **more: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *others, **more)
        constants = (f"{prefix}weight_gamma", f"{prefix}weight_beta")
        if f"{prefix}weight" in state_dict and not any(name in state_dict for name in constants):
            with torch.no_grad():
                mean, deviation = filter_statistics(self.weight)
                self.weight_gamma.copy_(deviation)
                self.weight_beta.copy_(mean)


def filter_statistics(
    weight: Float[Tensor, "f c h w"],
) -> tuple[Float[Tensor, "f 1 1 1"], Float[Tensor, "f 1 1 1"]]:
    """Mean and standard deviation (unbiased) of every filter."""
    variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True)
    return mean, (variance + EPS).sqrt()
