"""What the attention of a pyramid sees in an image: its strength in and beside boxes, in pictures.

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
        ignored: (m, 4) of its regions that count as neither inside nor outside of objects.
        levels: Number of maps.
    """

    def __init__(self, size: Size, boxes: Tensor, ignored: Tensor, levels: int) -> None:
        self.size, self.boxes, self.ignored = size, boxes, ignored
        shrink = min(1.0, PANEL / max(size))
        self.shown = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
        self.picture = torch.zeros(levels, *self.shown)
        self.largest = torch.zeros(levels)
        self._sums = torch.zeros(2, levels, dtype=torch.float64)  # inside, outside
        self._counts = torch.zeros(2, dtype=torch.float64)

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
        seen = torch.stack([g.at(rows - y1, columns - x1) for g in glances]).mean(dim=0)
        self._paint(seen, rows, columns)
        self.largest = self.largest.maximum(seen.amax(dim=(1, 2)))
        place = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        inside = covered_pixels(self.boxes, place)
        outside = ~inside & ~covered_pixels(self.ignored, place)
        for i, mask in enumerate((inside, outside)):
            self._sums[i] += (seen * mask).sum(dim=(1, 2), dtype=torch.float64)
            self._counts[i] += mask.sum()

    @property
    def sums(self) -> "Strength":
        """How strong it is in and beside boxes."""
        return Strength(self._sums, self._counts)

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
    """Sums of attention over pixels in and outside of objects, by level, and how many pixels."""

    sums: Float[Tensor, "2 l"]
    counts: Float[Tensor, "2"]

    def __add__(self, other: "Strength") -> "Strength":
        return Strength(self.sums + other.sums, self.counts + other.counts)

    @property
    def inside(self) -> list[float | None]:
        """Means by level; None where no pixel is inside."""
        return self._means(0)

    @property
    def outside(self) -> list[float | None]:
        return self._means(1)

    def _means(self, which: int) -> list[float | None]:
        count = float(self.counts[which])
        values: list[float] = self.sums[which].tolist()
        return [value / count if count else None for value in values]


@dataclass(frozen=True)
class AttentionRow:
    """One image; means by level, None where there is nothing to take them of."""

    file: str
    picture: str
    inside: list[float | None]
    outside: list[float | None]
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
        names = ["inside boxes", "outside", "ratio"] if self.truth else ["mean"]
        lines = [["stride", *names, "largest"]]
        for i, stride in enumerate(self.strides):
            inside, outside = self.total.inside[i], self.total.outside[i]
            cells = [_text(outside)]
            if self.truth:
                ratio = inside / outside if inside is not None and outside else None
                cells = [_text(inside), *cells, "-" if ratio is None else f"{ratio:.1f}"]
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
                "inside": self.total.inside if self.truth else None,
                "outside": self.total.outside,
                "images": [
                    {
                        "file": row.file,
                        "picture": row.picture,
                        "inside": row.inside if self.truth else None,
                        "outside": row.outside,
                        "largest": row.largest,
                    }
                    for row in self.rows
                ],
                "failed": self.failed,
            },
            indent=2,
        )


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
