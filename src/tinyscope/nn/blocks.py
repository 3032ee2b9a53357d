"""Residual blocks and what they are made of, with the names that torchvision's weights use.

He et al. 2016, arXiv:1512.03385; the stride stands in the 3x3 convolution, as in torchvision's
weights, or where asked for in the first 1x1, as in the paper and in Caffe's.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.standardized import StandardizedConvolution
from tinyscope.nn.switchable import SwitchableConvolution

Norm = Literal["batch", "group"]
Halve = Callable[[int], nn.Module]
"""Makes what halves a map of so many channels, in place of a convolution's stride of 2."""


class Kernel(NamedTuple):
    """What a convolution or a pooling adds to the receptive field."""

    size: int
    stride: int
    dilation: int = 1


def normalization(norm: Norm, channels: int, groups: int) -> nn.Module:
    """A layer that normalizes (b, channels, h, w); `groups` counts only for group norm.

    Raises:
        SettingsError: `channels` do not split into `groups`.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if channels % groups:
        raise SettingsError(
            f"groups {groups} does not divide the {channels} channels of a group norm; "
            "choose a divisor of the narrowest width"
        )
    return nn.GroupNorm(groups, channels)


def convolve(convolution: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """`norm(convolution(x))` for a convolution without bias, or one behind what halves the map.

    Batch norm with fixed statistics is an affine map, so it is multiplied into the weights: one
    pass over the map instead of two, and nothing of the map kept for the norm's gradient. The
    gradients, that of the norm's own weight and bias included, are the same.
    """
    if isinstance(convolution, nn.Sequential):
        halve, convolution = convolution
        x = halve(x)
    affine = isinstance(norm, nn.BatchNorm2d) and not norm.training
    if not affine or isinstance(convolution, SwitchableConvolution):
        return norm(convolution(x))  # type: ignore[no-any-return]
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(convolution, nn.Conv2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = convolution.weight
    if isinstance(convolution, StandardizedConvolution):
        weight = convolution.standardized
    return functional.conv2d(
        x,
        weight * scale[:, None, None, None],
        norm.bias - norm.running_mean * scale,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        convolution.groups,
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(
        self,
        before: int,
        width: int,
        stride: int,
        norm: Norm,
        groups: int,
        halve: Halve | None = None,
    ) -> None:
        super().__init__()
        made = halve(width) if halve and stride == 2 else None
        self.conv1 = nn.Conv2d(before, width, 3, 1 if made else stride, 1, bias=False)
        self.bn1 = normalization(norm, width, groups)
        self.conv2 = _behind(made, nn.Conv2d(width, width, 3, 1, 1, bias=False))
        self.bn2 = normalization(norm, width, groups)
        self.downsample = shortcut(before, width, stride, norm, groups, halve)

    @staticmethod
    def chain(stride: int, halve: Kernel | None = None) -> tuple[Kernel, ...]:
        """The kernels of a block, in order; `halve` is that of what takes a stride's place."""
        if halve and stride == 2:
            return Kernel(3, 1), halve, Kernel(3, 1)
        return Kernel(3, stride), Kernel(3, 1)

    @property
    def last_norm_weight(self) -> Tensor:
        weight = self.bn2.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """(b, before, h, w) to (b, width, h/stride, w/stride); `added` joins the last sum."""
        y = functional.relu(convolve(self.conv1, self.bn1, x), inplace=True)
        y = convolve(self.conv2, self.bn2, y)
        return _joined(y, _projected(self.downsample, x), added)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; four times as wide outside as inside.

    `stride_first`: a stride stands in the first convolution, not in the second. `dilation` is that
    of the second.
    """

    expansion = 4

    def __init__(
        self,
        before: int,
        width: int,
        stride: int,
        norm: Norm,
        groups: int,
        halve: Halve | None = None,
        *,
        stride_first: bool = False,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        made = halve(width) if halve and stride == 2 else None
        after = self.expansion * width
        inside = 1 if made else stride
        first, second = (inside, 1) if stride_first else (1, inside)
        self.conv1 = nn.Conv2d(before, width, 1, first, bias=False)
        self.bn1 = normalization(norm, width, groups)
        self.conv2 = nn.Conv2d(width, width, 3, second, dilation, dilation, bias=False)
        self.bn2 = normalization(norm, width, groups)
        self.conv3 = _behind(made, nn.Conv2d(width, after, 1, bias=False))
        self.bn3 = normalization(norm, after, groups)
        self.downsample = shortcut(before, after, stride, norm, groups, halve)

    @staticmethod
    def chain(
        stride: int, halve: Kernel | None = None, *, stride_first: bool = False, dilation: int = 1
    ) -> tuple[Kernel, ...]:
        """The kernels of a block, in order; `halve` is that of what takes a stride's place."""
        if halve and stride == 2:
            return Kernel(1, 1), Kernel(3, 1, dilation), halve, Kernel(1, 1)
        if stride_first:
            return Kernel(1, stride), Kernel(3, 1, dilation), Kernel(1, 1)
        return Kernel(1, 1), Kernel(3, stride, dilation), Kernel(1, 1)

    @property
    def last_norm_weight(self) -> Tensor:
        weight = self.bn3.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """(b, before, h, w) to (b, 4 * width, h/stride, w/stride); `added` joins the last sum."""
        y = functional.relu(convolve(self.conv1, self.bn1, x), inplace=True)
        y = functional.relu(convolve(self.conv2, self.bn2, y), inplace=True)
        y = convolve(self.conv3, self.bn3, y)
        return _joined(y, _projected(self.downsample, x), added)


class ReluPool(nn.Module):
    """ReLU, then a 3x3 maximum of stride 2: how the stem of a ResNet ends.

    A maximum commutes with ReLU, so the maximum is taken first and ReLU meets a quarter of the
    values. It is a module of its own because who counts operations by the published order must
    know that ReLU stands before the pooling there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) to (b, c, ceil(h / 2), ceil(w / 2))."""
        return functional.relu(functional.max_pool2d(x, 3, 2, 1), inplace=True)


def shortcut(
    before: int, after: int, stride: int, norm: Norm, groups: int, halve: Halve | None = None
) -> nn.Sequential | None:
    """A 1x1 projection where a block changes its map's shape, else nothing."""
    if before == after and stride == 1:
        return None
    made = [halve(before)] if halve and stride == 2 else []
    convolution = nn.Conv2d(before, after, 1, 1 if made else stride, bias=False)
    return nn.Sequential(convolution, *made, normalization(norm, after, groups))


def _behind(halve: nn.Module | None, convolution: nn.Conv2d) -> nn.Module:
    return convolution if halve is None else nn.Sequential(halve, convolution)


def _joined(y: Tensor, beside: Tensor, added: Tensor | None) -> Tensor:
    """How a block ends; `y` is overwritten."""
    y = y.add_(beside)
    return functional.relu(y if added is None else y.add_(added), inplace=True)


def _projected(projection: nn.Sequential | None, x: Tensor) -> Tensor:
    if projection is None:
        return x
    convolution, *halve, norm = projection
    # Published wavelets stand behind the convolution, and are named so. They commute with a 1x1
    # convolution, which then meets a quarter of the cells. Adaptive blur does not commute; that it
    # comes first is our choice.
    for module in halve:
        x = module(x)
    return convolve(convolution, norm, x)
