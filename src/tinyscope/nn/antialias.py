"""What halves a map without letting fine patterns pass for coarse ones.

Ning, Guan and Spratling 2023, "The Importance of Anti-Aliasing in Tiny Object Detection" (ACML):
wavelets. Zou et al. 2020, "Delving Deeper into Anti-aliasing in ConvNets", arXiv:2008.09604: blur
with weights that depend on the content (PASA).
"""

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.blocks import Kernel

Wavelet = Literal["haar", "bior3.3"]
AntiAlias = Literal["haar", "bior3.3", "pasa", "pasa_joint"]
"""A wavelet whose low band is kept, or adaptive blur; the published one is "pasa_joint"."""
PASA_GROUPS = 8
_LOW_PASS = {
    "haar": torch.tensor([1.0, 1.0]) / sqrt(2),
    "bior3.3": torch.tensor([1.0, 3.0, 3.0, 1.0]) * sqrt(2) / 8,
}
"""Reconstruction filters, without the zeros at their ends."""


class WaveletPool(nn.Module):
    """The low-low band of a wavelet's transform: a fixed blur at every second cell.

    The band doubles a constant. Outside the map are zeros.
    """

    low_pass: Tensor

    def __init__(self, wavelet: Wavelet) -> None:
        super().__init__()
        taps = _LOW_PASS[wavelet]
        self.register_buffer("low_pass", torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
        """(b, c, h, w) to (b, c, floor(h / 2), floor(w / 2)).

        Raises:
            ValueError: The map is less than 2 cells high or wide.
        """
        channels, *size = x.shape[1:]
        if min(size) < 2:
            raise ValueError(f"a map of {size[0]}x{size[1]} cells cannot be halved; pad the images")
        weight = self.low_pass.to(x.dtype).expand(channels, -1, -1, -1)
        padding = self.low_pass.shape[-1] // 2 - 1
        return functional.conv2d(x, weight, stride=2, padding=padding, groups=channels)


class AdaptiveBlur(nn.Module):
    """A 3x3 blur at every `stride`-th cell whose weights are predicted from the map.

    Args:
        channels: Of the map.
        stride: Of the cells that are kept.
        groups: Channels are split into so many parts; each has weights of its own.
        joint: Whether the weights of all groups together sum to 1, as in the published code, so
            that a group gets whatever share of them; else those of every group do.

    Raises:
        SettingsError: `channels` do not split into `groups`.
    """

    def __init__(
        self, channels: int, stride: int = 2, groups: int = PASA_GROUPS, *, joint: bool = False
    ) -> None:
        super().__init__()
        if channels % groups:
            raise SettingsError(
                f"adaptive blur splits channels into {groups} groups, got {channels}; "
                f"choose a width that {groups} divides"
            )
        self._stride, self._groups, self._joint = stride, groups, joint
        self.conv = nn.Conv2d(channels, 9 * groups, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(9 * groups)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
        """(b, c, h, w) to (b, c, ceil(h / stride), ceil(w / stride))."""
        logits = self.bn(self.conv(x))
        batch, _, height, width = logits.shape
        shape = (batch, self._groups, 1, 9, height * width)
        if self._joint:
            weights = logits.softmax(dim=1).reshape(shape)
        else:
            weights = logits.reshape(shape).softmax(dim=3)
        patches = functional.unfold(x, 3, padding=1, stride=self._stride)  # (b, 9c, cells)
        patches = patches.reshape(batch, self._groups, -1, 9, height * width)
        blurred: Tensor = (patches * weights).sum(dim=3)
        return blurred.reshape(batch, -1, height, width)


def halving(kind: AntiAlias) -> tuple[Kernel, Callable[[int], nn.Module]]:
    """The kernel of what halves a map, and what makes it for a number of channels."""
    if kind in ("pasa", "pasa_joint"):
        return Kernel(3, 2), partial(AdaptiveBlur, joint=kind == "pasa_joint")
    return Kernel(len(_LOW_PASS[kind]), 2), lambda _: WaveletPool(kind)  # type: ignore[arg-type]
