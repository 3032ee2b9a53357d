"""Two files to numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyscope.engine.merge_record import read_record, record_path
from tinyscope.errors import DataError
from tinyscope.evaluation import InParts, Result, Rules, protocol_of
from tinyscope.formats.coco import read_annotations, read_detections
from tinyscope.formats.store import stored_detections
from tinyscope.formats.tables import Annotations

TILES = "tiles as images of their own"
"""Scored so, what a seam cuts counts in every tile that shows it; not comparable."""

AT_ONCE = 1 << 27
"""Bytes of a results list from which on it is not held in memory, where the protocol allows."""


def evaluate_files(
    truth: str | Path,
    detections: str | Path,
    protocol: Mapping[str, Any] | str = "coco",
) -> Result:
    """Scores a COCO results list against a COCO annotation file.

    The stamp says whether whole images were scored, or tiles as images of their own; and how
    tiles were merged, where `tinyscope merge` made the results list (`merged`).

    Args:
        truth: Annotations.
        detections: Results list.
        protocol: Name of a protocol, or its name and options.

    Raises:
        DataError: A file is missing, malformed or does not fit the other one, or the record
            that merging left beside the detections is malformed.
        SettingsError: The protocol or one of its options is unknown or wrong.
    """
    rules = protocol_of(protocol)  # a wrong one before large files are read
    annotations = read_annotations(Path(truth))
    result = _score(rules, annotations, Path(detections)).stamped(
        truth=str(truth), found=str(detections), scored=kind_of(annotations)
    )
    record = read_record(Path(detections))
    if record is None:
        return result
    place = record_path(Path(detections))
    count = result.stamp["detections"]
    if record.get("detections") != count:  # the list was written anew by something else
        note = f"{place} is of {record.get('detections')} detections, not {count}: not stamped"
        return result.stamped(notes=[note])
    if annotations.windows is not None:
        raise DataError(
            f"{truth}: lists tiles, but {detections} holds merged detections of whole images (as "
            f"{place.name} says); name the annotations of these"
        )
    return result.stamped(merged=dict(record))


def _score(rules: Rules, truth: Annotations, path: Path) -> Result:
    """Large lists on disk and in parts where the protocol can, others at once."""
    if isinstance(rules, InParts) and path.is_file() and path.stat().st_size > AT_ONCE:
        with stored_detections(path, truth) as stored:
            return rules(truth, stored)
    return rules(truth, read_detections(path, truth))


def kind_of(annotations: Annotations) -> str:
    """What is scored, for the stamp of a result."""
    return "whole images" if annotations.windows is None else TILES
