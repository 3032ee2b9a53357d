"""What the data pipeline lost, as rows for a log or a report."""

from itertools import pairwise

from tinyscope.types import SIDE_EDGES, Dropped


def size_names() -> tuple[str, ...]:
    """The size bins of `Dropped` as a person writes them: "< 2 px", "2-8 px", ..."""
    edges = [f"{edge:g}" for edge in SIDE_EDGES]
    between = [f"{low}-{high} px" for low, high in pairwise(edges)]
    return (f"< {edges[0]} px", *between, f"> {edges[-1]} px")


def dropped_header() -> tuple[str, ...]:
    """Titles of the columns of `dropped_rows`."""
    return ("reason", *size_names(), "all")


def dropped_rows(dropped: Dropped) -> list[tuple[str | int, ...]]:
    """A row per reason, most frequent first: the reason, counts per size bin, their sum.

    Sizes are those before the step that lost the object, in pixels of its input. With windows,
    an object counts once for every window that cuts it.
    """
    rows: list[tuple[str | int, ...]] = [
        (reason, *(int(n) for n in counts), int(counts.sum()))
        for reason, counts in dropped.counts.items()
    ]
    return sorted(rows, key=lambda row: -int(row[-1]))
