"""What sees several frames: motion between two of them, and maps of many made one."""

from tinyscope.catalog import Table

MOTIONS = Table("motion", {"flownet": "tinyscope.nn.temporal.flownet:FlowNetSimple"})
AGGREGATORS = Table(
    "aggregator", {"embedding": "tinyscope.nn.temporal.embedding:EmbeddingAggregator"}
)
