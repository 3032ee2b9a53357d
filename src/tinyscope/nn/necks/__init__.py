"""Levels of a backbone to a `Pyramid`; a neck says its `channels` and `strides`."""

from tinyscope.catalog import Table

NECKS = Table(
    "neck",
    {
        "fpn": "tinyscope.nn.necks.fpn:FPN",
        "hrfpn": "tinyscope.nn.necks.hrfpn:HRFPN",
        "sspnet": "tinyscope.nn.necks.sspnet:SSPNet",
    },
)
