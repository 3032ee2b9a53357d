"""Pixels to the class of the whole image: what a backbone is pre-trained with."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64, Num
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.catalog import Share
from tinyscope.detectors.normalize import Normalize


class Classifier(nn.Module):
    """A backbone, the mean over the cells of its levels, and one linear layer.

    Args:
        backbone: Normalized images to levels; says its `channels`.
        classes: Number of classes.
        levels: `last` takes the coarsest level, as ResNets are trained; `all` puts the means of
            all levels side by side, for backbones whose levels run in parallel (HRNet).
        label_smoothing: Share of the label that is spread over all classes.
        mean: Of the images, subtracted; red, green, blue, 0 to 255.
        std: Of the images, divided by.
    """

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        *,
        levels: Literal["last", "all"] = "last",
        label_smoothing: Share = 0.0,
        mean: tuple[float, float, float] = (123.675, 116.28, 103.53),
        std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        channels: Any = backbone.channels
        self.levels, self.label_smoothing = levels, label_smoothing
        self.normalize = Normalize(mean, std)
        self.backbone = backbone
        self.head = nn.Linear(sum(channels) if levels == "all" else channels[-1], classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Num[Tensor, "b 3 h w"]) -> Float[Tensor, "b k"]:
        """Images of 0 to 255 to logits, float32."""
        means = self.means(self.backbone(self.normalize(images)))
        # Logits of reduced precision would tie, and ties decide which class is the first.
        with torch.autocast(means.device.type, enabled=False):
            return self.head(means)  # type: ignore[no-any-return]

    def means(self, levels: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b c"]:
        """Mean over the cells of the levels that the classes are told from, float32."""
        used = levels if self.levels == "all" else levels[-1:]
        return torch.cat([level.mean(dim=(2, 3), dtype=torch.float32) for level in used], dim=1)

    def loss(self, logits: Float[Tensor, "b k"], labels: Int64[Tensor, "b"]) -> dict[str, Tensor]:
        """The named loss () of a batch: softmax cross-entropy."""
        value = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return {"classification": value}
