"""Pixels of one image of any size to what a detector finds in it, whole or tile by tile."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from tinyscope.data.sampling import resampled
from tinyscope.detectors.looks import LeavesDuplicates, Look, LooksAgain, joined_detections
from tinyscope.detectors.video import VideoDetector, image_detector
from tinyscope.engine.machine import autocast, choose_channels_last, choose_precision
from tinyscope.engine.tiles import TileBatches, enlarged
from tinyscope.engine.views import JOINS, VIEWS
from tinyscope.errors import SettingsError
from tinyscope.ops.boxes import clip_boxes
from tinyscope.settings import PredictSettings
from tinyscope.tiling import FRAME_WINDOWS, MERGES
from tinyscope.tiling.cut import grid_windows
from tinyscope.tiling.found import in_image
from tinyscope.tiling.frames import FrameRule
from tinyscope.tiling.rule import MergeRule
from tinyscope.types import Detections, Size


@dataclass(frozen=True)
class Layout:
    """Which windows of an image are looked at, and what makes them an image again.

    Args:
        size: Of the image.
        seen: Its size by the settings' `fit` and `scale`.
        factors: From the one to the other, of x, y, x, y.
        windows: (n, 4) x1 y1 x2 y2 at that scale.
    """

    size: Size
    seen: Size
    factors: NDArray[np.float64]
    windows: NDArray[np.int64]

    def window_size(self, rows: NDArray[np.int64]) -> Size:
        """Of windows that are all of one size."""
        x1, y1, x2, y2 = self.windows[rows[0]].tolist()
        return y2 - y1, x2 - x1


class Predictor:
    """Finds objects in images, one after the other; memory does not grow with their number.

    A detector of videos takes each for a video of one frame; `VideoPredictor` joins several.

    Args:
        model: A detector, which is put in eval mode; its `strides` say what sides are padded to.
        names: The classes.
        settings: How an image is looked through.

    Raises:
        SettingsError: The rule of merging, `zooms` or `views` want what the detector cannot give.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...], settings: PredictSettings) -> None:
        self.model, self.names, self.settings = model.eval(), names, settings
        self.merge: MergeRule = MERGES.build(settings.merge, "predict.merge")
        self.frames: FrameRule = FRAME_WINDOWS.build(settings.frames, "predict.frames")
        self.looks_once = settings.zooms == (1.0,)
        self.video = model if isinstance(model, VideoDetector) else None
        self.decoder: Any = image_detector(model)
        check_looks(model, settings)
        self._join = joined_detections if self.merge.undecided else JOINS[settings.voting]
        self.floor = settings.score_threshold
        if settings.voting == "mean" and self.floor is not None:
            self.floor /= settings.views  # what one view alone sees may still be above it
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.precision = choose_precision(settings.precision, self.device)
        self.channels_last = choose_channels_last("auto", self.precision, self.device)
        self.divisor = side_divisor(model)
        uncopied = self.device.type == "cpu"  # elsewhere full batches are worth more
        self.tiles = TileBatches(settings.batch, self.divisor, views=uncopied)

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
        seen, layout = self.laid_out(image, windows)
        found: list[Detections] = []
        order = []
        for rows, tiles in self.batches(seen, layout.windows):
            found += self._detect(tiles, layout.window_size(rows))
            order.append(rows)
        return self.joined(layout, order, found)

    def laid_out(
        self, image: Tensor, windows: NDArray[np.int64] | None = None
    ) -> tuple[Tensor, Layout]:
        """The image as it is shown, and what is looked at of it; arguments as those of a call.

        Windows are of the image as it is given.
        """
        size = (int(image.shape[-2]), int(image.shape[-1]))
        seen, factors = self.scaled(image)
        seen_size = (int(seen.shape[-2]), int(seen.shape[-1]))
        if windows is None:
            windows = self.grid(seen_size)
        elif self.settings.resizes:
            windows = np.rint(windows * factors).astype(np.int64)
        return seen, Layout(size, seen_size, factors, windows)

    def joined(
        self, layout: Layout, order: Sequence[NDArray[np.int64]], found: Sequence[Detections]
    ) -> Detections:
        """What was found in all windows as detections of the image, best first.

        Args:
            layout: Of the image.
            order: Rows of its windows, batch by batch.
            found: In each of them, in that order.
        """
        together = self._merged(layout, order, found)
        best = together.scores.argsort(descending=True, stable=True)  # rules have own orders
        together = together[best]
        good = (together.scores > (self.settings.score_threshold or 0.0)).nonzero()[:, 0]
        together = together[good[: self.settings.limit]]
        boxes = together.boxes
        if self.settings.resizes:
            boxes = boxes * torch.from_numpy(1 / layout.factors).float()
        return replace(together, boxes=clip_boxes(boxes, layout.size), names=self.names)

    @property
    def stamp(self) -> dict[str, Any]:
        """The settings that decide what is found, for the stamp of a result."""
        values = self.settings.model_dump(exclude={"batch", "precision"})
        if self.looks_once:
            values["zooms"] = None
        if self.settings.views == 1:
            del values["views"], values["voting"]
        if self.video is None:
            del values["frames"]
        if self.settings.fit is None:
            del values["fit"]
        if not self.settings.resizes:
            del values["sampling"]
        if self.settings.tile_size is None:  # then they decide nothing
            values |= {"overlap": None, "tiling": None}
        return values

    def scaled(self, image: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
        """The image in the size that it is shown in, and the exact factors of its x, y, x, y."""
        height, width = int(image.shape[-2]), int(image.shape[-1])
        seen = image
        if self.settings.resizes:
            shown = self.settings.shown_size((height, width))
            seen = resampled(image, shown, self.settings.sampling)
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

    def _merged(
        self, layout: Layout, order: Sequence[NDArray[np.int64]], found: Sequence[Detections]
    ) -> Detections:
        if len(layout.windows) == 1 and not self.merge.within_windows:
            return found[0]
        seen = torch.from_numpy(layout.windows[np.concatenate(order)])
        merged: Detections = self.merge(in_image(seen, found, layout.seen))
        return merged

    def _detect(self, tiles: Tensor, size: Size) -> list[Detections]:
        """Detections in tiles of `size` before padding, each in its own frame."""
        views = VIEWS[: self.settings.views]
        if len(views) == 1:
            return self._run(tiles, size)
        found = [[view.back(f, size) for f in self._run(*view.show(tiles, size))] for view in views]
        return [self._join(of_tile) for of_tile in zip(*found, strict=True)]

    def _run(self, tiles: Tensor, size: Size) -> list[Detections]:
        with autocast(self.precision, self.device):  # second stages compute in `decode`
            return self.decoded(self.looks(tiles, size), [size] * len(tiles))

    def decoded(self, looks: Iterator[Look[Any]], sizes: Sequence[Size]) -> list[Detections]:
        """Detections in tiles of these sizes before padding, on the CPU, from looks at them."""
        if self.merge.undecided:
            found = self.decoder.decode_undecided(looks, sizes, self.floor)
        elif self.looks_once:
            found = self.decoder.decode(next(looks).outputs, sizes, self.floor)
        else:
            found = self.decoder.decode_looks(looks, sizes, self.floor)
        return [Detections(f.boxes.cpu(), f.scores.cpu(), f.labels.cpu()) for f in found]

    def looks(self, tiles: Tensor, size: Size) -> Iterator[Look[Any]]:
        """What the model says of tiles of `size` before padding, at one enlargement at a time."""
        for zoom in self.settings.zooms:
            images, seen = self.shown(tiles, size, zoom)
            sizes = [seen] * len(tiles)
            yield Look(self._outputs(images, sizes), sizes)

    def shown(self, tiles: Tensor, size: Size, zoom: float = 1.0) -> tuple[Tensor, Size]:
        """Tiles of `size` as the model sees them, where it computes, and their size then."""
        images, seen = enlarged(tiles.to(self.device), size, zoom, self.divisor)
        if self.channels_last and images.stride(1) != 1:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, seen

    def _outputs(self, images: Tensor, sizes: Sequence[Size]) -> Any:
        if self.video is None:
            return self.model(images)
        window, seen = self.frames(0, 1), self.video.see(images, sizes)
        return self.video.judge(seen, [seen] * len(window.frames), window.slot)


def check_looks(model: nn.Module, settings: PredictSettings) -> None:
    """That a detector can look through images as the settings say.

    Raises:
        SettingsError: The rule of merging, `zooms` or `views` want what the detector cannot give.
    """
    decoder = image_detector(model)
    if isinstance(model, VideoDetector):
        _refuse_looks(settings)
    merge: MergeRule = MERGES.build(settings.merge, "predict.merge")
    if merge.undecided and not isinstance(decoder, LeavesDuplicates):
        raise SettingsError(
            f"predict.merge.undecided: a {type(decoder).__name__} decides about every tile itself; "
            "leave it out"
        )
    if merge.undecided and settings.views > 1 and settings.voting == "mean":
        raise SettingsError(
            "predict.voting: got mean, but predict.merge.undecided leaves all decisions to the "
            "rule of merging; leave one of the two out"
        )
    if settings.zooms != (1.0,) and not isinstance(model, LooksAgain):
        raise SettingsError(
            f"predict.zooms: got {list(settings.zooms)}, but a {type(model).__name__} joins no "
            "looks (it has no decode_looks); leave it out, or set predict.scale"
        )


def _refuse_looks(settings: PredictSettings) -> None:
    """Of several looks at a frame, each would be joined with other frames at its own."""
    if settings.zooms != (1.0,):
        raise SettingsError(
            f"predict.zooms: got {list(settings.zooms)}, but a detector of videos looks at each "
            "frame once; leave it out, or set predict.scale"
        )
    if settings.views != 1:
        raise SettingsError(
            f"predict.views: got {settings.views}, but a detector of videos looks at each frame "
            "once; leave it out"
        )


def side_divisor(model: nn.Module) -> int:
    """What the sides of images are padded to a multiple of.

    That is the pyramid's largest stride, or more where a backbone needs it (`divisor`): an HRNet
    has a branch of stride 32 even if the pyramid ends before. Flow between frames has one as well.
    """
    needed = int(getattr(model, "divisor", 1))
    model = image_detector(model)
    needed = math.lcm(needed, int(getattr(getattr(model, "backbone", None), "divisor", 1)))
    for part in (model, getattr(model, "neck", None)):
        if strides := getattr(part, "strides", None):
            return math.lcm(needed, int(max(strides)))
    return needed
