"""Detections and truth to numbers, by the protocol of each benchmark."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from tinyscope.catalog import Table
from tinyscope.evaluation.parts import Found
from tinyscope.evaluation.result import Counts, Curves, Result
from tinyscope.evaluation.scores import Scores
from tinyscope.formats.tables import Annotations, DetectionTable

PROTOCOLS = Table(
    "protocol",
    {
        "coco": "tinyscope.evaluation.coco:CocoProtocol",
        "tiny": "tinyscope.evaluation.tiny:TinyProtocol",
        "ai_tod": "tinyscope.evaluation.ai_tod:AiTodProtocol",
        "vid": "tinyscope.evaluation.vid:VidProtocol",
        "tinyperson": "tinyscope.evaluation.tinyperson:TinyPersonProtocol",
        "citypersons": "tinyscope.evaluation.citypersons:CityPersonsProtocol",
    },
)

__all__ = [
    "PROTOCOLS",
    "Counts",
    "Curves",
    "InParts",
    "Result",
    "Scores",
    "evaluate",
    "protocol_of",
]

Rules = Callable[[Annotations, DetectionTable], Result]
"""Truth and detections to numbers."""


@runtime_checkable
class InParts(Protocol):
    """Rules that look at some images at a time, so that detections may lie on disk."""

    in_parts: ClassVar[bool]

    def __call__(self, truth: Annotations, found: Found) -> Result: ...


def protocol_of(protocol: Mapping[str, Any] | str) -> Rules:
    """The protocol of a name, or of a name and options.

    Raises:
        SettingsError: The protocol or one of its options is unknown or wrong.
    """
    options = {"name": protocol} if isinstance(protocol, str) else protocol
    rules: Rules = PROTOCOLS.build(options, "evaluate.protocol")
    return rules


def evaluate(
    truth: Annotations, found: DetectionTable, protocol: Mapping[str, Any] | str = "coco"
) -> Result:
    """Scores detections by a protocol: its name, or its name and options.

    Raises:
        SettingsError: The protocol or one of its options is unknown or wrong.
    """
    return protocol_of(protocol)(truth, found)
