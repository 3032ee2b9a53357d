"""Samplers: which of the assigned priors take part in the loss."""

from tinyscope.catalog import Table

SAMPLERS = Table(
    "sampler",
    {
        "all": "tinyscope.matching.sample.all:TakeAll",
        "random": "tinyscope.matching.sample.random:RandomSampler",
        "weighted_negative": (
            "tinyscope.matching.sample.weighted_negative:WeightedNegativeSampler"
        ),
    },
)
