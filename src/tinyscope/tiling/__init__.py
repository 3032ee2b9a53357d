"""Geometry of windows: cutting an image, merging what was found in them, windows in time."""

from typing import Literal

from tinyscope.catalog import Table

Tiling = Literal["flush", "runtime", "clipped", "trimmed"]
"""How a grid ends at the border of an image; see `tiling.cut.grid_windows`."""

MERGES = Table(
    "merge",
    {
        "nms": "tinyscope.tiling.nms:NmsMerge",
        "soft_nms": "tinyscope.tiling.soft_nms:SoftNmsMerge",
        "ownership": "tinyscope.tiling.ownership:OwnershipMerge",
        "pooled_nms": "tinyscope.tiling.pooled:PooledNmsMerge",
        "tinybenchmark": "tinyscope.tiling.published:tinybenchmark",
        "sspnet": "tinyscope.tiling.published:sspnet",
        "bottom_heavy": "tinyscope.tiling.published:bottom_heavy",
    },
)

FRAME_WINDOWS = Table(
    "window of frames",
    {
        "sliding": "tinyscope.tiling.frames:SlidingWindow",
        "spread": "tinyscope.tiling.frames:SpreadWindow",
    },
)
