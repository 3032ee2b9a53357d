"""A 3x3 convolution that chooses at every cell how far apart its taps lie.

Qiao, Chen and Yuille 2020, "DetectoRS: Detecting Objects with Recursive Feature Pyramid and
Switchable Atrous Convolution", arXiv:2006.02334; with the names of its published weights. Moving
taps: Dai et al. 2017, "Deformable Convolutional Networks", arXiv:1703.06211.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import deform_conv2d

from tinyscope.nn.standardized import StandardizedConvolution

WIDE = 3
"""Dilation of the wide one of the two convolutions."""
_SIZE = 3
_MARGIN = 2  # of the 5x5 mean by which the switch and the offsets are decided


class SwitchableConvolution(StandardizedConvolution):
    """The same filters, close together and spread out, mixed by a map that is predicted.

    The mean of the whole map is added before and after. A fresh one is a plain standardized
    convolution: the switch is 1 everywhere, and what would be added or moved is 0. The switch is
    not squashed, so the mixture may reach beyond the two.

    Args:
        channels: Of the map.
        filters: Channels that come out.
        stride: Of the cells that are kept.
        deformable: Whether the taps of both move by offsets that are predicted for every cell.
    """

    def __init__(
        self, channels: int, filters: int, stride: int = 1, *, deformable: bool = False
    ) -> None:
        super().__init__(channels, filters, _SIZE, stride, _SIZE // 2)
        self.weight_diff = nn.Parameter(torch.zeros_like(self.weight))
        self.switch = nn.Conv2d(channels, 1, 1, stride)
        self.pre_context = nn.Conv2d(channels, channels, 1)
        self.post_context = nn.Conv2d(filters, filters, 1)
        helpers = [self.switch, self.pre_context, self.post_context]
        self.deformable = deformable
        if deformable:
            places = 2 * _SIZE**2  # y and x of every tap
            self.offset_s = nn.Conv2d(channels, places, _SIZE, stride, _SIZE // 2)
            self.offset_l = nn.Conv2d(channels, places, _SIZE, stride, _SIZE // 2)
            helpers += [self.offset_s, self.offset_l]
        for helper in helpers:
            assert helper.bias is not None
            nn.init.zeros_(helper.weight)
            nn.init.constant_(helper.bias, helper is self.switch)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f _ _"]:
        """(b, channels, h, w) to (b, filters, ceil(h / stride), ceil(w / stride))."""
        x = x + self.pre_context(x.mean(dim=(2, 3), keepdim=True))
        around = _local_mean(x)
        switch = self.switch(around)  # (b, 1, ceil(h / stride), ceil(w / stride))
        close_up = self.standardized
        far_apart = close_up + self.weight_diff
        if self.deformable:
            close = self._deformed(x, self.offset_s(around), close_up, 1)
            far = self._deformed(x, self.offset_l(around), far_apart, WIDE)
        else:
            close = functional.conv2d(x, close_up, stride=self.stride, padding=1)
            far = functional.conv2d(x, far_apart, None, self.stride, WIDE, WIDE)
        mixed: Tensor = far + switch * (close - far)
        context: Tensor = self.post_context(mixed.mean(dim=(2, 3), keepdim=True))
        return mixed + context

    def _deformed(self, x: Tensor, offsets: Tensor, weight: Tensor, dilation: int) -> Tensor:
        # A tap lies at its cell plus its offset. In half precision places beyond cell 256 would
        # have steps of a quarter of a cell, or of two.
        single = torch.promote_types(x.dtype, torch.float32)
        convolved: Tensor = deform_conv2d(
            x.to(single),
            offsets.to(single),
            weight.to(single),
            stride=self.stride,
            padding=dilation,
            dilation=dilation,
        )
        return convolved.to(x.dtype)


def _local_mean(x: Tensor) -> Tensor:
    """Of 5x5 cells, by reflection at the border; maps too small to be reflected repeat theirs."""
    mode = "reflect" if min(x.shape[-2:]) > _MARGIN else "replicate"
    return functional.avg_pool2d(functional.pad(x, [_MARGIN] * 4, mode), 2 * _MARGIN + 1, 1)
