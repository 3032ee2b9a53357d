"""What protocols of boxes have in common: their settings, checked, and the way to the result."""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from tinyscope.errors import SettingsError
from tinyscope.evaluation.order import Objects, Ranked, order_objects
from tinyscope.evaluation.parts import Found, Parts, cells_in_parts, parts_of
from tinyscope.evaluation.result import Result
from tinyscope.evaluation.scores import Bin, Cell, Collector
from tinyscope.formats.tables import Annotations, DetectionTable

Treatment = Literal["region", "once", "object"]
"""What a row is that the file marks: a `region` is ignored and takes in any number of detections,
by the share of the detection that it covers; `once` is an ignored object, which takes in one, by
IoU; an `object` is to be found as all others are."""

Ranges = Mapping[str, tuple[float, float]]
"""Name of a size to its least and largest value, both included; the first stands for all."""

RECALLS = np.linspace(0.0, 1.0, 101)


def check_settings(thresholds: tuple[float, ...], sizes: Ranges, limits: tuple[int, ...]) -> None:
    """Refuses what cannot be scored.

    Raises:
        SettingsError: Names the setting and what is allowed.
    """
    check_thresholds(thresholds)
    if not sizes or not all(0 <= low < high for low, high in sizes.values()):
        raise SettingsError(
            f"sizes: got {dict(sizes)}; must name at least one [least, largest] in pixels, "
            "0 <= least < largest"
        )
    if not limits or any(a >= b for a, b in zip((0, *limits), limits, strict=False)):
        raise SettingsError(f"limits: got {limits}; must be ascending numbers above 0")


def check_thresholds(thresholds: tuple[float, ...]) -> None:
    """Refuses what no detection or every detection would meet.

    Raises:
        SettingsError: Names the setting and what is allowed.
    """
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise SettingsError(f"thresholds: got {thresholds}; must be IoUs above 0, at most 1")


def score_boxes(
    truth: Annotations,
    found: Found,
    *,
    thresholds: tuple[float, ...],
    areas: Ranges,
    limits: tuple[int, ...],
    crowd: Treatment,
    ignore: Treatment,
    stamp: Mapping[str, Any],
    together: bool = False,
    watch: Callable[[Cell], None] | None = None,
) -> Result:
    """Greedy matching by IoU in ranges of area.

    Args:
        truth: All of its images take part.
        found: Detections in them.
        thresholds: IoUs from which on a detection has found an object.
        areas: Ranges in square pixels.
        limits: Detections per image and class that count, ascending.
        crowd: What crowd rows are.
        ignore: What ignored rows are that are no crowd.
        stamp: What the result is stamped with.
        together: Whether all classes are taken for one.
        watch: Sees every curve before it is entered, to make further numbers of it.
    """
    parts = parts_of(found)
    if together:
        truth, parts = one_class(truth), without_classes(parts)
    treated = np.where(truth.crowd, crowd, np.where(truth.ignore, ignore, "object"))
    objects = order_objects(truth, ignored=treated != "object", regions=treated == "region")
    bins = [partial(area_bin, low=low, high=high) for low, high in areas.values()]
    ranked, every = cells_in_parts(parts, truth, objects, bins, thresholds, limits)
    return make_result(
        truth.names, ranked, every if watch is None else watched(every, watch),
        thresholds=thresholds, sizes=tuple(areas), limits=limits, stamp=stamp,
    )  # fmt: skip


def watched(found: Iterable[Cell], watch: Callable[[Cell], None]) -> Iterator[Cell]:
    """The same cells, each shown to `watch`."""
    for cell in found:
        watch(cell)
        yield cell


def one_class(truth: Annotations) -> Annotations:
    """All objects as of one class; those of an image by their class, then as in the file."""
    rows = np.lexsort((truth.labels, truth.images))
    joined = truth.take_rows(rows)
    return replace(joined, names=("all",), category_ids=(1,), labels=np.zeros_like(truth.labels))


def without_classes(parts: Parts) -> Parts:
    """All detections as of one class; equal scores of an image by their class, then as given."""

    def joined() -> Iterator[DetectionTable]:
        for part in parts():
            found = part[np.argsort(part.labels, kind="stable")]
            yield replace(found, labels=np.zeros_like(found.labels))

    return joined


def make_result(
    names: tuple[str, ...],
    ranked: Ranked,
    found: Iterable[Cell],
    *,
    thresholds: tuple[float, ...],
    sizes: tuple[str, ...],
    limits: tuple[int, ...],
    stamp: Mapping[str, Any],
) -> Result:
    """The result of curves, of which there is one for each threshold, class, size and limit."""
    shape = len(thresholds), len(names), len(sizes), len(limits)
    collector = Collector(ranked, RECALLS, shape)
    for cell in found:
        collector.add(cell)
    return Result(
        names=names,
        thresholds=thresholds,
        sizes=sizes,
        limits=limits,
        recalls=RECALLS,
        scores=collector.scores(),
        stamp=stamp,
    )


def area_bin(objects: Objects, ranked: Ranked, low: float, high: float) -> Bin:
    """The objects of one range of area; other ones are ignored, other detections no fault."""
    return Bin(
        ignored=objects.ignored | ~_within(objects.areas, low, high),
        inside=_within(ranked.extents, low, high),
    )


def make_stamp(
    protocol: str,
    options: Mapping[str, Any],
    truth: Annotations,
    found: Found,
    ignored: Bool[ndarray, "n"] | None = None,
) -> dict[str, Any]:
    """What a number must be quoted with: protocol, options, amounts and versions.

    `ignored` are the rows of `truth` that count neither way; None means those it marks so.
    """
    ignored = truth.ignore if ignored is None else ignored
    try:
        own = version("tinyscope")
    except PackageNotFoundError:  # run from a source tree that is not installed
        own = "unknown"
    return {
        "protocol": protocol,
        "options": dict(options),
        "images": len(truth),
        "objects": int((~ignored).sum()),
        "ignored": int(ignored.sum()),
        "detections": len(found),
        "versions": {
            "tinyscope": own,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _within(areas: Float64[ndarray, "n"], low: float, high: float) -> Bool[ndarray, "n"]:
    return np.logical_and(areas >= low, areas <= high)
