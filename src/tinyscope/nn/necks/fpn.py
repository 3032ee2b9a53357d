"""Feature pyramid: every coarse level is added to the next finer one (arXiv:1612.03144).

With factors for what is added, as Gong et al. 2021, "Effective Fusion Factor in FPN for Tiny Object
Detection", arXiv:2011.02298, found good where objects are tiny.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.blocks import Kernel, Norm, normalization
from tinyscope.types import Pyramid

Extra = Literal["subsample", "conv_input", "conv_output"]


class FPN(nn.Module):
    """Levels of a backbone to a pyramid of equal channels, with coarser levels where wanted.

    Args:
        in_channels: Of the backbone's levels, fine to coarse.
        in_strides: Of the same.
        channels: Of every level that comes out.
        finest: Stride of the finest level that takes part; None means all levels do.
        coarsest: Stride of the coarsest level that comes out; None means the last that takes
            part. Beyond that one, levels are added, each of twice the stride of the one before;
            before it, the coarser ones still take part and just do not come out.
        extra: How a level is added: "subsample" takes every second cell of the last one (Faster
            R-CNN's P6); the others are 3x3 convolutions of stride 2, the first on the backbone's
            last level ("conv_input", RetinaNet) or on the pyramid's ("conv_output", FCOS).
        extra_relu: Whether a ReLU stands between two added convolutions.
        norm: Of every convolution; None gives them a bias instead.
        groups: Of group norm.
        upsample: How a coarse level gets the size of the finer one.
        fusion: What a coarse level is multiplied by when it is added to the next finer one, fine
            to coarse: the first is for the second level going into the first. Constants that no
            file of weights holds; `tinyscope analyze fusion` finds them. None: 1 everywhere.

    Raises:
        SettingsError: `finest` is no stride of the backbone, `coarsest` cannot be reached, or
            `fusion` has another number of factors than there are additions.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        channels: PositiveInt = 256,
        finest: PositiveInt | None = None,
        coarsest: PositiveInt | None = None,
        extra: Extra = "subsample",
        extra_relu: bool = True,
        norm: Norm | None = None,
        groups: PositiveInt = 32,
        upsample: Literal["nearest", "bilinear"] = "nearest",
        fusion: tuple[PositiveFloat, ...] | None = None,
    ) -> None:
        super().__init__()
        if finest is not None and finest not in in_strides:
            raise SettingsError(f"finest {finest} is no stride of the backbone {(*in_strides,)}")
        self._start = 0 if finest is None else list(in_strides).index(finest)
        taking_part = tuple(in_strides[self._start :])
        self.channels = channels
        self.taking_part = taking_part
        self.strides = out_strides(taking_part, coarsest)
        self.fusion = (1.0,) * (len(taking_part) - 1) if fusion is None else fusion
        if len(self.fusion) != len(taking_part) - 1:
            raise SettingsError(
                f"fusion {self.fusion}: {len(taking_part)} levels take part, so it must have "
                f"{len(taking_part) - 1} factors, fine to coarse"
            )
        self._extra = extra
        self._extra_relu = extra_relu
        self._upsample = upsample

        def convolution(before: int, size: int, stride: int = 1) -> nn.Sequential:
            layers: list[nn.Module] = [
                nn.Conv2d(before, channels, size, stride, size // 2, bias=norm is None)
            ]
            if norm is not None:
                layers.append(normalization(norm, channels, groups))
            return nn.Sequential(*layers)

        added = max(0, len(self.strides) - len(taking_part))
        before = [channels] * added
        if added and extra == "conv_input":
            before[0] = in_channels[-1]
        self.lateral = nn.ModuleList(convolution(n, 1) for n in in_channels[self._start :])
        self.smooth = nn.ModuleList(
            convolution(channels, 3) for _ in self.strides[: len(taking_part)]
        )
        self.added = nn.ModuleList(
            nn.MaxPool2d(1, 2) if extra == "subsample" else convolution(n, 3, 2) for n in before
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, levels: Sequence[Float[Tensor, "b _ _ _"]]) -> Pyramid:
        """Levels (b, in_channels[i], h_i, w_i), fine to coarse, to a pyramid of `channels`."""
        levels = levels[self._start :]
        merged = [lateral(x) for lateral, x in zip(self.lateral, levels, strict=True)]
        for i in reversed(range(len(merged) - 1)):
            coarse, factor = self._enlarged(merged[i + 1], merged[i]), self.fusion[i]
            merged[i] = merged[i] + (coarse if factor == 1 else factor * coarse)
        # Without strict: where the pyramid ends early, the coarse maps have no convolution.
        out = [smooth(x) for smooth, x in zip(self.smooth, merged, strict=False)]
        for i, add in enumerate(self.added):
            last = levels[-1] if i == 0 and self._extra == "conv_input" else out[-1]
            between = i > 0 and self._extra_relu and self._extra != "subsample"
            out.append(add(functional.relu(last) if between else last))
        return Pyramid(tuple(out), self.strides)

    def chains(self, before: Sequence[Sequence[Kernel]]) -> tuple[tuple[Kernel, ...], ...]:
        """The kernels from the image to each level, from those to the backbone's levels.

        Along a level's own way: what coarser levels hand down reaches farther still.
        """
        taking_part = before[self._start :]
        chains = [(*chain, Kernel(1, 1), Kernel(3, 1)) for chain in taking_part]
        chains = chains[: len(self.smooth)]
        for i in range(len(self.added)):
            source = tuple(before[-1]) if i == 0 and self._extra == "conv_input" else chains[-1]
            chains.append((*source, Kernel(1 if self._extra == "subsample" else 3, 2)))
        return tuple(chains)

    def _enlarged(self, coarse: Tensor, fine: Tensor) -> Tensor:
        align = None if self._upsample == "nearest" else False
        return functional.interpolate(
            coarse, fine.shape[-2:], mode=self._upsample, align_corners=align
        )


def out_strides(strides: tuple[int, ...], coarsest: int | None) -> tuple[int, ...]:
    if any(b != 2 * a for a, b in pairwise(strides)):
        raise SettingsError(f"a pyramid needs strides that double, got {strides}")
    reached = list(strides)
    while coarsest is not None and reached[-1] < coarsest:
        reached.append(2 * reached[-1])
    if coarsest is not None:
        if coarsest not in reached:
            raise SettingsError(
                f"coarsest {coarsest} cannot be reached from strides {strides} by doubling"
            )
        reached = reached[: reached.index(coarsest) + 1]
    return tuple(reached)
