"""Pixels of one image of any size to what a detector finds in it, whole or tile by tile."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from tinyscope.detectors.looks import LeavesDuplicates, Look, LooksAgain
from tinyscope.engine.machine import autocast, choose_channels_last, choose_precision
from tinyscope.engine.tiles import TileBatches, enlarged
from tinyscope.errors import SettingsError
from tinyscope.ops.boxes import clip_boxes
from tinyscope.ops.suppress import nms_per_class
from tinyscope.settings import PredictSettings
from tinyscope.tiling import MERGES
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.found import in_image
from tinyscope.tiling.rule import MergeRule
from tinyscope.types import Detections, Size


class Predictor:
    """Finds objects in images, one after the other; memory does not grow with their number.

    Args:
        model: A detector, which is put in eval mode; its `strides` say what sides are padded to.
        names: The classes.
        settings: How an image is looked through.

    Raises:
        SettingsError: The rule of merging, or `zooms`, wants what the detector cannot give.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...], settings: PredictSettings) -> None:
        self.model, self.names, self.settings = model.eval(), names, settings
        self.merge: MergeRule = MERGES.build(settings.merge, "predict.merge")
        self.looks_once = settings.zooms == (1.0,)
        if self.merge.undecided and not isinstance(model, LeavesDuplicates):
            raise SettingsError(
                f"predict.merge.undecided: a {type(model).__name__} decides about every tile "
                "itself; leave it out"
            )
        if not self.looks_once and not isinstance(model, LooksAgain):
            raise SettingsError(
                f"predict.zooms: got {list(settings.zooms)}, but a {type(model).__name__} joins no "
                "looks (it has no decode_looks); leave it out, or set predict.scale"
            )
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.precision = choose_precision(settings.precision, self.device)
        self.channels_last = choose_channels_last("auto", self.precision, self.device)
        views = self.device.type == "cpu"  # elsewhere full batches are worth more
        self.divisor = side_divisor(model)
        self.tiles = TileBatches(settings.batch, self.divisor, views=views)

    @torch.no_grad()
    def __call__(
        self, image: UInt8[Tensor, "3 h w"], windows: NDArray[np.int64] | None = None
    ) -> Detections:
        """Objects of the image, best first, on the CPU.

        Args:
            image: Of any size.
            windows: (n, 4) x1 y1 x2 y2 to look at, in place of the grid that the settings say;
                right and bottom are exclusive.
        """
        size = (int(image.shape[-2]), int(image.shape[-1]))
        seen, factors = self.scaled(image)
        if windows is None:
            windows = self.grid((int(seen.shape[-2]), int(seen.shape[-1])))
        elif self.settings.scale != 1:
            windows = np.rint(windows * factors).astype(np.int64)
        found = self._look(seen, windows)
        found = found[found.scores.argsort(descending=True, stable=True)]  # rules have own orders
        good = (found.scores > (self.settings.score_threshold or 0.0)).nonzero()[:, 0]
        found = found[good[: self.settings.limit]]
        boxes = found.boxes
        if self.settings.scale != 1:
            boxes = boxes * torch.from_numpy(1 / factors).float()
        return replace(found, boxes=clip_boxes(boxes, size), names=self.names)

    @property
    def stamp(self) -> dict[str, Any]:
        """The settings that decide what is found, for the stamp of a result."""
        values = self.settings.model_dump(exclude={"batch", "precision"})
        if self.looks_once:
            values["zooms"] = None
        if self.settings.tile_size is None:  # then they decide nothing
            values |= {"overlap": None, "tiling": None}
        return values

    def scaled(self, image: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
        """The image at the settings' `scale`, and the exact factors of its x, y, x, y."""
        height, width = int(image.shape[-2]), int(image.shape[-1])
        seen = image
        if self.settings.scale != 1:
            larger = [max(1, round(side * self.settings.scale)) for side in (height, width)]
            seen = resize(image, larger, antialias=True)
        return seen, np.array([seen.shape[-1] / width, seen.shape[-2] / height] * 2)

    def grid(self, size: Size) -> NDArray[np.int64]:
        """The windows (n, 4) that an image of this size is seen through."""
        tile = self.settings.tile_size
        if tile is None:
            return grid_windows(size, size, 0)
        return grid_windows(size, tile, self.settings.overlap, self.settings.tiling)

    def batches(
        self, image: Tensor, windows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Rows of windows of one size and their pixels, padded; all windows, in turns.

        Pixels are a view of the image or of memory that the next turn uses again.
        """
        order = np.lexsort((windows[:, 0], windows[:, 1]))  # rows can be views
        sides = windows[:, 2:] - windows[:, :2]
        for side in np.unique(sides, axis=0):  # a batch holds windows of one size
            rows = order[(sides[order] == side).all(axis=1)]
            for tiles in self.tiles(image, windows[rows]):
                yield rows[: len(tiles)], tiles
                rows = rows[len(tiles) :]

    def _look(self, image: Tensor, windows: NDArray[np.int64]) -> Detections:
        size = (int(image.shape[-2]), int(image.shape[-1]))
        found: list[Detections] = []
        order = []
        for rows, tiles in self.batches(image, windows):
            x1, y1, x2, y2 = windows[rows[0]].tolist()
            found += self._detect(tiles, (y2 - y1, x2 - x1))
            order.append(rows)
        if len(windows) == 1 and not self.merge.within_windows:
            return found[0]
        seen = torch.from_numpy(windows[np.concatenate(order)])
        merged: Detections = self.merge(in_image(seen, found, size))
        return merged

    def _detect(self, tiles: Tensor, size: Size) -> list[Detections]:
        """Detections in tiles of `size` before padding, each in its own frame."""
        found = self._run(tiles, size)
        if not self.settings.flip:
            return found
        # The padding must stay at the right, or cells and pixels part.
        turned = torch.cat([tiles[..., : size[1]].flip(-1), tiles[..., size[1] :]], dim=-1)
        mirrored = [_mirror(f, size[1]) for f in self._run(turned, size)]
        join = _both if self.merge.undecided else _better_of
        return [join(*pair) for pair in zip(found, mirrored, strict=True)]

    def _run(self, tiles: Tensor, size: Size) -> list[Detections]:
        model: Any = self.model
        sizes, floor = [size] * len(tiles), self.settings.score_threshold
        with autocast(self.precision, self.device):  # second stages compute in `decode`
            looks = self.looks(tiles, size)
            if self.merge.undecided:
                found = model.decode_undecided(looks, sizes, floor)
            elif self.looks_once:
                found = model.decode(next(looks).outputs, sizes, floor)
            else:
                found = model.decode_looks(looks, sizes, floor)
        return [Detections(f.boxes.cpu(), f.scores.cpu(), f.labels.cpu()) for f in found]

    def looks(self, tiles: Tensor, size: Size) -> Iterator[Look[Any]]:
        """What the model says of tiles of `size` before padding, at one enlargement at a time."""
        tiles = tiles.to(self.device)
        for zoom in self.settings.zooms:
            images, seen = enlarged(tiles, size, zoom, self.divisor)
            if self.channels_last and images.stride(1) != 1:
                images = images.contiguous(memory_format=torch.channels_last)
            yield Look(self.model(images), [seen] * len(tiles))


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


def _both(one: Detections, other: Detections) -> Detections:
    return Detections(
        torch.cat([one.boxes, other.boxes]),
        torch.cat([one.scores, other.scores]),
        torch.cat([one.labels, other.labels]),
    )


def _better_of(one: Detections, other: Detections) -> Detections:
    both = _both(one, other)
    return both[nms_per_class(both.boxes, both.scores, both.labels, 0.5)]
