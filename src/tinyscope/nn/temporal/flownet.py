"""Optical flow from a pair of frames (FlowNetSimple).

Dosovitskiy et al. 2015, "FlowNet: Learning Optical Flow with Convolutional Networks",
arXiv:1504.06852, as MMTracking has it: weights learned on FlyingChairs go on learning with the
detector.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from jaxtyping import Float, Num
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.nn.weights import load_weights
from tinyscope.types import Size

_MEAN = (0.411, 0.432, 0.450)
"""Subtracted from colors in [0, 1]; red, green, blue (MMTracking)."""
_SLOPE = 0.1
_DEEPEST, _FINEST = 6, 2  # the encoder's halvings; where the decoder ends
_KERNELS = (7, 5, 5, 3, 3, 3)


class FlowNetSimple(nn.Module):
    """Frames are halved six times, and flow is refined from there up to a quarter of the input.

    Flow points from pixels of the key frame to where the same thing stands in the other, as (x, y).
    What of a frame does not depend on its partner is a step of its own, for callers that pair a
    frame with many: `prepare`, then `as_key` and `as_other`, whose sum `predict` goes on from.

    Args:
        width: Channels of the first convolution; all others follow. 64 is the published net, 16
            does on a CPU.
        scale: Side of the net's input over that of the image; 1 sees motion of tiny objects finer,
            at four times the cost.
        gain: Flow is the net's output times this, in cells of its quarter of the input.
        weights: File of pre-trained weights with MMTracking's names or ours; None leaves random
            ones, with which the net starts at no motion.

    `divisor` is what sides of images must be multiples of.

    Raises:
        CheckpointError: `weights` do not fit.
    """

    mean: Tensor

    def __init__(
        self,
        *,
        width: PositiveInt = 64,
        scale: PositiveFloat = 0.5,
        gain: PositiveFloat = 5.0,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.scale, self.gain = scale, gain
        # Of sides whose quarter, scaled, is whole: 8 at 0.5, 4 at 1, 16 at 0.75.
        self.divisor = (4 / Fraction(scale).limit_denominator(64)).numerator
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)

        widths = [width * n for n in (1, 2, 4, 8, 8, 16)]
        self.encoder = nn.ModuleList()
        before = 6  # a pair of images
        for i, (after, size) in enumerate(zip(widths, _KERNELS, strict=True)):
            stage = nn.Sequential(nn.Conv2d(before, after, size, 2, size // 2))
            if i > 1:
                stage.append(nn.Conv2d(after, after, 3, 1, 1))
            self.encoder.append(stage)
            before = after
        self.predictors, self.flow_doublers, self.doublers = (nn.ModuleList() for _ in range(3))
        for i in range(_DEEPEST - 2, _FINEST - 2, -1):  # stages whose output is joined
            self.predictors.append(nn.Conv2d(before, 2, 3, 1, 1, bias=False))
            self.flow_doublers.append(nn.ConvTranspose2d(2, 2, 4, 2, 1, bias=False))
            after = widths[i - 1]
            self.doublers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
            before = widths[i] + after + 2
        self.predictors.append(nn.Conv2d(before, 2, 3, 1, 1, bias=False))
        self._initialize()
        if weights is not None:
            load_weights(self, weights, names=published_names(self), unused=())

    def prepare(
        self, images: Num[Tensor, "n 3 h w"], sizes: Sequence[Size]
    ) -> Float[Tensor, "n 3 _ _"]:
        """Images as the net takes them, (n, 3, h * scale, w * scale).

        Args:
            images: 0 to 255; red, green, blue; sides are multiples of `divisor`.
            sizes: Of each before padding; what lies beyond is 0, the mean color.
        """
        x = images / 255 - self.mean
        limits = torch.tensor(sizes).to(x.device, non_blocking=True)  # (n, 2)
        rows, columns = (torch.arange(side, device=x.device) for side in x.shape[-2:])
        inside = (rows < limits[:, :1])[:, None, :, None] & (columns < limits[:, 1:])[:, None, None]
        x = torch.where(inside, x, 0.0)
        if self.scale == 1:
            return x
        return functional.interpolate(
            x, scale_factor=self.scale, mode="bilinear", align_corners=False
        )

    def as_key(self, prepared: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c _ _"]:
        """What a frame adds to the first convolution as the key of a pair."""
        first = self._first
        return functional.conv2d(prepared, first.weight[:, :3], first.bias, 2, first.padding)

    def as_other(self, prepared: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c _ _"]:
        """What a frame adds to the first convolution as the other of a pair."""
        first = self._first
        return functional.conv2d(prepared, first.weight[:, 3:], None, 2, first.padding)

    def predict(self, pairs: Float[Tensor, "n c _ _"]) -> list[Float[Tensor, "n 2 _ _"]]:
        """Raw flows, coarse to fine, from the sum of a key's and an other's part.

        Cells of the last are 4 / `scale` pixels of the images. Times `gain` it is flow in its own
        cells, which `ops.warp` takes as well as that of the images' size. Maps of strides that are
        powers of two come out the same, but for those of its own size: `enlarge` smooths these.
        """
        x = _leaky(pairs)
        joined = []
        for i, stage in enumerate(self.encoder):
            assert isinstance(stage, nn.Sequential)
            for convolution in stage if i else ():  # the first convolution is done
                x = _leaky(convolution(x))
            joined.append(x)
        flows = []
        finer = reversed(joined[_FINEST - 1 : -1])
        doubling = zip(self.flow_doublers, self.doublers, finer, strict=True)
        for predictor, (double_flow, double, beside) in zip(
            self.predictors, doubling, strict=False
        ):
            flows.append(predictor(x))
            height, width = beside.shape[-2:]
            flow = double_flow(flows[-1])[..., :height, :width]
            x = torch.cat([beside, _leaky(double(x))[..., :height, :width], flow], dim=1)
        return [*flows, self.predictors[-1](x)]

    def forward(
        self, keys: Float[Tensor, "n 3 h w"], others: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n 2 _ _"]:
        """Flow (n, 2, height, width) in pixels of the padded images, from prepared frames."""
        return self.enlarge(self.predict(self.as_key(keys) + self.as_other(others))[-1])

    def enlarge(self, raw: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n 2 _ _"]:
        """Flow in pixels of the padded images, and of their size, from the finest raw one."""
        cell = 4 / self.scale  # pixels
        flow = functional.interpolate(raw, scale_factor=cell, mode="bilinear", align_corners=False)
        return flow * (cell * self.gain)

    @property
    def _first(self) -> nn.Conv2d:
        convolution = self.get_submodule("encoder.0.0")
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def _initialize(self) -> None:
        leaky = {*self.encoder.modules(), *self.doublers.modules()}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                slope = _SLOPE if module in leaky else 0.0
                nn.init.kaiming_normal_(module.weight, slope, "fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Random flow would tear maps apart until the net has learned not to.
        nn.init.zeros_(self.get_parameter(f"predictors.{len(self.predictors) - 1}.weight"))


def published_names(net: FlowNetSimple) -> dict[str, str]:
    """What MMTracking's files call the net's tensors, by our names."""
    stages = range(_DEEPEST - 1, _FINEST - 1, -1)
    owners = {f"doublers.{i}": f"deconv{n}" for i, n in enumerate(stages)}
    owners |= {f"flow_doublers.{i}": f"upsample_flow{n}" for i, n in enumerate(stages)}
    owners |= {f"predictors.{i}": f"predict_flow{n + 1}" for i, n in enumerate(stages)}
    owners[f"predictors.{len(stages)}"] = "predict_flow"
    for i, stage in enumerate(net.encoder):
        owners |= {f"encoder.{i}.{j}": f"conv{i + 1}.{j}" for j, _ in enumerate(stage.children())}
    split = {name: name.rpartition(".") for name in net.state_dict()}
    return {name: f"{owners[owner]}.conv.{kind}" for name, (owner, _, kind) in split.items()}


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)
