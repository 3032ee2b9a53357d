"""The forward pass of a model part by part, without what depends on values."""

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from tinyscope.detectors.classifier import Classifier
from tinyscope.detectors.dense import DenseDetector
from tinyscope.detectors.two_stage import TwoStageDetector
from tinyscope.detectors.video import VideoDetector

BACKBONE = "backbone"
_STEM = re.compile(r"|model|stem.*|first_pool|(conv|bn|norm|act|relu|pool|maxpool)\d*")
_COUNTED_FROM_0 = re.compile(r"(?:stages|layers)_(\d+)|transition(\d+)")
_COUNTED_FROM_1 = re.compile(r"(?:layer|stage)(\d+)")


class Walk(nn.Module):
    """The parts of a detector or a classifier, or a backbone alone, as they follow each other.

    Every second stage meets as many regions as it is told, since no proposals are made; what pools
    them is left out. So it runs where tensors have shapes and no values. In a detector of videos an
    image meets one other: flow of one pair, the embedding of one frame's maps.

    Args:
        model: A detector, a classifier, or a backbone.
        regions: Per image, for a second stage.
    """

    def __init__(self, model: nn.Module, regions: int) -> None:
        super().__init__()
        self.regions = regions
        self.levels: Sequence[Tensor] = ()  # of the backbone, as they last came out
        self.pools: Sequence[int] = ()  # cells per side that each head of a second stage takes
        self.backbone = of_images(model)
        self.neck: nn.Module | None = None
        self.head: Any = None
        self.means: Callable[[Sequence[Tensor]], Tensor] | None = None
        self.motion: Any = None
        self.aggregator: Any = None
        whole, model = model, self.backbone
        if isinstance(model, Classifier):
            self.backbone, self.means, self.head = model.backbone, model.means, model.head
        if isinstance(model, DenseDetector | TwoStageDetector):
            self.backbone, self.neck = model.backbone, model.neck
        if isinstance(model, DenseDetector):
            self.head = model.head
        if isinstance(model, TwoStageDetector):
            self.rpn, stages = model.rpn, model.roi.stages
            self.roi = nn.ModuleList(cast(nn.Module, stage.head) for stage in stages)
            self.pools = [stage.pool for stage in stages]
        if isinstance(whole, VideoDetector):
            self.motion, self.aggregator = whole.motion, whole.aggregator

    def forward(self, images: Tensor) -> None:
        """Normalized images (b, 3, h, w)."""
        self.levels = self.backbone(images)
        if self.means is not None:
            means = self.means(self.levels)
            self.head(means.to(self.head.weight.dtype))
        if self.neck is None:
            return
        pyramid = self.neck(self.levels)
        if self.pools:
            self.rpn(pyramid)
            regions, fine = self.regions * len(images), pyramid.levels[0]
            for head, pool in zip(self.roi, self.pools, strict=True):
                head(fine.new_empty(regions, fine.shape[1], pool, pool))
        else:
            self.head(pyramid)
        if self.motion is not None:
            sides = [round(side * self.motion.scale) for side in images.shape[-2:]]
            prepared = images.new_empty(len(images), 3, *sides)
            self.motion(prepared, prepared)
            for level in pyramid.levels:
                self.aggregator.embed(level)


def of_images(model: nn.Module) -> nn.Module:
    """The model, or of one of videos the detector of single images in it."""
    return model.get_submodule("detector") if isinstance(model, VideoDetector) else model


def part_of(path: str) -> str:
    """The part that a module of a walk belongs to: `backbone.stem`, `backbone.stage 1`, `neck`.

    Stages count from 1. What joins two stages of an HRNet is of the later one. Children of a
    backbone that are no stage by their name stand for themselves.
    """
    owner, _, inside = path.partition(".")
    if owner != BACKBONE:
        return owner
    child = inside.removeprefix("model.").partition(".")[0]
    if _STEM.fullmatch(child):
        return f"{BACKBONE}.stem"
    if found := _COUNTED_FROM_1.fullmatch(child):
        return f"{BACKBONE}.stage {found[1]}"
    if found := _COUNTED_FROM_0.fullmatch(child):
        return f"{BACKBONE}.stage {int(found[1] or found[2]) + 1}"
    return f"{BACKBONE}.{child}"
