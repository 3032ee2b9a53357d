"""A pyramid that is fed back into a second look at the image.

Qiao, Chen and Yuille 2020, "DetectoRS: Detecting Objects with Recursive Feature Pyramid and
Switchable Atrous Convolution", arXiv:2006.02334.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.staged import StagedNetwork
from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks.atrous import AtrousPyramid
from tinyscope.types import Pyramid

DILATIONS = (3, 6)
"""Of the neighborhoods that are seen of a level before it is fed back."""


class RecursivePyramid(nn.Module):
    """The mixture of a pyramid and of what becomes of it when it is fed back.

    A second backbone looks at the image again. Into the first block of each of its stages but the
    finest goes the level of the first pyramid that has the stage's stride, through views of
    several widths. The same neck, with the same weights, makes the second pyramid. How much of
    which comes out, a gate decides at every cell.

    Args:
        in_channels: Of the first backbone's levels: the images', then as `backbone` has them.
        in_strides: Of the same: 1, then as `backbone` has them.
        backbone: That looks at the images again, a ResNet.
        neck: Levels of either backbone to a pyramid.
        view_channels: From each of the four views of a level; None means a quarter of its own.
        zero_init_feedback: The second look starts as if nothing was fed back. The published code
            means to begin so, but leaves these weights random.

    Raises:
        SettingsError: The first backbone does not hand on the images or has other levels than
            `backbone`, that is no ResNet, nothing would be fed back, the level's channels cannot
            be divided by 4, or the neck learns by a loss of its own, which would be dropped.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        backbone: nn.Module,
        neck: nn.Module,
        *,
        view_channels: PositiveInt | None = None,
        zero_init_feedback: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(backbone, StagedNetwork):
            raise SettingsError(
                f"backbone: a {type(backbone).__name__} has no stages that a pyramid can be fed "
                "into; choose resnet or bottom_heavy"
            )
        _check_levels(in_channels, in_strides, backbone)
        if hasattr(neck, "loss"):
            raise SettingsError(
                f"neck: the loss of a {type(neck).__name__} would be dropped, for it makes two "
                "pyramids and neither comes out; choose fpn"
            )
        self.backbone, self.neck = backbone, neck
        assert isinstance(neck.channels, int)
        assert isinstance(neck.strides, tuple)
        self.channels: int = neck.channels
        self.strides: tuple[int, ...] = neck.strides
        if view_channels is None and self.channels % 4:
            raise SettingsError(
                f"channels {self.channels} of the neck: its four views share them, so they must "
                "be divisible by 4; else give view_channels"
            )
        each = view_channels or self.channels // 4
        fed = zip(backbone.strides[1:], backbone.channels[1:], strict=True)
        into = {stride: channels for stride, channels in fed if stride in self.strides}
        if not into:
            raise SettingsError(
                f"strides {backbone.strides} of the backbone and {self.strides} of the neck have "
                "none in common beyond the finest, so nothing would be fed back"
            )
        self.fed = tuple(into)
        self.views = AtrousPyramid(self.channels, each, DILATIONS)
        self.feedback = nn.ModuleList(nn.Conv2d(4 * each, n, 1) for n in into.values())
        self.gate = nn.Conv2d(self.channels, 1, 1)
        for convolution in (self.gate, *(self.feedback if zero_init_feedback else ())):
            for parameter in convolution.parameters():
                nn.init.zeros_(parameter)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]]) -> Pyramid:
        """The images (b, 3, h, w), then levels (b, in_channels[i], h_i, w_i), fine to coarse."""
        images, *others = levels
        first = self.neck(others)
        by_stride = dict(zip(first.strides, first.levels, strict=True))
        feedback = {
            stride: convolution(self.views(by_stride[stride]))
            for stride, convolution in zip(self.fed, self.feedback, strict=True)
        }
        second = self.neck(self.backbone(images, feedback))
        mixed = []
        for before, after in zip(first.levels, second.levels, strict=True):
            gate = self.gate(after).sigmoid()  # (b, 1, h_i, w_i)
            mixed.append(before + gate * (after - before))
        return Pyramid(tuple(mixed), self.strides)

    def chains(self, before: Sequence[Sequence[Kernel]]) -> tuple[tuple[Kernel, ...], ...]:
        """The kernels from the image to each level, from those to the first backbone's levels.

        Those of the first look; what is fed back has seen more before.
        """
        neck: Any = self.neck
        chains: tuple[tuple[Kernel, ...], ...] = neck.chains(before[1:])
        return chains


def _check_levels(channels: Sequence[int], strides: Sequence[int], backbone: StagedNetwork) -> None:
    if strides[0] != 1:
        raise SettingsError(
            f"a neck rfp looks at the images again, so model.backbone must hand them on as its "
            f"first level: give it strides {[1, *strides]}, not {[*strides]}"
        )
    wanted, there = (tuple(strides[1:]), tuple(channels[1:])), (backbone.strides, backbone.channels)
    if wanted != there:
        raise SettingsError(
            f"backbone: its levels of strides {there[0]} and channels {there[1]} are not those of "
            f"the first backbone, {wanted[0]} and {wanted[1]}; give both the same options, but "
            "for the stride 1"
        )
