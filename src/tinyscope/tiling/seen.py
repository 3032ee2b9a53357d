"""What tiles show of boxes by the rules under which the tile files of benchmarks were made.

Both rules clip boxes to the tile and leave out those of which too little is seen; what they leave
out is background there. `tinyscope.data.cut` has the rules of this project, which lose nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Keep = Literal["flush", "clipped"]
"""Rules, by the names of the tilings that they were published with."""

MIN_VISIBLE: dict[Keep, float] = {"flush": 0.49, "clipped": 0.3}
"""Share of its area from which a box is kept; 0.49 is what a ratio of 0.7 in length means."""

_PAIRS_AT_ONCE = 1 << 20  # of a window and a box


@dataclass(frozen=True)
class Parts:
    """What windows show: row k is box `rows[k]` in window `windows[k]`, in whose frame it is."""

    windows: NDArray[np.int64]  # (k,)
    rows: NDArray[np.int64]  # (k,)
    boxes: NDArray[np.float64]  # (k, 4)


def parts_seen(
    boxes: NDArray[np.float64],
    ignore: NDArray[np.bool_],
    windows: NDArray[np.int64],
    rule: Keep,
    min_visible: float | None = None,
) -> Parts:
    """The parts of boxes that windows show, windows outer, boxes in their order.

    `flush` (TinyBenchmark): a box is kept if at least `min_visible` of its area lies in the window,
    ignored or not; one without area never is.

    `clipped` (huicv): corners are those of the first and last pixel, x2 = x + w - 1, and areas are
    (x2 - x1)(y2 - y1). A box of which less than `min_visible` is seen is left out unless it is
    ignored; then all whose visible part is at most 2 px wide or high, or of 4 px or less in area.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in the image.
        ignore: (n,) boxes that count neither for nor against.
        windows: (t, 4) x1 y1 x2 y2, right and bottom exclusive.
        rule: By which boxes are kept.
        min_visible: Share of the area; the published one by default.

    Source: COCOSplitImage of ucas-vg/TinyBenchmark; corner_dataset of yinglang/huicv.
    """
    share = MIN_VISIBLE[rule] if min_visible is None else min_visible
    found = []
    for window, row in _touching(boxes, windows):
        place, whole = windows[window].astype(np.float64), boxes[row]
        if rule == "flush":
            part, kept = _by_length(whole, place, share)
        else:
            part, kept = _by_area(whole, ignore[row], place, share)
        moved = part - place[:, [0, 1, 0, 1]]
        found.append(Parts(window[kept], row[kept], moved[kept]))
    return Parts(
        np.concatenate([part.windows for part in found]),
        np.concatenate([part.rows for part in found]),
        np.concatenate([part.boxes for part in found]),
    )


def _touching(
    boxes: NDArray[np.float64], windows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of a window and a box that reaches into it, some windows at a time."""
    step = max(1, _PAIRS_AT_ONCE // max(1, len(boxes)))
    for start in range(0, max(1, len(windows)), step):
        some = windows[start : start + step, None]
        meets = ((boxes[:, :2] < some[..., 2:]) & (boxes[:, 2:] > some[..., :2])).all(axis=2)
        window, row = np.nonzero(meets)
        yield window + start, row


def _by_length(
    boxes: NDArray[np.float64], windows: NDArray[np.float64], share: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    part = _clipped(boxes, windows[:, :2], windows[:, 2:])
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 compares as false
        # Of roots, as published: an object exactly at the limit would fall on the other side.
        kept = np.sqrt(_areas(part)) / np.sqrt(_areas(boxes)) >= np.sqrt(share)
    return part, kept


def _by_area(
    boxes: NDArray[np.float64],
    ignore: NDArray[np.bool_],
    windows: NDArray[np.float64],
    share: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    last = np.array([0, 0, 1, 1])  # from the exclusive end to the last pixel
    whole = boxes - last
    part = _clipped(whole, windows[:, :2], windows[:, 2:] - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = _areas(part) / _areas(whole)
    lost = (ratio < 1e-6) | ((ratio < share) & ~ignore)  # false for 0/0, of a side of 1 px
    part = part + last
    sides = part[:, 2:] - part[:, :2]
    small = (sides <= 2).any(axis=1) | (sides.prod(axis=1) <= 4)
    return part, ~(lost | small)


def _clipped(
    boxes: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    corners = boxes.reshape(-1, 2, 2)
    return np.clip(corners, low[:, None], high[:, None]).reshape(-1, 4)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas
