"""Geometry of windows: cutting an image, and merging what was found in its windows."""

from tinyscope.catalog import Table

MERGES = Table(
    "merge",
    {
        "nms": "tinyscope.tiling.nms:NmsMerge",
        "soft_nms": "tinyscope.tiling.soft_nms:SoftNmsMerge",
        "ownership": "tinyscope.tiling.ownership:OwnershipMerge",
    },
)
