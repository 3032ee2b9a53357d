"""Names of mmtracking's flow-guided detectors: one of mmdet with a flow net and an aggregator."""

from torch import nn

from tinyscope.detectors.published.mmdet import mmdet_keys, older_mmdet_name
from tinyscope.detectors.published.table import Entry, Keys
from tinyscope.detectors.video import VideoDetector
from tinyscope.errors import CheckpointError
from tinyscope.nn.temporal.embedding import EmbeddingAggregator
from tinyscope.nn.temporal.flownet import FlowNetSimple, published_names

INSIDE = "detector."
"""What stands before the names of the detector of single images."""


def mmtracking_keys(detector: nn.Module) -> Keys:
    """The key table of a detector of videos.

    Raises:
        CheckpointError: It is none, or a part has no published counterpart.
    """
    if not isinstance(detector, VideoDetector):
        raise CheckpointError(
            f"{type(detector).__name__}: the file holds a detector of videos (mmtracking), and the "
            "recipe's model sees single images; choose a recipe whose model is named video, or "
            "take its detector alone: layout mmdet, ignoring motion. and aggregator."
        )
    inside = detector.get_submodule("detector")
    keys: Keys = {}
    for ours, entry in mmdet_keys(inside).items():
        theirs = tuple(INSIDE + name for name in entry.names)
        keys[INSIDE + ours] = Entry(theirs, entry.take, entry.give)
    motion, aggregator = (detector.get_submodule(name) for name in ("motion", "aggregator"))
    if not isinstance(motion, FlowNetSimple) or not isinstance(aggregator, EmbeddingAggregator):
        raise CheckpointError(
            f"mmtracking has no {type(motion).__name__} with {type(aggregator).__name__}, or their "
            "names are not known; those of flownet with embedding are"
        )
    names = published_names(motion).items()
    keys |= {f"motion.{ours}": Entry((f"motion.{theirs}",)) for ours, theirs in names}
    for ours in aggregator.state_dict():
        _, number, kind = ours.split(".")
        keys[f"aggregator.{ours}"] = Entry((f"aggregator.embed_convs.{number}.conv.{kind}",))
    return keys


def older_mmtracking_name(name: str) -> str:
    """Today's name, as of the detector inside."""
    if name.startswith(INSIDE):
        return INSIDE + older_mmdet_name(name.removeprefix(INSIDE))
    return older_mmdet_name(name)
