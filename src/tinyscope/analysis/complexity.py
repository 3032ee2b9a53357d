"""What a model costs: parameters, operations and memory of its parts, and what its levels see."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tinyscope.analysis.memory import saved_bytes
from tinyscope.analysis.operations import Kind, count_operations
from tinyscope.analysis.walk import BACKBONE, Walk, of_images, part_of
from tinyscope.detectors.two_stage import TwoStageDetector
from tinyscope.errors import SettingsError
from tinyscope.ops.receptive_field import receptive_field
from tinyscope.types import Size

ROIS = 1000
"""Proposals per image that published figures of two-stage detectors count."""
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


@dataclass(frozen=True)
class Part:
    """A part of a model, or a stage of its backbone: `backbone.stage 1`, `neck`, `roi`, ...

    `operations` and `multiply_adds` are of one image (`tinyscope.analysis.operations` says what
    counts); `saved_bytes` is what its forward pass keeps for the backward pass of a whole batch.
    """

    name: str
    parameters: int
    trainable: int
    operations: Mapping[Kind, int]
    multiply_adds: int
    saved_bytes: int

    @property
    def published(self) -> int:
        """All operations together, as papers that used mmcv's counter print them."""
        return sum(self.operations.values())


@dataclass(frozen=True)
class Level:
    """A level of a backbone; `field` is the side of its receptive field, None if unknown."""

    stride: int
    size: Size
    channels: int
    field: int | None


@dataclass(frozen=True)
class Complexity:
    """A model's parts in the order of computation, and its backbone's levels, fine to coarse."""

    size: Size
    parts: tuple[Part, ...]
    levels: tuple[Level, ...]

    def together(self, owner: str = "") -> Part:
        """All parts of `owner`, such as `backbone`, as one; of the whole model by default."""
        parts = [p for p in self.parts if p.name.startswith(owner)]
        operations: Counter[Kind] = Counter()
        for part in parts:
            operations.update(part.operations)
        return Part(
            owner or "total",
            sum(p.parameters for p in parts),
            sum(p.trainable for p in parts),
            operations,
            sum(p.multiply_adds for p in parts),
            sum(p.saved_bytes for p in parts),
        )

    @property
    def shares(self) -> dict[str, float]:
        """Share of each stage in the backbone's published operations; the sum is 1."""
        whole = self.together(BACKBONE).published
        named = [(p.name.partition("."), p.published) for p in self.parts]
        return {stage: n / whole for (owner, _, stage), n in named if owner == BACKBONE}


def complexity(
    model: nn.Module, size: Size, *, rois: int = ROIS, batch: int = 1, precision: str = "32"
) -> Complexity:
    """What a detector, classifier or backbone costs on images of one size; nothing is computed.

    Args:
        model: Of `tinyscope.detectors`, or a backbone alone; it is left as it is. The motion and
            the aggregator of one of videos are counted for one other frame.
        size: (h, w) of the images.
        rois: Proposals per image that a second stage is counted with. Its memory is that of as
            many as its sampler takes in training.
        batch: Images whose memory is counted.
        precision: Of all maps, for the memory: "32", "bf16" or "16".

    Raises:
        SettingsError: The model cannot work on images of this size.
    """
    walk = Walk(copy.deepcopy(model).to("meta"), rois)
    dtype = DTYPES[precision]
    try:
        operations = count_operations(walk, lambda images: walk(_images(images, size)))
        levels = _levels(walk)
        walk.train().to(dtype)
        walk.regions = _regions_in_training(model, rois)
        memory = _memory(walk, batch, size, dtype)
    except (ValueError, RuntimeError, AssertionError) as error:  # timm asserts
        height, width = size
        raise SettingsError(
            f"size {width}x{height}: the model cannot work on such images ({error})"
        ) from error

    names = dict.fromkeys(part_of(path) for path, _ in walk.named_modules() if path)
    parts = {name: _Sums() for name in names}
    for path, kinds in operations.published.items():
        if kinds:
            parts[part_of(path)].operations.update(kinds)
            parts[part_of(path)].multiply_adds += operations.multiply_adds[path]
    for path, count in memory.items():
        parts[part_of(path)].saved_bytes += count
    for path, parameter in walk.named_parameters():
        part = parts[part_of(path)]
        part.parameters += parameter.numel()
        part.trainable += parameter.numel() * parameter.requires_grad
    counted = (sums.part(name) for name, sums in parts.items())
    return Complexity(size, tuple(p for p in counted if p.parameters or p.published), levels)


class _Sums:
    """A part while it is added up."""

    def __init__(self) -> None:
        self.operations: Counter[Kind] = Counter()
        self.parameters = self.trainable = self.multiply_adds = self.saved_bytes = 0

    def part(self, name: str) -> Part:
        return Part(
            name,
            self.parameters,
            self.trainable,
            dict(self.operations),
            self.multiply_adds,
            self.saved_bytes,
        )


def _memory(walk: Walk, batch: int, size: Size, dtype: torch.dtype) -> Mapping[str, int]:
    """Saved bytes by module path."""

    def saved(images: int) -> Counter[str]:
        return saved_bytes(walk, lambda: walk(_images(images, size, dtype)))

    if batch > 1:
        return saved(batch)
    # Batch norm in training refuses one image whose map is one cell. Bytes grow evenly with the
    # images, so one has what two have less what a third adds.
    two, three = saved(2), saved(3)
    return {path: 2 * two[path] - three[path] for path in two}


def _images(count: int, size: Size, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(count, 3, *size, dtype=dtype, device="meta")


def _levels(walk: Walk) -> tuple[Level, ...]:
    backbone: Any = walk.backbone
    chains = getattr(backbone, "convolutions", [None] * len(walk.levels))
    return tuple(
        Level(
            stride,
            (int(x.shape[2]), int(x.shape[3])),
            int(x.shape[1]),
            None if chain is None else receptive_field(chain),
        )
        for stride, x, chain in zip(backbone.strides, walk.levels, chains, strict=True)
    )


def _regions_in_training(model: nn.Module, rois: int) -> int:
    model = of_images(model)
    if not isinstance(model, TwoStageDetector):
        return rois
    return max(int(getattr(stage.sampler, "count", rois)) for stage in model.roi.stages)
