"""What the attention of a pyramid sees in an image: how strong it is in objects, in pictures.

A level is taught to see objects of its own size and to be silent elsewhere, so objects of other
sizes are told apart from these. The size is that which the network was shown.

Windows are given one after the other; each answers for its core, so that every pixel is counted
once and the seams are not seen. Memory holds one window's maps and a picture of bounded size.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from tinyscope.evaluation.table import aligned
from tinyscope.nn.necks.attention_targets import is_of_level
from tinyscope.types import Size

PANEL = 800
"""Pixels that the longer side of one level's picture may have."""


@dataclass(frozen=True)
class Glance:
    """Attention of one window, seen enlarged by `zoom` (vertical, horizontal); levels (h_i, w_i).

    Cells of level i are `strides[i]` pixels of what was seen; those in the padding may be there.
    """

    maps: Sequence[Tensor]
    strides: Sequence[int]
    zoom: tuple[float, float]

    def at(self, rows: Float[Tensor, "r"], columns: Float[Tensor, "c"]) -> Float32[Tensor, "l r c"]:
        """The attention of every level at points of the window, pixels."""
        found = []
        for values, stride in zip(self.maps, self.strides, strict=True):
            y, x = (
                (points * zoom / stride).long().clamp(max=cells - 1)
                for points, zoom, cells in zip(
                    (rows, columns), self.zoom, values.shape, strict=True
                )
            )
            found.append(values.float()[y[:, None], x])
        return torch.stack(found)


class AttentionOfImage:
    """Collects the attention of one image window by window.

    Args:
        size: Of the image, in the frame of the windows.
        boxes: (n, 4) of its objects in that frame.
        ignored: (m, 4) of its regions, which count as nothing but where objects lie in them.
        levels: Number of maps.
    """

    def __init__(self, size: Size, boxes: Tensor, ignored: Tensor, levels: int) -> None:
        self.size, self.boxes, self.ignored = size, boxes, ignored
        shrink = min(1.0, PANEL / max(size))
        self.shown = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
        self.picture = torch.zeros(levels, *self.shown)
        self.largest = torch.zeros(levels)
        self.strength = Strength.of_nothing(levels)

    def add(
        self,
        window: Sequence[int],
        low: Float[Tensor, "2"],
        high: Float[Tensor, "2"],
        glances: Sequence[Glance],
    ) -> None:
        """What one window shows, on average of its glances.

        Args:
            window: x1 y1 x2 y2.
            low: (x, y) where its core begins, perhaps before the image.
            high: (x, y) where it ends, perhaps behind.
            glances: At one enlargement each.
        """
        x1, y1, x2, y2 = window
        rows, columns = _points(y1, y2, low[1], high[1]), _points(x1, x2, low[0], high[0])
        if not len(rows) or not len(columns):
            return
        looks = [glance.at(rows - y1, columns - x1) for glance in glances]
        seen = torch.stack(looks).mean(dim=0)
        self._paint(seen, rows, columns)
        self.largest = self.largest.maximum(seen.amax(dim=(1, 2)))
        place = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        inside = covered_pixels(self.boxes, place)
        outside = ~inside & ~covered_pixels(self.ignored, place)
        for glance, values in zip(glances, looks, strict=True):
            own = self._own(glance.zoom, place)
            masks = (own, inside & ~own, outside.expand_as(own))
            self.strength += Strength(
                torch.stack([(values * m).sum(dim=(1, 2), dtype=torch.float64) for m in masks]),
                torch.stack([m.sum(dim=(1, 2)).double() for m in masks]),
            )

    def _own(
        self, zoom: tuple[float, float], place: tuple[int, int, int, int]
    ) -> Bool[Tensor, "l r c"]:
        """Pixels of objects that have the size of each level in a look enlarged by `zoom`."""
        factors = torch.tensor([zoom[1], zoom[0]])
        low, high = (self.boxes[:, :2] * factors).floor(), (self.boxes[:, 2:] * factors).ceil()
        areas, levels = (high - low).clamp(min=0).prod(dim=1), len(self.largest)
        of_levels = (is_of_level(areas, level, levels) for level in range(levels))
        return torch.stack([covered_pixels(self.boxes[x], place) for x in of_levels])

    def _paint(self, seen: Tensor, rows: Tensor, columns: Tensor) -> None:
        """The largest value of what falls into a pixel of the picture: objects are tiny."""
        y, x = (
            (points * shown / whole).long()
            for points, shown, whole in zip((rows, columns), self.shown, self.size, strict=True)
        )
        pixels = (y[:, None] * self.shown[1] + x).flatten()
        flat = self.picture.view(len(seen), -1)
        flat.scatter_reduce_(1, pixels.expand(len(seen), -1), seen.flatten(1), "amax")


