"""Charts of a run as SVG text, for pages that need no other file.

Needs matplotlib, the extra `plots`.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyscope.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Series = tuple[Sequence[float], Sequence[float]]
"""Values along x and y."""

SIDE_TICKS = (2, 4, 8, 16, 32, 64, 128)
FOUND, MISSED = "#2e9e44", "#d43a2f"
WIDTH, HEIGHT = 4.8, 3.0
"""Of a chart, inches; one of many bars is wider."""
_BAR, _LETTER, _SIDES = 0.2, 0.075, 0.9
"""Inches for a bar, for a letter of a group's name, and beside the axes."""


def line_chart(
    lines: Mapping[str, Series], *, x: str, y: str, log_y: bool = False, top: float | None = None
) -> str:
    """Lines by name over a shared axis, as SVG."""

    def draw(axes: "Axes") -> None:
        for name, (xs, ys) in lines.items():
            axes.plot(xs, ys, label=name, linewidth=1.4, marker="." if len(xs) < 12 else None)
        axes.set(xlabel=x, ylabel=y, yscale="log" if log_y else "linear")
        if top is not None:
            axes.set_ylim(0, top)
        if lines:
            axes.legend(frameon=False, fontsize=8)

    return _svg(draw)


def size_chart(found: "NDArray[np.float64]", missed: "NDArray[np.float64]") -> str:
    """How many objects of each side (pixels) were found and missed, stacked, as SVG."""

    def draw(axes: "Axes") -> None:
        both = np.concatenate([found, missed, [2.0, 32.0]])
        low, high = max(float(both.min()), 0.5), float(both.max())
        edges = np.geomspace(low, high * 1.001, 25)
        axes.hist(
            [found.tolist(), missed.tolist()],
            edges.tolist(),
            stacked=True,
            color=[FOUND, MISSED],
            label=["found", "missed"],
        )
        ticks = [t for t in SIDE_TICKS if low <= t <= high * 1.1]
        axes.set(xlabel="side, pixels", ylabel="objects", xscale="log")
        axes.set_xticks(ticks, [str(t) for t in ticks], minor=False)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)

    return _svg(draw)


def step_chart(
    shares: "Mapping[str, NDArray[np.float64]]", edges: "NDArray[np.float64]", *, x: str, y: str
) -> str:
    """Shares by name in bins that all have in common, over a log scale in pixels, as SVG."""

    def draw(axes: "Axes") -> None:
        used = np.flatnonzero(np.sum(list(shares.values()), axis=0))
        first, last = used[0], used[-1] + 1
        for i, (name, values) in enumerate(shares.items()):
            heights = 100 * values[first:last]
            axes.stairs(heights, edges[first : last + 1], label=name, linewidth=1.4)
            axes.stairs(heights, edges[first : last + 1], fill=True, alpha=0.12, color=f"C{i}")
        low, high = edges[first], edges[last]
        ticks = [t for t in (1, *SIDE_TICKS, 256, 512, 1024) if low <= t <= high]
        axes.set(xlabel=x, ylabel=y, xscale="log")
        axes.set_xticks(ticks, [str(t) for t in ticks], minor=False)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)

    return _svg(draw)


def share_chart(shares: Mapping[str, Mapping[str, float]], *, of: str) -> str:
    """Shares of wholes by their names and those of the parts, as groups of bars, as SVG.

    Args:
        shares: 0 to 1, by whole and part.
        of: What the wholes are.
    """

    def draw(axes: "Axes") -> None:
        parts = list(dict.fromkeys(part for whole in shares.values() for part in whole))
        width = 0.8 / len(shares)
        for i, (name, whole) in enumerate(shares.items()):
            places = [n - 0.4 + (i + 0.5) * width for n in range(len(parts))]
            heights = [100 * whole.get(part, 0.0) for part in parts]
            axes.bar(places, heights, width, label=name)
        axes.set_xticks(range(len(parts)), parts)
        axes.set(ylabel="%")
        axes.set_title(f"share of {of}", fontsize="medium")
        # Bars may reach any height anywhere, so there is no room for it among them.
        axes.figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)

    return _svg(draw)


def stacked_chart(
    groups: Mapping[str, Mapping[str, Mapping[str, float]]],
    colors: Mapping[str, str],
    *,
    y: str,
    of: str,
) -> str:
    """Bars of the parts that make a whole, on top of each other, in groups side by side, as SVG.

    It is as wide as bars and names of groups need.

    Args:
        groups: Shares 0 to 1 by group, bar and part.
        colors: Of the parts, in the order in which they lie on each other.
        y: What the shares are of.
        of: What the parts are.
    """

    shown = {group: bars for group, bars in groups.items() if bars}
    rooms = [
        max(len(bars), math.ceil(len(group) * _LETTER / _BAR)) for group, bars in shown.items()
    ]  # in bars

    def draw(axes: "Axes") -> None:
        places: list[float] = []
        names: list[str] = []
        start = 0
        for (group, bars), room in zip(shown.items(), rooms, strict=True):
            first = start + (room - len(bars)) / 2
            at = [first + i for i in range(len(bars))]
            below = np.zeros(len(bars))
            for part, color in colors.items():
                heights = np.array([100 * bar[part] for bar in bars.values()])
                label = "_" if places else part  # a name with _ is in no legend
                axes.bar(at, heights, 0.8, bottom=below, color=color, label=label)
                below += heights
            middle = (at[0] + at[-1]) / 2
            axes.annotate(
                group, (middle, 1.02), xycoords=("data", "axes fraction"), ha="center", fontsize=8
            )
            places += at
            names += bars
            start += room + 1
        axes.set_xticks(places, names, rotation=90)
        axes.set(ylabel=y, ylim=(0, 100))
        if not shown:
            return
        axes.set_xlim(-1, start - 1)
        axes.figure.legend(
            loc="outside lower center", ncols=len(colors), frameon=False, fontsize=8, title=of
        )

    return _svg(draw, (sum(rooms) + len(rooms)) * _BAR + _SIDES)


def _svg(draw: Callable[[Any], None], width: float = WIDTH) -> str:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError("charts need matplotlib; pip install 'tinyscope[plots]'") from error
    # A salt makes equal charts equal files; text stays text, so that it can be searched.
    with mpl.rc_context({"svg.hashsalt": "tinyscope", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(max(WIDTH, width), HEIGHT), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        draw(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
