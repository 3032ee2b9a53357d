"""Levels of a backbone to a `Pyramid`; a neck says its `channels` and `strides`."""

from tinyscope.catalog import Table

NECKS = Table(
    "neck",
    {
        "channel_mapper": "tinyscope.nn.necks.channel_mapper:ChannelMapper",
        "fpn": "tinyscope.nn.necks.fpn:FPN",
        "hrfpn": "tinyscope.nn.necks.hrfpn:HRFPN",
        "rfp": "tinyscope.nn.necks.recursive:RecursivePyramid",
        "sspnet": "tinyscope.nn.necks.sspnet:SSPNet",
    },
)
