"""Levels of a backbone to a `Pyramid`; a neck says its `channels` and `strides`."""

from tinyscope.catalog import Table

NECKS = Table(
    "neck",
    {
        "fpn": "tinyscope.nn.necks.fpn:FPN",
        "hrfpn": "tinyscope.nn.necks.hrfpn:HRFPN",
        "rfp": "tinyscope.nn.necks.recursive:RecursivePyramid",
        "sspnet": "tinyscope.nn.necks.sspnet:SSPNet",
    },
)
