"""The line that all ResNets share: a stem, then stages of residual blocks, one per level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.antialias import AntiAlias, halving
from tinyscope.nn.backbones.convolutions import Convolution, beyond_plain, change_convolutions
from tinyscope.nn.backbones.residual import fix_statistics, initialize, set_norms_learn
from tinyscope.nn.blocks import (
    BasicBlock,
    Bottleneck,
    Kernel,
    Norm,
    ReluPool,
    convolve,
    normalization,
)
from tinyscope.nn.weights import load_weights

Block = Literal["basic", "bottleneck"]
_KINDS: dict[str, type[BasicBlock] | type[Bottleneck]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
}


@dataclass(frozen=True)
class _StemEnd:
    """How a stem goes on after its convolution and norm, and the kernels from the image on.

    `half` leads to stride 2 where the stem's convolution has or stands for that, else nowhere;
    `pool` goes on to half the size.
    """

    half: nn.Module
    half_kernels: tuple[Kernel, ...]
    pool: nn.Module
    pool_kernels: tuple[Kernel, ...]


class StagedNetwork(nn.Module):
    """A stem and stages of residual blocks; its levels are the stages' outputs.

    The stem is a convolution, a norm and a max-pool; stage i, from 0, ends at stride 4 * 2**i
    whatever the stem's stride, or earlier where stages are dilated. `channels`, `strides` and
    `convolutions` have an entry per level that comes out; `convolutions[i]` is the deepest chain of
    kernels from the image to level i, from which receptive fields follow. `unused` are the
    beginnings of names that files of weights have beyond it: those of the classifier and of stages
    that are not built.

    Args:
        stem: Kernel of the stem's convolution; its stride is 1 or 2.
        block: Kind of the residual blocks.
        blocks: How many, per stage.
        width: Channels inside the blocks of the first stage; each later stage doubles them.
        stem_width: Channels of the stem; None means `width`.
        strides: The levels that come out, by stride, fine to coarse; None means all stages. 2 is
            the stem's own map, 1 the images themselves, for a neck that looks at them again.
            Stages beyond the coarsest are not built.
        norm: "batch", or "group", which does not mind small batches.
        groups: Of group norm.
        antialias: What halves maps in place of strides and the maximum; None leaves those.
        dilations: Of the 3x3 convolutions in bottlenecks, per stage. A dilated stage has no stride:
            it sees as far on a map as fine as the one before, and takes that one's place among the
            levels. (1, 1, 1, 2) is called DC5. Its first block is dilated as well, as in
            mmdetection; torchvision leaves that one out, which gives other values. None: all 1.
        stride_first: Bottlenecks halve maps in their first 1x1 convolution instead of the 3x3; for
            weights that were trained so, as Caffe's ("caffe style"). Tensors are the same.
        convolution: Kind of the convolutions: with filters that are "standardized", and in the
            bottlenecks of all stages but the first "switchable" in how far apart their taps lie,
            or "switchable_deformable" in where each tap lies (DetectoRS).
        norm_eval: Batch norm uses its running statistics in training too and leaves them as they
            are. Meant for pre-trained weights: without them nothing would be normalized.
        norm_affine: Whether weights and biases of the norms learn.
        frozen_stages: -1 trains everything, 0 freezes the stem, n the stem and n stages: no
            gradients, statistics left as they are.
        zero_init_residual: Every block starts as its shortcut: the weight of its last norm is 0.
        weights: File of pre-trained weights with torchvision's names.

    Raises:
        SettingsError: A stage without blocks, a stride that the network does not have, more
            stages frozen than built, `stride_first` where no bottleneck has a stride, `dilations`
            of another number of stages, or of what cannot be dilated, or convolutions of a kind
            that does not go with the blocks.
        CheckpointError: `weights` do not fit.
    """

    def __init__(
        self,
        stem: Kernel,
        block: Block,
        blocks: Sequence[int],
        *,
        width: int,
        stem_width: int | None,
        strides: Sequence[int] | None,
        norm: Norm,
        groups: int,
        antialias: AntiAlias | None,
        norm_eval: bool,
        norm_affine: bool,
        frozen_stages: int,
        zero_init_residual: bool,
        weights: Path | None,
        stride_first: bool = False,
        convolution: Convolution = "plain",
        dilations: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not blocks or min(blocks) < 1:
            raise SettingsError(f"blocks {(*blocks,)} must be 1 or more in every stage")
        dilated = (1,) * len(blocks) if dilations is None else tuple(dilations)
        _refuse_dilations(dilated, len(blocks), block, convolution)
        self._stage_strides = tuple(
            4 * 2 ** sum(dilation == 1 for dilation in dilated[1 : i + 1])
            for i in range(len(blocks))
        )
        reached = (1, 2, *self._stage_strides)
        places = {stride: i for i, stride in enumerate(reached)}  # of equal strides the last
        self.strides = tuple([s for s in places if s >= 4] if strides is None else strides)
        if not self.strides or self.strides != tuple(s for s in places if s in self.strides):
            raise SettingsError(
                f"strides {self.strides} must be some of {(*places,)}, fine to coarse"
            )
        self._stages = max(0, places[self.strides[-1]] - 1)
        self._stage_strides = self._stage_strides[: self._stages]
        self._frozen_stages = frozen_stages
        if not -1 <= frozen_stages <= self._stages:
            raise SettingsError(f"frozen_stages {frozen_stages} must be from -1 to {self._stages}")
        self._norm_eval = norm_eval

        if stride_first and (block != "bottleneck" or antialias):
            raise SettingsError(
                "stride_first: only bottlenecks with strides have a first convolution to put them "
                "in; leave it out with basic blocks and with antialias"
            )
        if convolution != "plain" and antialias:
            raise SettingsError(
                f"convolution {convolution}: what halves maps in place of strides has no such "
                "form; leave antialias out"
            )
        if convolution.startswith("switchable") and block != "bottleneck":
            raise SettingsError(
                f"convolution {convolution}: the 3x3 convolutions of bottlenecks are switchable, "
                "and these are basic blocks; choose depth 50 or 101, or block bottleneck"
            )
        placed: dict[str, Any] = {"stride_first": True} if stride_first else {}
        kind = _KINDS[block]
        channels = [3, stem_width or width]
        kernel, halve = halving(antialias) if antialias else (None, None)
        end = _stem_end(stem, antialias, channels[-1])
        chain = (*end.half_kernels, *end.pool_kernels)
        self._stem_halves = stem.stride == 2
        chains = [(), end.half_kernels if self._stem_halves else chain]
        size, stride, _ = end.half_kernels[0]
        self.conv1 = nn.Conv2d(3, channels[-1], size, stride, size // 2, bias=False)
        self.bn1 = normalization(norm, channels[-1], groups)
        self.first_pool, self.pool = end.half, end.pool
        for i, count in enumerate(blocks[: self._stages]):
            inside, outside = width * 2**i, width * 2**i * kind.expansion
            spread: dict[str, Any] = {"dilation": dilated[i]} if dilated[i] > 1 else {}
            stride = 1 if spread else 2 if i else 2 // stem.stride
            first = kind(channels[-1], inside, stride, norm, groups, halve, **placed, **spread)
            others = (kind(outside, inside, 1, norm, groups, **spread) for _ in range(count - 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *others))
            channels.append(outside)
            chain += kind.chain(stride, kernel, **placed, **spread)
            chain += kind.chain(1, **spread) * (count - 1)
            chains.append(chain)
        self.channels = tuple(channels[places[s]] for s in self.strides)
        self.convolutions = tuple(chains[places[s]] for s in self.strides)

        not_built = (f"layer{n}." for n in range(self._stages + 1, 9))
        self.unused = ("fc.", *not_built)
        initialize(self, zero_init_residual=zero_init_residual)
        change_convolutions(self, self._layers(), convolution)
        if weights is not None:
            load_weights(self, weights, unused=self.unused, optional=beyond_plain(self))
        set_norms_learn(self, norm_affine)
        for module in self._frozen():
            module.requires_grad_(False)
        self.train()

    def forward(
        self, images: Float[Tensor, "b 3 h w"], feedback: Mapping[int, Tensor] | None = None
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """Normalized images to levels, fine to coarse: (b, channels[i], ceil(h / stride), ...).

        Args:
            images: Which are a level themselves where stride 1 is asked for.
            feedback: What is added, by the stride of a stage (of several, the last), to the sum
                that its first block ends with: maps of the stage's own size and channels.
        """
        feedback = feedback or {}
        x = self.first_pool(convolve(self.conv1, self.bn1, images))
        stem = x if self._stem_halves else None
        x = self.pool(x)
        levels = [images] if 1 in self.strides else []
        if 2 in self.strides:
            levels.append(x if stem is None else functional.relu(stem))
        for i, (stage, stride) in enumerate(zip(self._layers(), self._stage_strides, strict=True)):
            is_level = stride not in self._stage_strides[i + 1 :]
            fed = is_level and stride in feedback
            x = _with_feedback(stage, x, feedback[stride]) if fed else stage(x)
            if is_level and stride in self.strides:
                levels.append(x)
        return levels

    def train(self, mode: bool = True) -> "StagedNetwork":
        """As of every module, but frozen parts and fixed statistics stay in eval mode."""
        super().train(mode)
        if self._norm_eval:
            fix_statistics(self)
        for module in self._frozen():
            module.eval()
        return self

    def stage_name(self, stride: int) -> str:
        """Name of the (last) stage that ends at a stride."""
        places = {s: i for i, s in enumerate(self._stage_strides)}
        return f"layer{places[stride] + 1}"

    def _layers(self) -> list[nn.Module]:
        return [self.get_submodule(f"layer{n}") for n in range(1, self._stages + 1)]

    def _frozen(self) -> list[nn.Module]:
        if self._frozen_stages < 0:
            return []
        return [
            self.conv1,
            self.bn1,
            self.first_pool,
            self.pool,
            *self._layers()[: self._frozen_stages],
        ]


def _refuse_dilations(
    dilations: Sequence[int], stages: int, block: Block, convolution: Convolution
) -> None:
    if len(dilations) != stages or min(dilations) < 1 or dilations[0] != 1:
        raise SettingsError(
            f"dilations {(*dilations,)} must be one number of 1 or more for each of {stages} "
            "stages, and 1 for the first"
        )
    if max(dilations) > 1 and (block != "bottleneck" or convolution != "plain"):
        raise SettingsError(
            f"dilations {(*dilations,)}: plain convolutions of bottlenecks are dilated, and these "
            f"are {convolution} ones of {block} blocks; choose depth 50 or 101 and convolution "
            "plain, or leave dilations out"
        )


def _with_feedback(stage: nn.Module, x: Tensor, added: Tensor) -> Tensor:
    first, *others = stage.children()
    x = first(x, added)
    for block in others:
        x = block(x)
    return x


def _stem_end(stem: Kernel, antialias: AntiAlias | None, channels: int) -> _StemEnd:
    if antialias is None:
        return _StemEnd(nn.Identity(), (stem,), ReluPool(), (Kernel(3, 2),))
    kernel, halve = halving(antialias)
    relu = nn.ReLU(inplace=True)
    if antialias.startswith("pasa"):  # blurs in front of the maximum, and leaves the stem's stride
        pool = nn.Sequential(relu, halve(channels), nn.MaxPool2d(3, 1, 1))
        return _StemEnd(nn.Identity(), (stem,), pool, (kernel, Kernel(3, 1)))
    pool = nn.Sequential(relu, halve(channels))
    dense = stem._replace(stride=1)
    if stem.stride == 1:
        return _StemEnd(nn.Identity(), (dense,), pool, (kernel,))
    half = nn.Sequential(nn.ReLU(inplace=True), halve(channels))
    return _StemEnd(half, (dense, kernel), pool, (kernel,))
