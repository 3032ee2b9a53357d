"""The line that all HRNets share: branches of several resolutions, side by side to the end.

Wang et al. 2020, "Deep High-Resolution Representation Learning", arXiv:1908.07919. The names and
shapes are those of its published weights.
"""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.residual import fix_statistics, initialize, set_norms_learn
from tinyscope.nn.blocks import BasicBlock, Bottleneck, Kernel, Norm, convolve, normalization
from tinyscope.nn.exchange import Exchange, convolution_norm
from tinyscope.nn.weights import load_weights

MODULES = (1, 4, 3)
"""How many modules the stages 2, 3 and 4 have; each ends with an exchange of the branches."""
STEM_CHANNELS = 64
_FIRST_STAGE_BLOCKS = 4
_POOL = Kernel(3, 2)


class BranchedNetwork(nn.Module):
    """A stem, a stage of bottlenecks, and three stages of two, three and four branches.

    Branch i, from 0, works at stride 4 * 2**i with `width * 2**i` channels; its last map is level
    i. `channels`, `strides` and `convolutions` have an entry per level; `convolutions[i]` is the
    chain of kernels along branch i, which is entered as early as a branch leads towards it. What
    coarser branches hand back reaches farther still, and is not in the chain.

    Args:
        stem_strides: Of the stem's two 3x3 convolutions.
        pool: Whether a maximum of stride 2 follows the first stage.
        first_width: Channels inside the bottlenecks of the first stage.
        width: Channels of the finest branch.
        blocks: Blocks per branch in a module of the stages 2, 3 and 4.
        norm: "batch", or "group", which does not mind small batches.
        groups: Of group norm; must divide `width`.
        norm_eval: Batch norm uses its running statistics in training too and leaves them as they
            are. Meant for pre-trained weights: without them nothing would be normalized.
        norm_affine: Whether weights and biases of the norms learn.
        zero_init_residual: Every block starts as its shortcut: the weight of its last norm is 0.
        weights: File of pre-trained weights with the published names.

    Raises:
        SettingsError: `blocks` are not two, three and four numbers of 1 or more.
        CheckpointError: `weights` do not fit.
    """

    strides = (4, 8, 16, 32)
    divisor = strides[-1]
    """Multiple that the sides of images must be: branches are enlarged by whole factors."""
    unused = ("fc.", "incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
    """Beginnings of the names that published classifiers have beyond the backbone."""

    def __init__(
        self,
        *,
        stem_strides: tuple[int, int],
        pool: bool,
        first_width: int,
        width: int,
        blocks: Sequence[Sequence[int]],
        norm: Norm,
        groups: int,
        norm_eval: bool,
        norm_affine: bool,
        zero_init_residual: bool,
        weights: Path | None,
    ) -> None:
        super().__init__()
        counts = tuple(tuple(stage) for stage in blocks)
        if [len(stage) for stage in counts] != [2, 3, 4] or min(map(min, counts)) < 1:
            raise SettingsError(
                f"blocks {counts} must be a list of 2, one of 3 and one of 4 numbers, 1 or more: "
                "the blocks per branch of the stages 2, 3 and 4"
            )
        self._norm_eval = norm_eval
        self.channels = tuple(width * 2**i for i in range(len(self.strides)))
        self.convolutions = tuple(
            _chain(level, stem_strides, pool, counts) for level in range(len(self.strides))
        )
        stem = STEM_CHANNELS
        self.conv1 = nn.Conv2d(3, stem, 3, stem_strides[0], 1, bias=False)
        self.bn1 = normalization(norm, stem, groups)
        self.conv2 = nn.Conv2d(stem, stem, 3, stem_strides[1], 1, bias=False)
        self.bn2 = normalization(norm, stem, groups)
        self.relu = nn.ReLU(inplace=True)

        before = Bottleneck.expansion * first_width
        inputs = (stem, *[before] * (_FIRST_STAGE_BLOCKS - 1))
        first = [Bottleneck(n, first_width, 1, norm, groups) for n in inputs]
        self.layer1 = nn.Sequential(
            *first, *[nn.MaxPool2d(_POOL.size, _POOL.stride, padding=1)] * pool
        )
        for i, stage in enumerate(counts):
            self.add_module(f"transition{i + 1}", self._transition(i, before, norm, groups))
            modules = (Exchange(self.channels, stage, norm, groups) for _ in range(MODULES[i]))
            self.add_module(f"stage{i + 2}", nn.Sequential(*modules))

        initialize(self, zero_init_residual=zero_init_residual)
        if weights is not None:
            load_weights(self, weights, unused=self.unused)
        set_norms_learn(self, norm_affine)
        self.train()

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Normalized images to levels (b, channels[i], h / strides[i], w / strides[i]).

        Raises:
            ValueError: A side of the images is no multiple of `divisor`.
        """
        height, width = images.shape[-2:]
        if height % self.divisor or width % self.divisor:
            raise ValueError(
                f"images of {height}x{width} pixels: an HRNet needs sides that are multiples of "
                f"{self.divisor}; pad them at the right and bottom"
            )
        x = self.relu(convolve(self.conv1, self.bn1, images))
        x = self.relu(convolve(self.conv2, self.bn2, x))
        maps = [self.layer1(x)]
        for i in range(len(MODULES)):
            transition = self.get_submodule(f"transition{i + 1}")
            entered = [*maps, maps[-1]]  # a new branch begins at the coarsest map
            maps = [step(x) for step, x in zip(transition.children(), entered, strict=True)]
            maps = self.get_submodule(f"stage{i + 2}")(maps)
        return maps

    def train(self, mode: bool = True) -> "BranchedNetwork":
        """As of every module, but batch norm stays in eval mode where its statistics are fixed."""
        super().train(mode)
        if self._norm_eval:
            fix_statistics(self)
        return self

    def _transition(self, stage: int, before: int, norm: Norm, groups: int) -> nn.ModuleList:
        """What leads into the branches of a stage, counted from 0: all but the last stay as they
        are, except at first, where the map of the first stage becomes two."""
        *old, new = self.channels[: stage + 2]
        kept: list[nn.Module] = [nn.Identity() for _ in old]
        if stage == 0:
            kept = [convolution_norm(before, old[0], Kernel(3, 1), norm, groups)]
        last = before if stage == 0 else old[-1]
        entry = convolution_norm(last, new, Kernel(3, 2), norm, groups)
        return nn.ModuleList([*kept, nn.Sequential(entry)])


def _chain(
    level: int, stem_strides: tuple[int, int], pool: bool, blocks: Sequence[Sequence[int]]
) -> tuple[Kernel, ...]:
    chain = tuple(Kernel(3, stride) for stride in stem_strides)
    chain += Bottleneck.chain(1) * _FIRST_STAGE_BLOCKS
    chain += (_POOL,) * pool
    for i, (stage, modules) in enumerate(zip(blocks, MODULES, strict=True)):
        if level > i:
            chain += (Kernel(3, 2),)
        elif i == 0:
            chain += (Kernel(3, 1),)
        chain += BasicBlock.chain(1) * (stage[min(level, i + 1)] * modules)
    return chain
