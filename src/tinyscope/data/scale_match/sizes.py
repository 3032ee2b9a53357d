"""Which objects have a size that counts, and where the sizes of a set are read from."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyscope.catalog import nearest
from tinyscope.data.locate import locate
from tinyscope.data.scale_match.histogram import (
    BINS,
    SizeHistogram,
    log_normal_histogram,
    size_histogram,
)
from tinyscope.errors import DataError
from tinyscope.formats import coco
from tinyscope.formats.files import read_text
from tinyscope.formats.tables import Annotations

UNCLEAR = ("uncertain", "logo", "in_dense_image")
"""Marks of rows that the published histogram is made without: its file has them erased."""

_LARGEST = 2**20
"""Bytes of a histogram's file; a larger one is a data set and is not read twice."""
_KEYS = (("edges", "probabilities"), ("mean", "deviation"))
_KINDS = " or ".join(" and ".join(keys) for keys in _KEYS)
_OF_DATA_SETS = ("images", "annotations", "categories")


def counted_rows(annotations: Annotations) -> NDArray[np.bool_]:
    """(n,) which rows have a size that counts.

    Left out are ignored rows, those that carry a mark of `UNCLEAR`, and boxes without area.
    """
    counted = ~annotations.ignore & (annotations.sides > 0)
    for mark in UNCLEAR:
        if mark in annotations.marks:
            counted &= ~annotations.marks[mark]
    return counted


def object_sizes(annotations: Annotations) -> NDArray[np.float64]:
    """(n,) square roots of the areas of the rows that count, pixels."""
    sizes: NDArray[np.float64] = annotations.sides[counted_rows(annotations)]
    return sizes


def read_sizes(path: Path, split: str = "train") -> NDArray[np.float64]:
    """The sizes of a data set's objects; of a COCO file no images are needed.

    Raises:
        DataError: It cannot be read, or has no objects.
    """
    file = path.is_file() and path.suffix == ".json"
    sizes = object_sizes(coco.read_annotations(path) if file else locate(path, split))
    if not len(sizes):
        raise DataError(
            f"{path}: no objects to take sizes from (ignored ones do not count); name a set that "
            "has some"
        )
    return sizes


def read_histogram(
    path: Path,
    split: str = "train",
    *,
    bins: int = BINS,
    tails: float | None = None,
    logarithmic: bool = False,
) -> SizeHistogram:
    """The histogram of a data set, or the one that a small JSON file holds.

    Such a file is an object of `edges` and `probabilities` (or counts, which are divided by their
    sum), or of the `mean` and `deviation` of a log-normal distribution; the options are for data
    sets alone, but for the bins of the latter.

    Args:
        path: A COCO file, a data set's folder, or a histogram's file.
        split: Of the folder.
        bins, tails, logarithmic: See `size_histogram`.

    Raises:
        DataError: It cannot be read, or what it holds is no distribution of sizes.
    """
    content = _small_object(path)
    if content is None or not content.keys().isdisjoint(_OF_DATA_SETS):
        sizes = read_sizes(path, split)
        return size_histogram(sizes, bins=bins, tails=tails, logarithmic=logarithmic)
    try:
        keys = _KEYS[0] if not content.keys().isdisjoint(_KEYS[0]) else _KEYS[1]
        _check_keys(content, keys)
        if keys == _KEYS[1]:
            mean, deviation = (_numbers(content, key, 0) for key in keys)
            return log_normal_histogram(float(mean), float(deviation), bins)
        edges, shares = (_numbers(content, key, 1) for key in keys)
        if (shares < 0).any():
            raise ValueError(f"probabilities must not be negative, got {shares.min():g}")
        if not shares.any():
            raise ValueError("probabilities add up to nothing; there is no mass")
        return SizeHistogram(shares / shares.sum(), edges)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {error}; correct the histogram") from error


def histogram_text(histogram: SizeHistogram) -> str:
    """What `read_histogram` reads, as JSON."""
    columns = {
        "edges": histogram.edges.tolist(),
        "probabilities": histogram.probabilities.tolist(),
    }
    return json.dumps(columns, indent=2) + "\n"


def _small_object(path: Path) -> dict[str, Any] | None:
    """The JSON object of a small file; None where there is none."""
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError:
        return None  # the reader of data sets says what is wrong
    return content if isinstance(content, dict) else None


def _check_keys(content: dict[str, Any], keys: tuple[str, ...]) -> None:
    """That a histogram's file holds these keys and no other."""
    known = keys if not content.keys().isdisjoint(keys) else tuple(chain(*_KEYS))
    if unknown := [key for key in content if key not in known]:
        raise ValueError(
            f"unknown key {unknown[0]!r} (a histogram holds {_KINDS}, and a data set "
            f"{', '.join(_OF_DATA_SETS)}{nearest(unknown[0], known)})"
        )
    if missing := [key for key in keys if key not in content]:
        raise ValueError(f"the key {missing[0]!r} is missing (a histogram holds {_KINDS})")


def _numbers(content: dict[str, Any], key: str, axes: int) -> NDArray[np.float64]:
    found = np.array(content[key], dtype=np.float64)
    if found.ndim != axes:
        raise ValueError(f"{key} must be {'a list of numbers' if axes else 'one number'}")
    if not np.isfinite(found).all():
        raise ValueError(f"{key} must be finite, got {found[~np.isfinite(found)].item(0):g}")
    return found
