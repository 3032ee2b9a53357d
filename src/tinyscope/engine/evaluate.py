"""Two files to numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyscope.evaluation import Result, protocol_of
from tinyscope.formats.coco import read_annotations, read_detections


def evaluate_files(
    truth: str | Path,
    detections: str | Path,
    protocol: Mapping[str, Any] | str = "coco",
) -> Result:
    """Scores a COCO results list against a COCO annotation file.

    Args:
        truth: Annotations.
        detections: Results list.
        protocol: Name of a protocol, or its name and options.

    Raises:
        DataError: A file is missing, malformed or does not fit the other one.
        SettingsError: The protocol or one of its options is unknown or wrong.
    """
    rules = protocol_of(protocol)  # a wrong one before large files are read
    annotations = read_annotations(Path(truth))
    found = read_detections(Path(detections), annotations)
    return rules(annotations, found).stamped(truth=str(truth), found=str(detections))
