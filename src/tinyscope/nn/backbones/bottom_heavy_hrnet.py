"""HRNets whose first stage works at stride 2, paid for by fewer blocks in the late stages.

Ning, Guan and Spratling 2023, "Rethinking the Backbone Architecture for Tiny Object Detection",
arXiv:2303.11267, Table 4. The table shows the coarsest branch alone and no code or weights were
published; the rest is reconstructed from its parameters and multiply-adds, which agree to the
last printed digit.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import PositiveInt

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.branched import BranchedNetwork
from tinyscope.nn.blocks import Norm

BLOCKS = {
    18: ((4, 4), (3, 3, 3), (2, 2, 2, 2)),
    32: ((4, 4), (2, 2, 2), (2, 2, 1, 1)),
}
"""Blocks per branch of the stages 2, 3 and 4 in the published nets, by their width."""


class BottomHeavyHRNet(BranchedNetwork):
    """An HRNet whose stem halves the image once, and a pooling once more after the first stage.

    Images must have sides that are multiples of 32; options as of `BranchedNetwork`.

    Args:
        width: Channels of the finest branch; the first stage has twice as many inside its blocks.
        blocks: Blocks per branch in a module of the stages 2, 3 and 4; None means the paper's,
            which exist for the widths 18 and 32.

    Raises:
        SettingsError: No `blocks` for a width that the paper does not have.
    """

    def __init__(
        self,
        width: PositiveInt = 18,
        *,
        blocks: Sequence[Sequence[PositiveInt]] | None = None,
        norm: Norm = "batch",
        groups: PositiveInt = 1,
        norm_eval: bool = False,
        norm_affine: bool = True,
        zero_init_residual: bool = False,
        weights: Path | None = None,
    ) -> None:
        if blocks is None and width not in BLOCKS:
            raise SettingsError(
                f"width {width}: the paper has blocks for {' and '.join(map(str, BLOCKS))} only; "
                f"give blocks, such as {[*map(list, BLOCKS[18])]}"
            )
        super().__init__(
            stem_strides=(1, 2),
            pool=True,
            first_width=2 * width,
            width=width,
            blocks=BLOCKS[width] if blocks is None else blocks,
            norm=norm,
            groups=groups,
            norm_eval=norm_eval,
            norm_affine=norm_affine,
            zero_init_residual=zero_init_residual,
            weights=weights,
        )
