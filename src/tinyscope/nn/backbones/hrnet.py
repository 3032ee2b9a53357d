"""HRNet, which keeps a map of stride 4 from the first stage to the last (arXiv:1908.07919)."""

from pathlib import Path

from pydantic import PositiveInt

from tinyscope.nn.backbones.branched import STEM_CHANNELS, BranchedNetwork
from tinyscope.nn.blocks import Norm


class HRNet(BranchedNetwork):
    """An HRNet by the channels of its finest branch, such as 18 or 32.

    Images must have sides that are multiples of 32; options as of `BranchedNetwork`.
    """

    def __init__(
        self,
        width: PositiveInt = 18,
        *,
        norm: Norm = "batch",
        groups: PositiveInt = 1,
        norm_eval: bool = False,
        norm_affine: bool = True,
        zero_init_residual: bool = False,
        weights: Path | None = None,
    ) -> None:
        super().__init__(
            stem_strides=(2, 2),
            pool=False,
            first_width=STEM_CHANNELS,
            width=width,
            blocks=((4, 4), (4, 4, 4), (4, 4, 4, 4)),
            norm=norm,
            groups=groups,
            norm_eval=norm_eval,
            norm_affine=norm_affine,
            zero_init_residual=zero_init_residual,
            weights=weights,
        )
