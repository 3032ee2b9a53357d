"""What attention maps are to show: where objects are whose size is that of the level.

Hong et al. 2021, arXiv:2107.01548; as its published code paints and shrinks them. That code paints
a canvas of the image's size and shrinks it without smoothing, by which a cell becomes the mean of
four pixels in its middle. Only those pixels are looked at here.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from tinyscope.types import Size

Painting = Literal["hard", "soft", "soft_asymmetric"]
"""Objects of a level's size paint 1 ("hard", where others paint -1) or how central a pixel is
("soft", where others paint nothing). "soft_asymmetric" gives their last row and column 0."""

PIXELS = 1 << 22
"""Painted pixels held at once; more boxes are taken in turns."""


class _Samples(NamedTuple):
    """Pixels of one axis that the cells of a map are made from, two for each, and their shares."""

    pixels: Int64[Tensor, "s"]
    shares: Float32[Tensor, "s"]


class _Rectangles(NamedTuple):
    """Whole pixels that boxes paint: x1 y1 x2 y2, right and bottom exclusive."""

    edges: Int64[Tensor, "n 4"]
    images: Int64[Tensor, "n"]

    @property
    def areas(self) -> Int64[Tensor, "n"]:
        wide, high = (self.edges[:, 2:] - self.edges[:, :2]).clamp(min=0).unbind(dim=1)
        return wide * high


def is_of_level(areas: Tensor, level: int, levels: int = 4) -> Bool[Tensor, "n"]:
    """Whether objects of these areas (pixels) have the size of a level, 0 the finest.

    Sides (roots of the areas) lie between stride and 8 strides, 4 being the finest stride; the
    first level has those below too, the last those above. Both ends are exclusive, so that a side
    of 4 belongs to no level.
    """
    low, high = 4 ** (level + 2), 4 ** (level + 5)
    of_level: Tensor = areas != low if level == 0 else areas > low
    return of_level if level == levels - 1 else of_level & (areas < high)


def attention_targets(
    boxes: Sequence[Float[Tensor, "_ 4"]], canvas: Size, sizes: Sequence[Size], painting: Painting
) -> list[Float32[Tensor, "b h w"]]:
    """The map of every level, values in [-1, 1].

    Args:
        boxes: Of each image, xyxy in pixels; later ones are painted over earlier ones.
        canvas: Of the images with their padding. Its last row and column are never painted.
        sizes: Of the maps, cells, fine to coarse.
        painting: What objects paint.
    """
    rectangles = _rectangles(boxes, canvas)
    areas = rectangles.areas
    maps = []
    for level, size in enumerate(sizes):
        rows, columns = _samples(canvas[0], size[0]), _samples(canvas[1], size[1])
        rows, columns = (_to(s, rectangles.edges.device) for s in (rows, columns))
        wanted = is_of_level(areas, level, len(sizes))
        painted = rectangles
        if painting != "hard":
            painted = _Rectangles(rectangles.edges[wanted], rectangles.images[wanted])
        winner = _last_to_paint(painted, rows.pixels, columns.pixels, len(boxes))
        if painting == "hard":
            values = torch.where(wanted, 1.0, -1.0)
            seen = _taken(values, winner)
        else:
            seen = _centrality(painted.edges, winner, rows.pixels, columns.pixels, painting)
        maps.append(_shrunk(seen, rows, columns))
    return maps


def covered(
    boxes: Sequence[Float[Tensor, "_ 4"]], canvas: Size, sizes: Sequence[Size]
) -> list[Bool[Tensor, "b h w"]]:
    """For every level, the cells of which boxes cover any of the pixels that make them.

    Args:
        boxes: Of each image, xyxy in pixels.
        canvas: As of `attention_targets`.
        sizes: Of the maps, cells.
    """
    rectangles = _rectangles(boxes, canvas)
    maps = []
    for size in sizes:
        rows, columns = _samples(canvas[0], size[0]), _samples(canvas[1], size[1])
        rows, columns = (_to(s, rectangles.edges.device) for s in (rows, columns))
        winner = _last_to_paint(rectangles, rows.pixels, columns.pixels, len(boxes))
        maps.append(_by_cell(winner >= 0).any(dim=4).any(dim=2))
    return maps


def _rectangles(boxes: Sequence[Tensor], canvas: Size) -> _Rectangles:
    """Boxes of all images one after the other, rounded outwards."""
    joined = torch.cat([*boxes])
    counts = torch.tensor([len(b) for b in boxes], device=joined.device)
    images = torch.arange(len(boxes), device=joined.device).repeat_interleave(counts)
    limits = joined.new_tensor([canvas[1], canvas[0]])
    low = joined[:, :2].clamp(min=0).minimum(limits).floor()
    high = joined[:, 2:].ceil().clamp(min=0).minimum(limits - 1)
    return _Rectangles(torch.cat([low, high], dim=1).long(), images)


def _samples(length: int, cells: int) -> _Samples:
    """What bilinear shrinking with half-pixel centers and no smoothing looks at, in order."""
    place = (torch.arange(cells, dtype=torch.float64) + 0.5) * length / cells - 0.5
    place = place.clamp(min=0)
    first = place.floor().long()
    share = place - first
    pixels = torch.stack([first, (first + 1).clamp(max=length - 1)], dim=1).flatten()
    return _Samples(pixels, torch.stack([1 - share, share], dim=1).flatten().float())


def _to(samples: _Samples, device: torch.device) -> _Samples:
    return _Samples(samples.pixels.to(device), samples.shares.to(device))


def _last_to_paint(
    rectangles: _Rectangles, rows: Tensor, columns: Tensor, images: int
) -> Int64[Tensor, "b r c"]:
    """The last rectangle that has each pixel of the rows and columns, -1 for none."""
    edges = rectangles.edges
    winner = edges.new_full((images * len(rows) * len(columns),), -1)
    left, right = torch.searchsorted(columns, edges[:, 0::2].contiguous()).unbind(dim=1)
    top, bottom = torch.searchsorted(rows, edges[:, 1::2].contiguous()).unbind(dim=1)
    wide, high = (right - left).clamp(min=0), (bottom - top).clamp(min=0)
    start = (rectangles.images * len(rows) + top) * len(columns) + left
    for part in _turns(wide * high):
        count = (wide * high)[part]
        which = torch.arange(len(edges), device=edges.device)[part].repeat_interleave(count)
        place = torch.arange(len(which), device=edges.device)
        place = place - (count.cumsum(0) - count).repeat_interleave(count)  # in its rectangle
        down = torch.div(place, wide[which], rounding_mode="floor")
        across = place - down * wide[which]
        winner.scatter_reduce_(0, start[which] + down * len(columns) + across, which, "amax")
    return winner.view(images, len(rows), len(columns))


def _turns(counts: Int64[Tensor, "n"]) -> Iterator[slice]:
    """Stretches of boxes that paint about `PIXELS` together; one, unless boxes are large."""
    turn = torch.div(counts.cumsum(0), PIXELS, rounding_mode="floor")
    start = 0
    for length in torch.unique_consecutive(turn, return_counts=True)[1].tolist():
        yield slice(start, start + length)
        start += length


def _taken(values: Float32[Tensor, "n"], winner: Int64[Tensor, "b r c"]) -> Tensor:
    """The value of each winner, 0 where there is none."""
    return torch.cat([values, values.new_zeros(1)])[winner]  # -1 is the last


def _centrality(
    edges: Tensor, winner: Tensor, rows: Tensor, columns: Tensor, painting: Painting
) -> Float32[Tensor, "b r c"]:
    """How central each pixel is in the rectangle that has it, 0 to 1; 0 where none has it."""
    end = 1 if painting == "soft" else 0
    x1, y1, x2, y2 = edges.unbind(dim=1)
    found = torch.zeros(winner.shape, device=winner.device)
    image, row, column = (winner >= 0).nonzero(as_tuple=True)
    box = winner[image, row, column]
    ratio = torch.ones(len(box), device=winner.device)
    for pixel, low, high in ((columns[column], x1, x2), (rows[row], y1, y2)):
        before = pixel - low[box] + 1
        after = high[box] - pixel - 1 + end
        ratio = ratio * torch.minimum(before, after) / torch.maximum(before, after)
    found[image, row, column] = ratio.sqrt()
    return found


def _shrunk(seen: Float32[Tensor, "b r c"], rows: _Samples, columns: _Samples) -> Tensor:
    weighed = seen * rows.shares[:, None] * columns.shares
    return _by_cell(weighed).sum(dim=(2, 4))


def _by_cell(pixels: Tensor) -> Tensor:
    """(b, 2 * h, 2 * w) to (b, h, 2, w, 2)."""
    images, rows, columns = pixels.shape
    return pixels.reshape(images, rows // 2, 2, columns // 2, 2)
