"""Pixels of one image of any size to what a detector finds in it, whole or tile by tile."""

import math
from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from tinyscope.engine.machine import autocast, choose_channels_last, choose_precision
from tinyscope.engine.tiles import TileBatches
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
        views = self.device.type == "cpu"  # elsewhere full batches are worth more
        self.tiles = TileBatches(settings.batch, side_divisor(model), views=views)

    @torch.no_grad()
    def __call__(self, image: UInt8[Tensor, "3 h w"]) -> Detections:
        """Objects of the image, best first, on the CPU."""
        size = (int(image.shape[-2]), int(image.shape[-1]))
        seen = image
        if self.settings.scale != 1:
            larger = [max(1, round(side * self.settings.scale)) for side in size]
            seen = resize(image, larger, antialias=True)
        found = self._look(seen)
        good = (found.scores > (self.settings.score_threshold or 0.0)).nonzero()[:, 0]
        found = found[good[: self.settings.limit]]
        boxes = found.boxes
        if self.settings.scale != 1:
            factors = torch.tensor([size[1] / seen.shape[-1], size[0] / seen.shape[-2]])
            boxes = boxes * factors.repeat(2)
        return replace(found, boxes=clip_boxes(boxes, size), names=self.names)

    def _look(self, image: Tensor) -> Detections:
        size = (int(image.shape[-2]), int(image.shape[-1]))
        tile = (self.settings.tile,) * 2 if self.settings.tile else size
        windows = grid_windows(size, tile, self.settings.overlap if self.settings.tile else 0)
        x1, y1, x2, y2 = windows[0].tolist()
        found: list[Detections] = []
        for tiles in self.tiles(image, windows):
            found += self._detect(tiles, (y2 - y1, x2 - x1))
        if len(windows) == 1:
            return found[0]
        merged: Detections = self.merge(in_image(torch.from_numpy(windows), found, size))
        return merged

    def _detect(self, tiles: Tensor, size: Size) -> list[Detections]:
        """Detections in tiles of `size` before padding, each in its own frame."""
        found = self._run(tiles, size)
        if not self.settings.flip:
            return found
        # The padding must stay at the right, or cells and pixels part.
        turned = torch.cat([tiles[..., : size[1]].flip(-1), tiles[..., size[1] :]], dim=-1)
        mirrored = [_mirror(f, size[1]) for f in self._run(turned, size)]
        return [_better_of(*pair) for pair in zip(found, mirrored, strict=True)]

    def _run(self, tiles: Tensor, size: Size) -> list[Detections]:
        images = tiles.to(self.device)
        if self.channels_last and images.stride(1) != 1:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.precision, self.device):  # second stages compute in `decode`
            outputs = self.model(images)
            found = self.model.decode(  # type: ignore[operator]
                outputs, [size] * len(tiles), self.settings.score_threshold
            )
        return [Detections(f.boxes.cpu(), f.scores.cpu(), f.labels.cpu()) for f in found]


def side_divisor(model: nn.Module) -> int:
    """What the sides of images are padded to a multiple of.

    That is the pyramid's largest stride, or more where a backbone needs it (`divisor`): an HRNet
    has a branch of stride 32 even if the pyramid ends before.
    """
    needed = int(getattr(getattr(model, "backbone", None), "divisor", 1))
    for part in (model, getattr(model, "neck", None)):
        if strides := getattr(part, "strides", None):
            return math.lcm(needed, int(max(strides)))
    return needed


def _mirror(found: Detections, width: int) -> Detections:
    x1, y1, x2, y2 = found.boxes.unbind(dim=1)
    return replace(found, boxes=torch.stack([width - x2, y1, width - x1, y2], dim=1))


def _better_of(one: Detections, other: Detections) -> Detections:
    boxes = torch.cat([one.boxes, other.boxes])
    scores = torch.cat([one.scores, other.scores])
    labels = torch.cat([one.labels, other.labels])
    kept = nms_per_class(boxes, scores, labels, 0.5)
    return Detections(boxes[kept], scores[kept], labels[kept])
