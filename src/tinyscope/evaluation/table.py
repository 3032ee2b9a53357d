"""Numbers as text, for a terminal."""

from collections.abc import Mapping, Sequence
from textwrap import fill

_WIDTH = 100


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines: the first column to the left, the other ones to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def text(value: float) -> str:
    """A number with three decimals, "-" for the -1 of nothing to score."""
    return "-" if value == -1 else f"{value:.3f}"


def by_size(per_size: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> str:
    """A line per number and a column per size."""
    sizes = per_size.values()
    return aligned(
        [
            ["", *per_size],
            *([name, *(text(size[name]) for size in sizes)] for name in names),
            ["objects", *(f"{size['objects']:.0f}" for size in sizes)],
        ]
    )


def by_class(per_class: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> str:
    """A line per class and a column per number."""
    return aligned(
        [
            ["class", *names, "objects"],
            *(
                [label, *(text(numbers[name]) for name in names), f"{numbers['objects']:.0f}"]
                for label, numbers in per_class.items()
            ),
        ]
    )


def by_group(
    per_group: Mapping[str, Mapping[str, float]],
    groups: Mapping[str, Sequence[str]],
    names: Sequence[str],
) -> str:
    """A line per group of classes and a column per number, and which classes they are."""
    lines = aligned(
        [
            ["classes", *names, "classes", "objects"],
            *(
                [
                    group,
                    *(text(numbers[name]) for name in names),
                    f"{numbers['classes']:.0f}",
                    f"{numbers['objects']:.0f}",
                ]
                for group, numbers in per_group.items()
            ),
        ]
    )
    members = (
        fill(f"{group}: {', '.join(labels) or 'none'}", _WIDTH, subsequent_indent="  ")
        for group, labels in groups.items()
    )
    return "\n".join([lines, *members])
