"""What a detector is shown of a data set, as batches of targets: no pixel is needed for them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from tinyscope.data.blank import BlankImages
from tinyscope.data.cut import CutRule, Frame
from tinyscope.data.images import ImageCache
from tinyscope.data.pixels import pixels
from tinyscope.data.randomness import Purpose, stream
from tinyscope.data.resize import resized_target, scaled_size
from tinyscope.data.sampling import resampled
from tinyscope.data.training_set import TrainingSet, target_of, with_sizes
from tinyscope.formats.tables import Annotations
from tinyscope.settings import PredictSettings
from tinyscope.tiling.cut import grid_windows
from tinyscope.types import Dropped, Size, Target


@dataclass(frozen=True)
class View:
    """A window or a tile: what is to be found in it, in its own pixels, and where it is from.

    `number` counts from 0; `image` and `frame` say which part of the data set a tile is.
    """

    number: int
    target: Target
    size: Size
    file: str
    dropped: Dropped = field(default_factory=Dropped)
    image: int = 0
    frame: Frame = (0, 0, 0, 0)


@runtime_checkable
class Views(Protocol):
    """Batches of views, and on request the pixels of one."""

    @property
    def title(self) -> str: ...

    def __iter__(self) -> Iterator[list[View]]: ...

    def show(self, view: View) -> UInt8[Tensor, "3 h w"]: ...


class TrainingViews:
    """The windows that a training begins with, changed by its transforms, in its batches.

    Args:
        samples: Of the training; it reads no image any more, and `show` reads on its own.
        count: Windows; None means an epoch, but no more than `limit`.
        batch: Windows that are padded to one size.
        limit: See `count`.
    """

    def __init__(self, samples: TrainingSet, count: int | None, batch: int, limit: int) -> None:
        self.samples, self.batch = samples, batch
        self.count = min(len(samples), limit) if count is None else count
        self._blank, self._read = BlankImages(), ImageCache()

    @property
    def title(self) -> str:
        return f"{self.count} training windows (an epoch has {len(self.samples)})"

    def __iter__(self) -> Iterator[list[View]]:
        self.samples.read = self._blank
        for start in range(0, self.count, self.batch):
            yield [self._view(n) for n in range(start, min(start + self.batch, self.count))]

    def _view(self, number: int) -> View:
        sample = self.samples[number]
        return View(number, sample.target, sample.size, sample.file, sample.dropped)

    def show(self, view: View) -> UInt8[Tensor, "3 h w"]:
        """Its pixels, transforms included.

        Raises:
            DataError: The image cannot be read.
        """
        self.samples.read = self._read
        image = self.samples[view.number].image
        self.samples.read = self._blank
        return image


class PredictionViews:
    """Tiles of images as prediction cuts them: scaled, in a grid, and at every zoom.

    They come in an order drawn from the seed, so that the first ones stand for the whole.

    Args:
        annotations: The data set.
        settings: How images are looked through.
        rule: What becomes of objects that tiles cut.
        seed: Of the order.
        count: Tiles; None means all, but no more than `limit`.
        limit: See `count`.
    """

    def __init__(
        self,
        annotations: Annotations,
        settings: PredictSettings,
        rule: CutRule,
        seed: int,
        count: int | None,
        limit: int,
    ) -> None:
        self.annotations, self.settings, self.rule = with_sizes(annotations), settings, rule
        self._firsts = np.concatenate([[0], np.cumsum(self._counts())])
        self.total = int(self._firsts[-1])
        self._order = stream(seed, Purpose.ORDER, 0).permutation(self.total)
        self.count = min(self.total, limit if count is None else count)
        self._read = ImageCache()

    @property
    def title(self) -> str:
        kind = "images" if self.settings.tile_size is None else "tiles"
        return f"{self.count} of {self.total} {kind} as prediction shows them"

    def __iter__(self) -> Iterator[list[View]]:
        # One by one: no rule looks at how prediction puts tiles together.
        for number in range(self.count):
            yield [self._view(number, int(self._order[number]))]

    def _view(self, number: int, place: int) -> View:
        """View `number`, at a place among those of all images in their order."""
        image = int(np.searchsorted(self._firsts, place, side="right")) - 1
        row, zoom = divmod(place - int(self._firsts[image]), len(self.settings.zooms))
        target, dropped = target_of(self.annotations, image)
        size, seen = self._sizes(image)
        target, shrunk = resized_target(target, size, seen, self.rule.min_side)
        x1, y1, x2, y2 = self._grid(seen)[row].tolist()
        part, cut = self.rule(target, (x1, y1, x2, y2))
        tile = (y2 - y1, x2 - x1)
        shown = scaled_size(tile, self.settings.zooms[zoom])
        there, smaller = resized_target(part, tile, shown, self.rule.min_side)
        # What a whole image loses counts with one of its tiles.
        lost = cut + smaller if row or zoom else dropped + shrunk + cut + smaller
        file = str(self.annotations.path(image))
        return View(number, there, shown, file, lost, image, (x1, y1, x2, y2))

    def show(self, view: View) -> UInt8[Tensor, "3 h w"]:
        """Its pixels.

        Raises:
            DataError: The image cannot be read.
        """
        image = pixels(self.annotations, view.image, self._read)
        size, seen = self._sizes(view.image)
        if seen != size:
            image = resampled(image, seen, self.settings.sampling)
        x1, y1, x2, y2 = view.frame
        tile = image[:, y1:y2, x1:x2]
        if (y2 - y1, x2 - x1) == view.size:
            return tile
        enlarged: Tensor = resize(tile, list(view.size), antialias=True)
        return enlarged

    def _sizes(self, image: int) -> tuple[Size, Size]:
        """Of an image, and of it as it is cut."""
        height, width = self.annotations.sizes[image].tolist()
        return (height, width), self.settings.shown_size((height, width))

    def _grid(self, size: Size) -> NDArray[np.int64]:
        tile = self.settings.tile_size
        if tile is None:
            return grid_windows(size, size, 0)
        return grid_windows(size, tile, self.settings.overlap, self.settings.tiling)

    def _counts(self) -> NDArray[np.int64]:
        """Views of every image."""
        _, first, same = np.unique(
            self.annotations.sizes, axis=0, return_index=True, return_inverse=True
        )
        tiles = [len(self._grid(self._sizes(image)[1])) for image in first.tolist()]
        return np.array(tiles, dtype=np.int64)[same.ravel()] * len(self.settings.zooms)
