"""What a file of merged detections came of, in a small JSON beside it: `whole.merge.json`.

Figures of one detector differ by tiles, rule and limit, and a results list has no place for them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.atomic import atomic_text
from tinyscope.formats.rows import read_object


def record_path(detections: Path) -> Path:
    """Where the record of a results list lies."""
    return detections.with_name(f"{detections.stem}.merge.json")


def write_record(detections: Path, record: Mapping[str, Any]) -> None:
    """Writes what merging says of its result; `record["detections"]` is how many there are.

    Raises:
        DataError: It cannot be written.
    """
    with atomic_text(record_path(detections)) as file:
        file.write(json.dumps(record, indent=2) + "\n")


def read_record(detections: Path) -> Mapping[str, Any] | None:
    """What was written of a results list; None where there is no record.

    Raises:
        DataError: It is no JSON object, or does not name a rule.
    """
    path = record_path(detections)
    if not path.is_file():
        return None
    record = read_object(path)
    rule = record.get("rule")
    if not (isinstance(rule, dict) and "name" in rule):
        raise DataError(
            f"{path}: says nothing of a rule of merging; merge again, or remove it if "
            f"{detections.name} was made otherwise"
        )
    return record


def tile_and_overlap(
    windows: NDArray[np.int64], files: NDArray[np.character]
) -> tuple[list[int], int | list[int] | None]:
    """The largest (height, width) of tiles, and the least overlap of neighbors.

    The overlap is one number, or those of (height, width) where they differ; None where every
    image is a single tile. Where an image is at most two tiles long, a second one that was shifted
    back to the border overlaps by more than what was asked for.

    Args:
        windows: (n, 4) x1 y1 x2 y2 of tiles in their images.
        files: (n,) the images.
    """
    sides = windows[:, [3, 2]] - windows[:, [1, 0]]
    _, image = np.unique(files, return_inverse=True)
    least = [_least_overlap(image, windows[:, [axis, axis + 2]]) for axis in (1, 0)]
    known = sorted({value for value in least if value is not None})
    overlap = None if not known else known[0] if len(known) == 1 else [int(v or 0) for v in least]
    return sides.max(axis=0).tolist(), overlap


def _least_overlap(image: NDArray[np.int64], spans: NDArray[np.int64]) -> int | None:
    """Of neighboring spans (n, 2) of the same image; None where there are no neighbors."""
    rows = np.unique(np.column_stack([image, spans]), axis=0)
    same = rows[1:, 0] == rows[:-1, 0]
    return int((rows[:-1, 2] - rows[1:, 1])[same].min()) if same.any() else None