@dataclass(frozen=True)
class Strength:
    """Sums of attention over pixels of three kinds, by level, and how many pixels these are.

    The kinds are objects of the level's own size, other objects, and what lies outside of all. A
    pixel that both kinds of objects have is of the first; every look counts its pixels.
    """

    sums: Float[Tensor, "3 l"]
    counts: Float[Tensor, "3 l"]

    @classmethod
    def of_nothing(cls, levels: int) -> "Strength":
        return cls(*torch.zeros(2, 3, levels, dtype=torch.float64))

    def __add__(self, more: "Strength") -> "Strength":
        return Strength(self.sums + more.sums, self.counts + more.counts)

    @property
    def own(self) -> list[float | None]:
        """Means by level in objects of its size; None where there are none."""
        return self._means(0)

    @property
    def other(self) -> list[float | None]:
        """The same in objects of other sizes."""
        return self._means(1)

    @property
    def outside(self) -> list[float | None]:
        """The same outside of all objects."""
        return self._means(2)

    def _means(self, kind: int) -> list[float | None]:
        pairs = zip(self.sums[kind].tolist(), self.counts[kind].tolist(), strict=True)
        return [total / count if count else None for total, count in pairs]


@dataclass(frozen=True)
class AttentionRow:
    """One image, its picture, and the largest value of each level."""

    file: str
    picture: str
    strength: Strength
    largest: list[float]


@dataclass(frozen=True)
class AttentionReport:
    """Attention of every image and of all; `truth` says whether objects were known.

    Without it everything is outside. `failed` are messages of images that could not be read.
    """

    strides: tuple[int, ...]
    rows: tuple[AttentionRow, ...]
    total: Strength
    truth: bool
    failed: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """For a terminal: a line per level."""
        names = ["own size", "other size", "outside", "own/outside"] if self.truth else ["mean"]
        lines = [["stride", *names, "largest"]]
        for i, stride in enumerate(self.strides):
            outside = self.total.outside[i]
            cells = [_text(outside)]
            if self.truth:
                own = self.total.own[i]
                ratio = own / outside if own is not None and outside else None
                shown = "-" if ratio is None else f"{ratio:.1f}"
                cells = [_text(own), _text(self.total.other[i]), *cells, shown]
            largest = max((row.largest[i] for row in self.rows), default=None)
            lines.append([str(stride), *cells, _text(largest)])
        text = f"{len(self.rows)} images\n\n{aligned(lines)}"
        if self.failed:
            text += f"\n\n{len(self.failed)} images could not be read:"
            text += "".join(f"\n  {message}" for message in self.failed)
        return text

    def to_json(self) -> str:
        """The same for a program, image by image; lists fine to coarse."""
        return json.dumps(
            {
                "strides": self.strides,
                **self._means(self.total),
                "images": [
                    {
                        "file": row.file,
                        "picture": row.picture,
                        **self._means(row.strength),
                        "largest": row.largest,
                    }
                    for row in self.rows
                ],
                "failed": self.failed,
            },
            indent=2,
        )

    def _means(self, strength: Strength) -> dict[str, list[float | None] | None]:
        return {
            "own_size": strength.own if self.truth else None,
            "other_size": strength.other if self.truth else None,
            "outside": strength.outside,
        }


def covered_pixels(
    boxes: Float[Tensor, "n 4"], place: tuple[int, int, int, int]
) -> Bool[Tensor, "h w"]:
    """Which pixels of the rows y1 to y2 and the columns x1 to x2 (`place`) boxes touch."""
    y1, y2, x1, x2 = place
    low, high = boxes[:, :2].floor(), boxes[:, 2:].ceil()
    edges = torch.cat([low, high], dim=1).long() - torch.tensor([x1, y1, x1, y1])
    edges = edges.clamp(min=0).minimum(torch.tensor([x2 - x1, y2 - y1] * 2))
    # Corners of all boxes, summed along both axes, count the boxes at every pixel.
    counts = torch.zeros(y2 - y1 + 1, x2 - x1 + 1, dtype=torch.int32)
    one = torch.ones(len(boxes), dtype=torch.int32)
    left, top, right, bottom = edges.unbind(dim=1)
    for y, x, sign in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
        counts.index_put_((y, x), sign * one, accumulate=True)
    return counts.cumsum(0).cumsum(1)[:-1, :-1] > 0


def _points(start: int, end: int, low: Tensor, high: Tensor) -> Float[Tensor, "n"]:
    """Centers of the pixels of one axis that a core has."""
    points = torch.arange(start, end, dtype=torch.float64) + 0.5
    return points[(points >= low) & (points < high)]


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
