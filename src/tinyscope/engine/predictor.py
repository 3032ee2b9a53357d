"""Pixels of one image of any size to what a detector finds in it, whole or tile by tile."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from tinyscope.data.images import BACKDROP
from tinyscope.engine.machine import autocast, choose_channels_last, choose_precision
from tinyscope.ops.boxes import clip_boxes
from tinyscope.ops.suppress import nms_per_class
from tinyscope.settings import PredictSettings
from tinyscope.tiling import MERGES
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.found import in_image
from tinyscope.types import Detections, Size


class Predictor:
    """Finds objects in images, one after the other; memory does not grow with their number.

    Args:
        model: A detector, which is put in eval mode; its `strides` say what sides are padded to.
        names: The classes.
        settings: How an image is looked through.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...], settings: PredictSettings) -> None:
        self.model, self.names, self.settings = model.eval(), names, settings
        self.merge = MERGES.build(settings.merge, "predict.merge")
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.precision = choose_precision(settings.precision, self.device)
        self.channels_last = choose_channels_last("auto", self.precision, self.device)
        self.divisor = largest_stride(model)
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._interleaved = False

    @torch.no_grad()
    def __call__(self, image: UInt8[Tensor, "3 h w"]) -> Detections:
        """Objects of the image, best first, on the CPU."""
        size = (int(image.shape[-2]), int(image.shape[-1]))
        seen = image
        if self.settings.scale != 1:
            larger = [max(1, round(side * self.settings.scale)) for side in size]
            seen = resize(image, larger, antialias=True)
        found = self._look(seen)
        good = (found.scores > self.settings.score_threshold).nonzero()[:, 0]
        found = found[good[: self.settings.limit]]
        boxes = found.boxes
        if self.settings.scale != 1:
            factors = torch.tensor([size[1] / seen.shape[-1], size[0] / seen.shape[-2]])
            boxes = boxes * factors.repeat(2)
        return replace(found, boxes=clip_boxes(boxes, size), names=self.names)

    def _look(self, image: Tensor) -> Detections:
        size = (int(image.shape[-2]), int(image.shape[-1]))
        if self.settings.tile is None:
            return self._detect(image, [(0, 0, size[1], size[0])])[0]
        windows = grid_windows(size, (self.settings.tile,) * 2, self.settings.overlap)
        found: list[Detections] = []
        for start in range(0, len(windows), self.settings.batch):
            found += self._detect(image, windows[start : start + self.settings.batch].tolist())
        if len(windows) == 1:
            return found[0]
        merged: Detections = self.merge(in_image(torch.from_numpy(windows), found, size))
        return merged

    def _detect(self, image: Tensor, windows: list[Any]) -> list[Detections]:
        """Detections in windows of one size, each in its own frame."""
        x1, y1, x2, y2 = windows[0]
        size = (y2 - y1, x2 - x1)
        tiles = self._gather(image, windows, size)
        found = self._run(tiles, [size] * len(windows))
        if not self.settings.flip:
            return found
        # The padding must stay at the right, or cells and pixels part.
        tiles[..., : size[1]] = tiles[..., : size[1]].flip(-1)
        mirrored = [_mirror(f, size[1]) for f in self._run(tiles, [size] * len(windows))]
        return [_better_of(*pair) for pair in zip(found, mirrored, strict=True)]

    def _gather(self, image: Tensor, windows: list[Any], size: Size) -> Tensor:
        """The windows' pixels side by side in a buffer that is used again for the next ones."""
        height, width = (-(-side // self.divisor) * self.divisor for side in size)
        shape = (len(windows), 3, height, width)
        # Kept in the order of the image's memory: copying then moves whole rows.
        interleaved = image.stride(0) == 1
        if tuple(self._buffer.shape) != shape or self._interleaved != interleaved:
            memory = torch.channels_last if interleaved else torch.contiguous_format
            self._buffer = torch.empty(shape, dtype=torch.uint8, memory_format=memory)
            self._interleaved = interleaved
            fill = torch.tensor(BACKDROP, dtype=torch.uint8)[:, None, None]
            self._buffer[:, :, size[0] :] = fill
            self._buffer[:, :, : size[0], size[1] :] = fill
        for place, (x1, y1, x2, y2) in zip(self._buffer, windows, strict=True):
            place[:, : size[0], : size[1]] = image[:, y1:y2, x1:x2]
        return self._buffer

    def _run(self, tiles: Tensor, sizes: list[Size]) -> list[Detections]:
        memory = torch.channels_last if self.channels_last else torch.contiguous_format
        images = tiles.to(self.device).contiguous(memory_format=memory)
        with autocast(self.precision, self.device):  # second stages compute in `decode`
            found = self.model.decode(self.model(images), sizes)  # type: ignore[operator]
        return [Detections(f.boxes.cpu(), f.scores.cpu(), f.labels.cpu()) for f in found]


def largest_stride(model: nn.Module) -> int:
    """What the sides of images are padded to a multiple of."""
    for part in (model, getattr(model, "neck", None)):
        if strides := getattr(part, "strides", None):
            return int(max(strides))
    return 1


def _mirror(found: Detections, width: int) -> Detections:
    x1, y1, x2, y2 = found.boxes.unbind(dim=1)
    return replace(found, boxes=torch.stack([width - x2, y1, width - x1, y2], dim=1))


def _better_of(one: Detections, other: Detections) -> Detections:
    boxes = torch.cat([one.boxes, other.boxes])
    scores = torch.cat([one.scores, other.scores])
    labels = torch.cat([one.labels, other.labels])
    kept = nms_per_class(boxes, scores, labels, 0.5)
    return Detections(boxes[kept], scores[kept], labels[kept])
