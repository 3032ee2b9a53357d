"""Assigners: (priors, boxes) to the row of the box that each prior answers for."""

from tinyscope.catalog import Table

ASSIGNERS = Table(
    "assigner",
    {
        "center": "tinyscope.matching.assign.center:CenterAssigner",
        "fovea": "tinyscope.matching.assign.fovea:FoveaAssigner",
        "hierarchical": "tinyscope.matching.assign.hierarchical:HierarchicalAssigner",
        "max_iou": "tinyscope.matching.assign.max_iou:MaxIouAssigner",
    },
)
