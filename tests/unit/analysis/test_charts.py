"""Where things stand in a chart."""

from xml.etree import ElementTree as ET

import pytest

from tinyscope.analysis.charts import share_chart


def test_the_legend_of_shares_stands_outside_the_axes():
    pytest.importorskip("matplotlib")
    drawn = share_chart({"mine": {"stage 1": 0.2, "stage 2": 0.8}}, of="all")
    groups = {group.get("id"): group for group in ET.fromstring(drawn).iter() if group.get("id")}
    (legend,) = [name for name in groups if name.startswith("legend")]
    assert "mine" in "".join(groups[legend].itertext())
    assert not any(inner.get("id") == legend for inner in groups["axes_1"].iter())
