"""ResNets that spend most of their blocks on the fine levels, where tiny objects live.

Ning, Guan and Spratling 2023, "Rethinking the Backbone Architecture for Tiny Object Detection",
arXiv:2303.11267, Table 4.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import PositiveInt

from tinyscope.nn.antialias import AntiAlias
from tinyscope.nn.backbones.convolutions import Convolution
from tinyscope.nn.backbones.staged import Block, StagedNetwork
from tinyscope.nn.blocks import Kernel, Norm


class BottomHeavyResNet(StagedNetwork):
    """A ResNet whose stem halves the image once, not twice, and whose early stages are deep.

    The first stage makes up for the stem by its own stride of 2, so the levels have the strides
    of a ResNet. The defaults are the paper's BH-ResNet-50; options as of `StagedNetwork`.
    """

    def __init__(
        self,
        blocks: Sequence[PositiveInt] = (7, 6, 2, 1),
        *,
        block: Block = "bottleneck",
        width: PositiveInt = 64,
        stem_width: PositiveInt | None = None,
        strides: Sequence[PositiveInt] | None = None,
        norm: Norm = "batch",
        groups: PositiveInt = 32,
        antialias: AntiAlias | None = None,
        norm_eval: bool = False,
        norm_affine: bool = True,
        frozen_stages: int = -1,
        zero_init_residual: bool = True,
        convolution: Convolution = "plain",
        weights: Path | None = None,
    ) -> None:
        super().__init__(
            Kernel(3, 1),
            block,
            blocks,
            width=width,
            stem_width=stem_width,
            strides=strides,
            norm=norm,
            groups=groups,
            antialias=antialias,
            norm_eval=norm_eval,
            norm_affine=norm_affine,
            frozen_stages=frozen_stages,
            zero_init_residual=zero_init_residual,
            weights=weights,
            convolution=convolution,
        )
