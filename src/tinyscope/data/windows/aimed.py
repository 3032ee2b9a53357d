"""Random windows, most of them aimed at objects, so that rare ones are seen too."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyscope.data.checks import check_share, sides_of
from tinyscope.data.cut import Cut, CutRule, Frame
from tinyscope.data.randomness import Purpose, stream
from tinyscope.data.resize import scaled_size
from tinyscope.data.windows.aim import aimed_frame, free_frame
from tinyscope.data.windows.lures import Lures, find_lures
from tinyscope.data.windows.objects import centers, image_of_rows
from tinyscope.data.windows.window import Window
from tinyscope.formats.tables import Annotations
from tinyscope.types import Size


@dataclass(frozen=True)
class RandomWindows:
    """Shows windows of random places at random scales, another one at every position.

    An aimed window holds an object at a random place in it, a lured one what looks like an object
    and is none, each lure being as likely as any other. A free one lies anywhere, and an image is
    as likely as the number of windows that would cover it.

    Args:
        size: Side of a window in pixels, as shown, or its (height, width).
        scale: Range of factors, drawn evenly on a log scale; the window is cut at size / factor
            and resized, so 2 shows objects twice as large. Small images are shown whole.
        per_image: Windows per image in an epoch.
        aimed: Share of the windows that are aimed at an object.
        keep_empty: Share of the free windows without the center of an object that stay;
            the others are replaced by aimed ones.
        lures: Share of the windows not aimed at an object that are lured (`find_lures`); every
            image is read for it when the windows are laid. Without objects none are.
        spread: 1 aims at every place that holds objects alike, however many they are there,
            so that each object is shown about equally often; 0 aims at every object alike,
            so that crowds fill most windows.
        balance: 0 aims at classes as often as they occur, 1 at all classes alike.
        cut, min_visible, min_side: See `CutRule`.
    """

    size: int | tuple[int, int] = 512
    scale: tuple[float, float] = (1.0, 1.0)
    per_image: float = 4.0
    aimed: float = 0.75
    keep_empty: float = 1.0
    lures: float = 0.0
    spread: float = 1.0
    balance: float = 0.0
    cut: Cut = "clip"
    min_visible: float | None = None
    min_side: float = 1.0

    def __post_init__(self) -> None:
        sides_of(self.size)
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be (smallest, largest), both positive, got {self.scale}")
        if self.per_image <= 0:
            raise ValueError(f"per_image must be positive, got {self.per_image}")
        for name in ("aimed", "keep_empty", "lures", "spread", "balance"):
            check_share(name, getattr(self, name))
        _ = self.rule

    @property
    def rule(self) -> CutRule:
        return CutRule(self.cut, self.min_visible, self.min_side)

    def __call__(self, annotations: Annotations, seed: int) -> "RandomPlan":
        sizes = annotations.sizes.astype(np.float64)
        tile = sides_of(self.size)
        cover = np.ceil(sizes / tile).prod(axis=1)
        rows = np.flatnonzero(~annotations.ignore)
        side = round(math.sqrt(tile[0] * tile[1]))
        weights = object_weights(annotations, rows, side, self.spread, self.balance)
        return RandomPlan(
            self,
            annotations,
            seed,
            rows,
            np.cumsum(weights),
            image_of_rows(annotations)[rows],
            np.cumsum(cover),
            self._lures(annotations),
        )

    def _lures(self, annotations: Annotations) -> Lures | None:
        if not self.lures or self.aimed == 1 or annotations.ignore.all():
            return None
        return find_lures(annotations)


@dataclass(frozen=True)
class RandomPlan:
    """The window of every position, drawn when it is asked for."""

    options: RandomWindows
    annotations: Annotations
    seed: int
    rows: NDArray[np.int64]
    row_weights: NDArray[np.float64]  # summed up to each of `rows`
    row_images: NDArray[np.int64]
    image_weights: NDArray[np.float64]  # summed up to each image
    lures: Lures | None

    def __len__(self) -> int:
        return max(1, round(self.options.per_image * len(self.annotations)))

    def __getitem__(self, position: int) -> Window:
        random = stream(self.seed, Purpose.WINDOW, position)
        low, high = self.options.scale
        factor = math.exp(random.uniform(math.log(low), math.log(high)))
        limit = sides_of(self.options.size)
        tile = max(1, round(limit[0] / factor)), max(1, round(limit[1] / factor))
        image, frame = self._place(random, tile)
        height, width = scaled_size((frame[3] - frame[1], frame[2] - frame[0]), factor)
        return Window(image, frame, (min(limit[0], height), min(limit[1], width)))

    def _place(self, random: np.random.Generator, tile: Size) -> tuple[int, Frame]:
        if not len(self.rows):
            return self._free(random, tile)
        if random.random() < self.options.aimed:
            return self._aimed(random, tile)
        if self.lures is not None and random.random() < self.options.lures:
            return self._lured(random, tile, self.lures)
        image, frame = self._free(random, tile)
        if random.random() < self.options.keep_empty or self._holds_object(image, frame):
            return image, frame
        return self._aimed(random, tile)

    def _aimed(self, random: np.random.Generator, tile: Size) -> tuple[int, Frame]:
        drawn = _draw(random, self.row_weights)
        image = int(self.row_images[drawn])
        box = self.annotations.boxes[self.rows[drawn]]
        return image, aimed_frame(random, box, tile, self._size(image))

    def _lured(self, random: np.random.Generator, tile: Size, lures: Lures) -> tuple[int, Frame]:
        drawn = int(random.integers(len(lures)))
        image = int(lures.images[drawn])
        return image, aimed_frame(random, lures.boxes[drawn], tile, self._size(image))

    def _free(self, random: np.random.Generator, tile: Size) -> tuple[int, Frame]:
        image = _draw(random, self.image_weights)
        return image, free_frame(random, tile, self._size(image))

    def _size(self, image: int) -> tuple[int, int]:
        height, width = self.annotations.sizes[image]
        return int(height), int(width)

    def _holds_object(self, image: int, frame: Frame) -> bool:
        rows = self.annotations.rows(image)
        points = centers(self.annotations.boxes[rows][~self.annotations.ignore[rows]])
        return bool(((points >= frame[:2]) & (points < frame[2:])).all(axis=1).any())


def object_weights(
    annotations: Annotations,
    rows: NDArray[np.int64],
    side: int,
    spread: float,
    balance: float,
) -> NDArray[np.float64]:
    """How likely each object is aimed at, relative to the others.

    Args:
        annotations: Boxes and labels of the data set.
        rows: The objects among its rows.
        side: Of the cells in which neighbors are counted, in pixels.
        spread: Exponent by which neighbors in the same cell share the weight of one.
        balance: Exponent by which frequent classes are held down.
    """
    columns, lines = (centers(annotations.boxes[rows]).T // side).astype(np.int64)
    columns, lines = columns - columns.min(initial=0), lines - lines.min(initial=0)
    # One number per cell of an image: sorting numbers is many times faster than sorting rows.
    keys = image_of_rows(annotations)[rows] * (lines.max(initial=0) + 1) + lines
    keys = keys * (columns.max(initial=0) + 1) + columns
    _, cell, count = np.unique(keys, return_inverse=True, return_counts=True)
    weights = count[cell].astype(np.float64) ** -spread
    labels = annotations.labels[rows]
    totals = np.bincount(labels, weights, minlength=1)
    result: NDArray[np.float64] = weights * totals[labels] ** -balance
    return result


def _draw(random: np.random.Generator, summed: NDArray[np.float64]) -> int:
    drawn = np.searchsorted(summed, random.random() * summed[-1], side="right")
    return min(int(drawn), len(summed) - 1)
