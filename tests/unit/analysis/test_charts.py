"""Where things stand in a chart."""

from xml.etree import ElementTree as ET

import pytest

from tinyscope.analysis.charts import share_chart, stacked_chart


def test_the_legend_of_shares_stands_outside_the_axes():
    pytest.importorskip("matplotlib")
    drawn = share_chart({"mine": {"stage 1": 0.2, "stage 2": 0.8}}, of="all")
    groups = {group.get("id"): group for group in ET.fromstring(drawn).iter() if group.get("id")}
    (legend,) = [name for name in groups if name.startswith("legend")]
    assert "mine" in "".join(groups[legend].itertext())
    assert not any(inner.get("id") == legend for inner in groups["axes_1"].iter())


def test_stacked_bars_name_every_part_once_and_every_group():
    pytest.importorskip("matplotlib")
    bars = {"small": {"none": 0.25, "some": 0.75}, "large": {"none": 0.0, "some": 1.0}}
    groups = {"nothing": {}, "first": bars, "second": bars}
    drawn = stacked_chart(groups, {"none": "#ff0000", "some": "#00ff00"}, y="objects", of="priors")
    texts = [text for node in ET.fromstring(drawn).iter() if (text := (node.text or "").strip())]
    assert [texts.count(name) for name in ("none", "some", "first", "second")] == [1, 1, 1, 1]
    assert texts.count("small") == 2
    assert "nothing" not in texts


def test_names_of_groups_do_not_run_into_each_other():
    pytest.importorskip("matplotlib")
    names = ["ai_tod/faster_rcnn_rfla_resnet50", "quick/faster_rcnn", "no second round", "rfla"]
    bars = {str(i): {"none": 0.5, "some": 0.5} for i in range(4)}
    colors = {"none": "#ff0000", "some": "#00ff00"}
    drawn = ET.fromstring(stacked_chart(dict.fromkeys(names, bars), colors, y="y", of="priors"))
    ends = []
    for node in drawn.iter():
        if node.text in names:
            # Letters are at most two thirds as wide as they are high, on the average.
            middle, half = float(node.get("x")), len(node.text) * 8 * 2 / 3 / 2
            ends += [middle - half, middle + half]
    assert len(ends) == 2 * len(names)
    assert ends == sorted(ends)
    assert float(drawn.get("viewBox").split()[2]) > ends[-1]


def test_stacked_bars_of_nothing_are_an_empty_chart():
    pytest.importorskip("matplotlib")
    assert stacked_chart({}, {"none": "#ff0000"}, y="y", of="priors").startswith("<svg")
