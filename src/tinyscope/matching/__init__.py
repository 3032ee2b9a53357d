"""Which prior answers for which object: priors, coders, assigners, samplers."""

from tinyscope.catalog import Table

PRIORS = Table(
    "priors",
    {
        "anchors": "tinyscope.matching.priors:Anchors",
        "fields": "tinyscope.matching.fields:ReceptiveFields",
        "points": "tinyscope.matching.priors:Points",
    },
)

CODERS = Table(
    "coder",
    {
        "delta": "tinyscope.matching.coders:DeltaCoder",
        "distance": "tinyscope.matching.coders:DistanceCoder",
        "fovea": "tinyscope.matching.coders:FoveaCoder",
    },
)
