import numpy as np

from tinyscope.analysis.charts import line_chart, size_chart
from tinyscope.analysis.gallery import Gallery, View
from tinyscope.analysis.report import Chart, Report, Table, page


def report(**changes: object) -> Report:
    parts = {
        "title": "a <run>",
        "summary": ["3 < 4 objects"],
        "scores": {"By size": Table(("size", "AP"), [["2-8", "0.5"]])},
        "charts": [Chart("Losses", "<svg></svg>")],
        "gallery": Gallery((View("data:image/png;base64,AAAA", "car, 5.0 px"),), (), ()),
        "lost": Table(("reason", "all"), []),
        "recipe": "source: <b>",
        "stamp": {"protocol": "tiny"},
    }
    return Report(**{**parts, **changes})


def test_texts_of_users_cannot_become_markup():
    html = page(report())
    assert "a &lt;run&gt;" in html
    assert "3 &lt; 4 objects" in html
    assert "source: &lt;b&gt;" in html
    assert "<b>" not in html.replace("<b>Losses</b>", "")


def test_empty_parts_are_left_out_and_no_losses_are_said():
    html = page(report())
    assert "<h2>Found</h2>" in html
    assert "<h2>Missed</h2>" not in html
    assert "<p>None.</p>" in html


def test_charts_are_equal_for_equal_numbers_and_name_their_lines():
    lines = {"box": ([1.0, 2.0], [0.5, 0.4])}
    chart = line_chart(lines, x="step", y="loss", log_y=True)
    assert chart == line_chart(lines, x="step", y="loss", log_y=True)
    assert chart.startswith("<svg")
    assert ">box<" in chart


def test_sizes_are_drawn_where_nothing_was_found():
    chart = size_chart(np.array([]), np.array([3.0, 30.0]))
    assert ">missed<" in chart
