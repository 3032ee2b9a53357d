"""Scoring in parts: the numbers of scoring at once, whatever the parts are."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_cases import found_of, truth_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyscope.engine import evaluate as engine
from tinyscope.errors import DataError
from tinyscope.evaluation import evaluate, parts, protocol
from tinyscope.evaluation.order import order_objects, rank_detections
from tinyscope.evaluation.pairing import candidates
from tinyscope.evaluation.protocol import area_bin, make_result
from tinyscope.evaluation.scores import cells
from tinyscope.formats import store
from tinyscope.formats.coco import write_annotations, write_detections
from tinyscope.formats.store import stored_detections
from tinyscope.formats.tables import Annotations, DetectionTable

IMAGES, NAMES = 7, ("boat", "person", "car")
AREAS = {"all": (0.0, 1e10), "tiny": (0.0, 64.0), "rest": (64.0, 1e10)}
THRESHOLDS, LIMITS = (0.25, 0.5, 0.75), (1, 3, 8)


def drawn(seed: int) -> tuple[Annotations, DetectionTable]:
    """Boxes on a coarse grid, so that many overlap and tie; scores of few values."""
    rng = np.random.default_rng(seed)
    n, d = rng.integers(0, 40), rng.integers(0, 200)

    def boxes(count: int) -> list[list[float]]:
        low, sides = rng.integers(0, 5, (count, 2)) * 4, rng.integers(1, 4, (count, 2)) * 4
        return np.concatenate([low, low + sides], axis=1).astype(float).tolist()

    def places(count: int) -> Iterator[tuple[int, int]]:
        images, labels = rng.integers(0, IMAGES, count), rng.integers(0, rng.integers(1, 4), count)
        return zip(images.tolist(), labels.tolist(), strict=True)

    rows = [(i, k, box) for (i, k), box in zip(places(n), boxes(n), strict=True)]
    scores = rng.choice([0.1, 0.25, 0.3, 0.305, 1.0], d).tolist()
    found = [(i, k, box, s) for (i, k), box, s in zip(places(d), boxes(d), scores, strict=True)]
    crowd = rng.random(n) < 0.15
    truth = truth_of(rows, IMAGES, NAMES, crowd=crowd, ignore=rng.random(n) < 0.1)
    return truth, found_of(found)


def at_once(truth: Annotations, found: DetectionTable) -> Any:
    """The arrays made of all detections at a time, without parts."""
    objects = order_objects(truth, ignored=truth.ignore, regions=truth.crowd)
    ranked = rank_detections(found, truth, LIMITS[-1])
    bins = [area_bin(objects, ranked, low, high) for low, high in AREAS.values()]
    close = candidates(ranked, objects, min(THRESHOLDS))
    return make_result(
        truth.names, ranked, cells(ranked, objects, close, bins, THRESHOLDS, LIMITS),
        thresholds=THRESHOLDS, sizes=tuple(AREAS), limits=LIMITS, stamp={},
    ).scores  # fmt: skip


def in_parts(truth: Annotations, found: parts.Found) -> Any:
    return protocol.score_boxes(
        truth, found, thresholds=THRESHOLDS, areas=AREAS, limits=LIMITS,
        crowd="region", ignore="once", stamp={},
    ).scores  # fmt: skip


def assert_same(ours: Any, expected: Any) -> None:
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(ours, name), values, err_msg=name)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_parts_of_any_size_give_the_very_numbers_of_all_at_once(seed: int, rows: int) -> None:
    truth, found = drawn(seed)
    expected = at_once(truth, found)
    assert_same(in_parts(truth, found), expected)
    pieces = list(parts.parts_of(found, rows)())
    assert sum(map(len, pieces)) == len(found)
    held = [set(piece.images.tolist()) for piece in pieces]
    assert sum(map(len, held)) == len(set().union(*held)), "an image is in two parts"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "parts_of", lambda found: parts.parts_of(found, rows))
        assert_same(in_parts(truth, found), expected)


@pytest.mark.parametrize("number", [1, 3, 7, 100])
def test_detections_on_disk_score_as_those_in_memory(tmp_path: Path, number: int) -> None:
    truth, found = drawn(6)
    assert len(found) > 100
    write_detections(found, truth, tmp_path / "found.json")
    with stored_detections(tmp_path / "found.json", truth, number) as stored:
        assert len(stored) == len(found)
        assert len(list(stored.parts())) == min(number, IMAGES)
        assert_same(in_parts(truth, stored), at_once(truth, found))
        folder = stored.files[0].parent
    assert not folder.exists()


@pytest.mark.parametrize("name", ["ai_tod", "coco", "tiny", "tinyperson"])
def test_a_large_list_is_scored_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    truth, found = drawn(6)
    write_annotations(truth, tmp_path / "truth.json")
    write_detections(found, truth, tmp_path / "found.json")
    files = tmp_path / "truth.json", tmp_path / "found.json"
    small = engine.evaluate_files(*files, name)
    monkeypatch.setattr(engine, "AT_ONCE", 0)
    assert json.loads(engine.evaluate_files(*files, name).to_json()) == json.loads(small.to_json())


def test_classes_together_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, found = drawn(6)
    options = {"name": "ai_tod", "classes": "together"}
    expected = evaluate(truth, found, options)
    assert list(expected.per_class) == ["all"]
    monkeypatch.setattr(protocol, "parts_of", lambda found: parts.parts_of(found, 10))
    assert dict(evaluate(truth, found, options)) == dict(expected)


def test_a_file_that_cannot_be_read_is_no_lack_of_room(tmp_path, monkeypatch):
    truth, found = drawn(3)
    write_detections(found, truth, tmp_path / "found.json")

    def broken(*_: Any) -> Iterator[DetectionTable]:
        raise OSError(5, "the disk is broken")
        yield

    monkeypatch.setattr(store, "read_detection_pieces", broken)
    with (
        pytest.raises(OSError, match="the disk is broken"),
        stored_detections(tmp_path / "found.json", truth),
    ):
        pass


def test_rows_that_cannot_be_written_are_a_lack_of_room(tmp_path, monkeypatch):
    truth, found = drawn(3)
    write_detections(found, truth, tmp_path / "found.json")
    (tmp_path / "0.rows").symlink_to("/dev/full")
    monkeypatch.setattr(store.tempfile, "TemporaryDirectory", lambda prefix: nullcontext(tmp_path))
    with (
        pytest.raises(DataError, match=r"cannot hold .*No space left.*set TMPDIR"),
        stored_detections(tmp_path / "found.json", truth, parts=1),
    ):
        pass
