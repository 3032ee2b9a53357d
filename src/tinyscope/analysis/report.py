"""One page on a run that needs nothing beside it: curves, scores, sizes, losses, a gallery."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tinyscope.analysis.gallery import Gallery, View

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; } td, th { padding: .15rem .7rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr:nth-child(even) { background: #f5f5f5; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } .charts svg { width: 30rem; height: auto; }
.gallery { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; width: 10.5rem; } figure img { width: 100%; image-rendering: pixelated; }
figcaption, .note { font-size: .82rem; color: #666; } pre { background: #f5f5f5; padding: .8rem;
  overflow-x: auto; font-size: .82rem; }
"""


@dataclass(frozen=True)
class Table:
    """A table with a heading; cells are texts already."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chart:
    """A heading and an SVG."""

    title: str
    svg: str


@dataclass(frozen=True)
class Report:
    """What a page shows, in this order; empty parts are left out.

    Args:
        title: Of the page.
        summary: Sentences under the title.
        scores: Tables of scores by name.
        charts: Curves and histograms.
        gallery: Examples of each outcome.
        lost: Objects that the data pipeline lost, by reason and size.
        recipe: The resolved recipe as YAML.
        stamp: How the scores came about.
    """

    title: str
    summary: Sequence[str]
    scores: Mapping[str, Table]
    charts: Sequence[Chart]
    gallery: Gallery
    lost: Table
    recipe: str
    stamp: Mapping[str, object]


def page(report: Report) -> str:
    """The report as one HTML file."""
    parts = [
        f"<h1>{escape(report.title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in report.summary),
    ]
    for name, table in report.scores.items():
        parts += _section(name, [_table(table)] if table.rows else [])
    charts = [
        f"<figure style='width:30rem'><b>{escape(c.title)}</b>{c.svg}</figure>"
        for c in report.charts
    ]
    parts += _section("Curves", ["<div class=charts>", *charts, "</div>"] if charts else [])
    legend = "green: found, red: missed, blue: false, gray: ignored; at IoU 0.5, enlarged"
    for name, views in (
        ("Found", report.gallery.found),
        ("Missed", report.gallery.missed),
        ("False", report.gallery.false),
    ):
        parts += _section(name, _views(views, legend))
    parts += _section(
        "Objects that the data pipeline lost or set to ignore",
        [_table(report.lost)] if report.lost.rows else ["<p>None.</p>"],
    )
    stamp = "; ".join(f"{key}: {value}" for key, value in report.stamp.items())
    parts += _section("Recipe", [f"<pre>{escape(report.recipe)}</pre>"])
    parts.append(f"<p class=note>{escape(stamp)}</p>")
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style>\n<body>\n{body}\n</body>\n"
        "</html>\n"
    )


def _section(name: str, content: Iterable[str]) -> list[str]:
    content = list(content)
    return [f"<h2>{escape(name)}</h2>", *content] if content else []


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = (
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _views(views: Sequence[View], legend: str) -> list[str]:
    if not views:
        return []
    figures = (
        f"<figure><img src='{view.picture}' alt=''>"
        f"<figcaption>{escape(view.caption)}</figcaption></figure>"
        for view in views
    )
    return [f"<p class=note>{legend}</p>", "<div class=gallery>", *figures, "</div>"]
