"""Heads: pyramid to raw outputs, and the losses of these outputs."""

from tinyscope.catalog import Table

HEADS = Table(
    "head",
    {
        "fcos": "tinyscope.nn.heads.fcos:FcosHead",
        "fovea": "tinyscope.nn.heads.fovea:FoveaHead",
        "retina": "tinyscope.nn.heads.retina:RetinaHead",
        "rpn": "tinyscope.nn.heads.rpn:RpnHead",
        "two_fc": "tinyscope.nn.heads.two_fc:TwoFcHead",
    },
)
