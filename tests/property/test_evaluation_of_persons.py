"""The protocols of persons against the loops that define them: the same files, the same numbers."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyscope.engine.evaluate import evaluate_files
from tinyscope.evaluation import Result

TOLERANCE = 1e-9
THRESHOLDS = (0.25, 0.5, 0.75)
SIDES = {"all": (1, 1e5), "tiny1": (1, 8), "tiny2": (8, 12), "small": (20, 32)}
SETUPS = {"tiny1": (2, 8), "tiny": (2, 20), "All": (-1, 1e10)}
BARS: Mapping[str, Callable[[float], float]] = {
    "never": lambda bar: math.inf,
    "threshold": lambda bar: bar,
    "raised": lambda bar: 2 * bar / (1 + bar),
}

Row = dict[str, Any]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], list[Row]]:
    """A truth and a results list, small enough to be understood when they fail.

    Coordinates are multiples of 1 or 0.1, so that many overlaps and areas are exactly at a
    threshold or at each other.
    """
    images = draw(st.permutations([3, 0, 7]))[: draw(st.integers(1, 3))]
    classes = draw(st.permutations([2, 9]))[: draw(st.integers(1, 2))]
    grid = draw(st.sampled_from([1, 10]))
    first = draw(st.sampled_from([0, 1]))
    side = st.integers(1, 12 * grid) | st.integers(18 * grid, 60 * grid)
    box = st.tuples(*[st.integers(0, 40 * grid)] * 2, side, side)
    rare = st.sampled_from([False, False, False, True])
    annotations: list[Row] = []
    for number in range(draw(st.integers(0, 8))):
        x, y, w, h = (v / grid for v in draw(box))
        row: Row = {
            "id": first + number,
            "image_id": draw(st.sampled_from(images)),
            "category_id": draw(st.sampled_from(classes)),
            "bbox": [x, y, w, h],
            "area": draw(st.sampled_from([1.0, 1.0, 0.5, 4.0])) * w * h,
        }
        row |= {key: draw(rare) for key in ("ignore", "uncertain", "iscrowd")}
        if draw(rare):
            row |= {"size": draw(st.sampled_from([2.0, 8.0, 20.0])), "vis_ratio": 0.5}
        annotations.append(row)
    results: list[Row] = []
    for _ in range(draw(st.integers(0, 16))):
        row = {
            "image_id": draw(st.sampled_from(images)),
            "category_id": draw(st.sampled_from(classes)),
            "bbox": [v / grid for v in draw(box)],
            "score": draw(st.integers(0, 5)) / 5,
        }
        if annotations and draw(st.booleans()):
            near = draw(st.sampled_from(annotations))
            shift = draw(st.tuples(*[st.integers(-2, 2)] * 4))
            x, y, w, h = (round(v * grid) + s for v, s in zip(near["bbox"], shift, strict=True))
            row |= {key: near[key] for key in ("image_id", "category_id")}
            row["bbox"] = [v / grid for v in (x, y, max(w, 1), max(h, 1))]
        results.append(row)
    truth = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in images],
        "categories": [{"id": k, "name": f"class {k}"} for k in classes],
        "annotations": annotations,
    }
    return truth, results


def of(rows: Sequence[Row], image: int, label: int) -> list[Row]:
    return [row for row in rows if (row["image_id"], row["category_id"]) == (image, label)]


def best_first(results: Sequence[Row], limit: int) -> list[Row]:
    return sorted(results, key=lambda row: -row["score"])[:limit]


def area(row: Row) -> float:
    width, height = row["bbox"][2:]
    return float(width * height)


def overlap(found: Row, thing: Row, *, as_region: bool) -> float:
    (ax, ay, aw, ah), (bx, by, bw, bh) = found["bbox"], thing["bbox"]
    width = min(ax + aw, bx + bw) - max(ax, bx)
    height = min(ay + ah, by + bh) - max(ay, by)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return float(shared / (area(found) if as_region else area(found) + area(thing) - shared))


def matched(
    found: Sequence[Row],
    things: Sequence[Row],
    ignored: Sequence[bool],
    regions: Sequence[bool],
    threshold: float,
    cover: float,
) -> list[int | None]:
    """For each detection, best first, the thing it is matched to."""
    bar = min(threshold, 1 - 1e-10)
    used: set[int] = set()
    chosen: list[int | None] = []
    for detection in found:
        values = [
            overlap(detection, thing, as_region=region)
            for thing, region in zip(things, regions, strict=True)
        ]
        best = None
        for wanted in (False, True):
            for place, value in enumerate(values):
                free = place not in used or regions[place]
                least = bar if best is None else values[best]
                if best is not None and ignored[best] != wanted:
                    continue
                if ignored[place] == wanted and free and value >= least:
                    best = place
        if best is None:
            shares = [
                v / (1 + v) * (1 + thing["area"] / area(detection)) if out else -1.0
                for v, thing, out in zip(values, things, ignored, strict=True)
            ]
            if shares and max(shares) >= cover:
                best = int(np.argmax(shares))
        if best is not None:
            used.add(best)
        chosen.append(best)
    return chosen


def outcomes(
    truth: Any, results: Any, label: int, threshold: float, rules: Any
) -> tuple[list[tuple[float, str]], int]:
    """Score and "found", "false" or "ignored" of all detections of a class; objects to find."""
    rows: list[tuple[float, str]] = []
    positives = 0
    for image in sorted(row["id"] for row in truth["images"]):
        things = of(truth["annotations"], image, label)
        found = rules.taking_part(best_first(of(results, image, label), rules.limit))
        ignored = [rules.ignores(thing) for thing in things]
        positives += ignored.count(False)
        regions = [rules.is_region(thing) for thing in things]
        chosen = matched(found, things, ignored, regions, threshold, rules.cover(threshold))
        for detection, place in zip(found, chosen, strict=True):
            if place is not None and ignored[place]:
                outcome = "ignored"
            elif place is None or (rules.first_id_unmatched and things[place]["id"] == 0):
                outcome = "false" if rules.counts(detection) else "ignored"
            else:
                outcome = "found"
            rows.append((detection["score"], outcome))
    return sorted(rows, key=lambda row: -row[0]), positives


class Precision:
    """What the evaluator of precision does in one range of sides."""

    def __init__(self, sides: tuple[float, float], options: Mapping[str, Any]) -> None:
        self.low, self.high = (side**2 for side in sides)
        self.uncertain = options["uncertain"] == "ignore"
        self.limit = options["limits"][-1]
        self.bar = BARS[options["ignored_by_cover"]]
        self.first_id_unmatched = options["first_id_unmatched"]

    def ignores(self, thing: Row) -> bool:
        marked = thing["ignore"] or thing["iscrowd"] or (self.uncertain and thing["uncertain"])
        return bool(marked or not self.low <= thing["area"] <= self.high)

    def is_region(self, thing: Row) -> bool:
        return bool(thing["iscrowd"])

    def taking_part(self, found: list[Row]) -> list[Row]:
        return found

    def counts(self, detection: Row) -> bool:
        return bool(self.low <= area(detection) <= self.high)

    def cover(self, threshold: float) -> float:
        return self.bar(threshold)


class MissRate:
    """What the evaluator of miss rates does in one setup."""

    limit = 1000
    first_id_unmatched = True

    def __init__(self, sizes: tuple[float, float]) -> None:
        self.low, self.high = sizes

    def ignores(self, thing: Row) -> bool:
        size = thing.get("size", math.sqrt(thing["area"]))
        outside = not self.low <= size <= self.high or thing.get("vis_ratio", 1.0) < 0.65
        return bool(thing["ignore"] or thing["uncertain"] or outside)

    is_region = ignores

    def taking_part(self, found: list[Row]) -> list[Row]:
        sizes = [math.sqrt(area(row)) for row in found]
        return [
            row
            for row, size in zip(found, sizes, strict=True)
            if self.low / 1.25 <= size < self.high * 1.25
        ]

    def counts(self, detection: Row) -> bool:
        return True

    def cover(self, threshold: float) -> float:
        return math.nextafter(0.5, 1)


def labels(truth: Any) -> Iterator[int]:
    return (row["id"] for row in truth["categories"])


def precision_of(truth: Any, results: Any, threshold: float, rules: Precision) -> float:
    values = []
    for label in labels(truth):
        rows, positives = outcomes(truth, results, label, threshold, rules)
        if not positives:
            continue
        found = np.cumsum([outcome == "found" for _, outcome in rows])
        false = np.cumsum([outcome == "false" for _, outcome in rows])
        recall = found / positives
        precision = found / (found + false + np.spacing(1))
        points = [
            max((p for p, r in zip(precision, recall, strict=True) if r >= point), default=0.0)
            for point in np.linspace(0, 1, 101)
        ]
        values.append(float(np.mean(points)))
    return float(np.mean(values)) if values else -1.0


def miss_rate_of(truth: Any, results: Any, threshold: float, rules: MissRate) -> float:
    images = len(truth["images"])
    missed = []
    for label in labels(truth):
        rows, positives = outcomes(truth, results, label, threshold, rules)
        if not positives:
            continue
        found = np.cumsum([outcome == "found" for _, outcome in rows])
        false = np.cumsum([outcome == "false" for _, outcome in rows]) / images
        for point in np.logspace(-2, 0, 9):
            last = int((false <= point).sum()) - 1  # -1 is the end of the curve, as published
            missed.append(1 - found[last] / positives if len(rows) else 1.0)
    if not missed:
        return -1.0
    return 0.0 if min(missed) == 0 else math.exp(np.mean(np.log(missed)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("persons")


def scored(truth: Any, results: Any, folder: Path, protocol: Any) -> Result:
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))
    return evaluate_files(folder / "truth.json", folder / "found.json", protocol)


@given(
    cases(),
    st.fixed_dictionaries(
        {
            "ignored_by_cover": st.sampled_from(list(BARS)),
            "uncertain": st.sampled_from(["ignore", "object"]),
            "limits": st.sampled_from([(1,), (2,), (200,)]),
            "first_id_unmatched": st.booleans(),
        }
    ),
)
def test_precision_is_that_of_the_loop(
    folder: Path, case: tuple[dict[str, Any], list[Row]], options: dict[str, Any]
) -> None:
    protocol = {"name": "tinyperson", "sides": SIDES, "miss_rates": False, **options}
    result = scored(*case, folder, protocol)
    for threshold in THRESHOLDS:
        for size, sides in SIDES.items():
            expected = precision_of(*case, threshold, Precision(sides, options))
            name = f"AP{100 * threshold:.0f}" + ("" if size == "all" else f"_{size}")
            assert result[name] == pytest.approx(expected, abs=TOLERANCE), name


@settings(max_examples=40)
@given(cases())
def test_miss_rates_are_those_of_the_loop(
    folder: Path, case: tuple[dict[str, Any], list[Row]]
) -> None:
    result = scored(*case, folder, "tinyperson")
    for threshold in THRESHOLDS:
        for setup, sizes in SETUPS.items():
            expected = miss_rate_of(*case, threshold, MissRate(sizes))
            name = f"MR{100 * threshold:.0f}" + ("" if setup == "All" else f"_{setup}")
            assert result[name] == pytest.approx(expected, abs=TOLERANCE), name


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_images_and_detections_decides_nothing_but_ties(
    folder: Path, case: tuple[dict[str, Any], list[Row]], random: Any
) -> None:
    truth, results = case
    for number, row in enumerate(results):  # no two detections have one score
        row["score"] = (number + 1) / 100
    before = scored(truth, results, folder, "tinyperson")
    shuffled = list(results)
    random.shuffle(shuffled)
    turned = truth | {"images": truth["images"][::-1]}
    assert dict(scored(turned, shuffled, folder, "tinyperson")) == dict(before)
