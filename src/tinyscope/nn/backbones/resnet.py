"""The usual ResNets (arXiv:1512.03385), as torchvision names and shapes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from tinyscope.nn.antialias import AntiAlias
from tinyscope.nn.backbones.convolutions import Convolution
from tinyscope.nn.backbones.staged import Block, StagedNetwork
from tinyscope.nn.blocks import Kernel, Norm

_DEPTHS: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
}


class ResNet(StagedNetwork):
    """A ResNet by its depth; options as of `StagedNetwork`."""

    def __init__(
        self,
        depth: Literal[18, 34, 50, 101] = 50,
        *,
        width: PositiveInt = 64,
        strides: Sequence[PositiveInt] | None = None,
        dilations: Sequence[PositiveInt] | None = None,
        norm: Norm = "batch",
        groups: PositiveInt = 32,
        antialias: AntiAlias | None = None,
        norm_eval: bool = False,
        norm_affine: bool = True,
        frozen_stages: int = -1,
        zero_init_residual: bool = True,
        stride_first: bool = False,
        convolution: Convolution = "plain",
        weights: Path | None = None,
    ) -> None:
        block, blocks = _DEPTHS[depth]
        super().__init__(
            Kernel(7, 2),
            block,
            blocks,
            width=width,
            stem_width=None,
            strides=strides,
            norm=norm,
            groups=groups,
            antialias=antialias,
            norm_eval=norm_eval,
            norm_affine=norm_affine,
            frozen_stages=frozen_stages,
            zero_init_residual=zero_init_residual,
            weights=weights,
            stride_first=stride_first,
            convolution=convolution,
            dilations=dilations,
        )
