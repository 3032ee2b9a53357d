"""Protocols and results by cases that can be counted by hand."""

import json
from typing import Any

import numpy as np
import pytest
from evaluation_cases import found_of, truth_of

from tinyscope.errors import SettingsError
from tinyscope.evaluation import PROTOCOLS, Counts, Result, evaluate

A, B, FAR = (0, 0, 10, 10), (50, 50, 60, 60), (200, 200, 210, 210)
LARGE = (0, 0, 30, 60)
NAMES = ("boat", "person", "car")


def example() -> Result:
    """Two boats, one found with a false one before it; one person, missed; no car."""
    truth = truth_of([(0, 0, A), (1, 0, B), (0, 1, (0, 0, 4, 4))], images=3, names=NAMES)
    rows = [(0, 0, FAR, 0.9), (0, 0, A, 0.8), (2, 2, A, 0.7), (1, 0, FAR, 0.1)]
    return evaluate(truth, found_of(rows), "tiny")


def test_numbers_can_be_counted_by_hand() -> None:
    result = example()
    boat = 51 / 101 * 0.5  # precision 1/2 at recalls 0 .. 0.5
    assert result.per_class["boat"]["AP"] == pytest.approx(boat)
    assert result.per_class["person"]["AP"] == 0
    assert result.per_class["car"]["AP"] == -1
    assert result["AP"] == pytest.approx(boat / 2)  # classes without objects are left out
    assert result["AP50_2-8"] == 0
    assert result["AP50_8-16"] == pytest.approx(boat)
    assert result["AP50_16-32"] == -1
    assert result["AR"] == result["AR@1500"] == 0.25
    assert result["AR@1"] == 0
    assert result.per_size["8-16"]["objects"] == 2
    assert result.per_class["person"]["objects"] == 1


def test_counts_are_those_from_a_score_up() -> None:
    result = example()
    assert result.counts(0.75) == Counts(found=1, missed=2, false=1)
    assert result.counts(0.8, name="boat") == Counts(found=1, missed=1, false=1)
    assert result.counts(0.81, name="boat") == Counts(found=0, missed=2, false=1)
    assert result.counts(0.0, threshold=0.75, name="boat") == Counts(found=1, missed=1, false=2)
    assert result.counts(0.0, size="2-8") == Counts(found=0, missed=1, false=0)
    assert result.best_score() == 0.71  # the least of equal ones
    with pytest.raises(ValueError, match=r"multiple of 0\.01 up to 1, got 0\.123"):
        result.counts(0.123)
    with pytest.raises(ValueError, match=r"no threshold 0\.3"):
        result.counts(0.5, threshold=0.3)


def test_false_detections_of_a_class_without_objects_are_counted() -> None:
    assert example().counts(0.5, name="car") == Counts(found=0, missed=0, false=1)
    assert example().counts(0.5) == Counts(found=1, missed=2, false=2)


def test_the_table_shows_sizes_classes_counts_and_a_dash_for_nothing_to_score() -> None:
    lines = example().table.splitlines()
    assert lines[0] == "protocol tiny: 3 images, 3 objects, 4 detections"
    assert lines[2].split() == ["all", "2-8", "8-16", "16-32", "32+"]
    assert lines[4].split() == ["AP50", "0.126", "0.000", "0.252", "-", "-"]
    assert "objects      3      1      2      0    0" in lines[9]
    assert any(line.split()[:2] == ["car", "-"] for line in lines)
    assert lines[-1].startswith("at the score of the best F1, 0.71: 1 found, 2 missed, 1 false")


def test_the_table_names_no_best_score_where_nothing_is_found() -> None:
    truth = truth_of([(0, 0, A)])
    nothing = evaluate(truth, found_of([]), "tiny")
    assert nothing.table.endswith("\n\nthere are no detections: 1 missed")
    far = evaluate(truth, found_of([(0, 0, FAR, 0.5)]), "tiny")
    assert far.outcome == "nothing is found at any score: 1 missed, 1 false"


def test_json_holds_stamp_numbers_and_curves() -> None:
    result = example().stamped(truth="t.json")
    content = json.loads(result.to_json())
    stamp = content["stamp"]
    assert stamp["protocol"] == "tiny"
    assert stamp["truth"] == "t.json"
    assert stamp["options"]["limits"] == [1, 100, 1500]
    assert stamp["options"]["sides"]["2-8"] == [2, 8]
    assert len(stamp["options"]["thresholds"]) == 10
    assert {"tinyscope", "numpy", "python"} <= set(stamp["versions"])
    assert content["metrics"] == dict(result)
    assert content["counts"] == {
        **{"score": 0.71, "threshold": 0.5},
        **{"found": 1, "missed": 2, "false": 1},
    }
    assert set(content["curves"]["boat"]) == {"AP50", "AP75"}
    assert len(content["curves"]["boat"]["AP50"]["precision"]) == len(content["recalls"]) == 101


def test_curves_give_precision_and_score_at_recall() -> None:
    curves = example().curves["boat"]
    assert curves.precision[0, :51].tolist() == [0.5] * 51
    assert curves.precision[0, 51:].tolist() == [0.0] * 50
    assert curves.scores[0, 1] == 0.8


def test_an_unknown_number_says_which_there_are() -> None:
    with pytest.raises(KeyError, match="no number named 'AP5'; there are AP, AP50, AP55"):
        example()["AP5"]


REGION = (100, 100, 200, 200)
INSIDE = [(0, 0, (100 + 20 * i, 100, 110 + 20 * i, 110), 0.9) for i in range(4)]


@pytest.mark.parametrize(
    ("mark", "treatment", "false"),
    [
        ("crowd", "region", 0),
        ("ignore", "region", 0),
        ("ignore", "once", 4),
        ("ignore", "object", 4),
        ("crowd", "once", 4),
    ],
)
def test_a_region_takes_in_any_number_of_detections(mark: str, treatment: str, false: int) -> None:
    truth = truth_of([(0, 0, A), (0, 0, REGION)], **{mark: [False, True]})
    found = found_of([*INSIDE, (0, 0, A, 0.5)])
    result = evaluate(truth, found, {"name": "coco", mark: treatment})
    assert result.counts(0.0) == Counts(1, int(treatment == "object"), false)


def test_an_object_ignored_once_takes_in_one_detection() -> None:
    truth = truth_of([(0, 0, A), (0, 0, B)], ignore=[False, True])
    found = found_of([(0, 0, B, 0.9), (0, 0, B, 0.8), (0, 0, A, 0.5)])
    assert evaluate(truth, found, {"name": "tiny", "ignore": "once"}).counts(0.0) == Counts(1, 0, 1)
    assert evaluate(truth, found, "tiny").counts(0.0) == Counts(1, 0, 0)


def test_sizes_are_areas_or_sides_with_both_ends_included() -> None:
    truth = truth_of([(0, 0, (0, 0, 8, 8)), (0, 0, (20, 20, 29, 29))])
    found = found_of([(0, 0, (0, 0, 8, 8), 0.9)])
    sides = {"all": [0, 100], "a": [2, 8], "b": [8, 16]}
    result = evaluate(truth, found, {"name": "coco", "sizes": sides, "measure": "side"})
    assert [result.objects(size=s) for s in sides] == [2, 1, 2]
    areas = {"all": [0, 1000], "a": [4, 64], "b": [64, 256]}
    other = evaluate(truth, found, {"name": "coco", "sizes": areas})
    assert dict(other) == dict(result)


@pytest.mark.parametrize("name", PROTOCOLS.names())
@pytest.mark.parametrize("rows", [[], [(0, 0, LARGE)]])
@pytest.mark.parametrize("detections", [[], [(0, 0, LARGE, 0.5)]])
def test_every_protocol_scores_something_and_nothing(
    name: str, rows: list[Any], detections: list[Any]
) -> None:
    result = evaluate(truth_of(rows), found_of(detections), name)
    assert result["AP50"] == pytest.approx(-1 if not rows else len(detections))
    assert result.stamp["protocol"] == name
    json.loads(result.to_json())
    assert f"protocol {name}: 1 images" in str(result)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": [0.5, 1.5]}, r"thresholds: got \(0\.5, 1\.5\); must be IoUs above 0"),
        ({"thresholds": []}, r"thresholds: got \(\)"),
        ({"limits": [10, 1]}, r"limits: got \(10, 1\); must be ascending"),
        ({"sizes": {"all": [5, 2]}}, r"sizes: got .*must name at least one \[least, largest\]"),
        ({"limit": [1]}, r"limit: no such option of coco; did you mean limits\?"),
        ({"crowd": "regions"}, r"crowd: got 'regions'; .*did you mean region\?"),
    ],
)
def test_settings_that_cannot_be_scored_are_refused(options: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"evaluate\.protocol[.:] ?{words}"):
        evaluate(truth_of([]), found_of([]), {"name": "coco", **options})


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(SettingsError, match="no protocol named 'cocoo'; did you mean coco"):
        evaluate(truth_of([]), found_of([]), "cocoo")


def test_the_arguments_are_left_as_they_were() -> None:
    truth, found = truth_of([(0, 0, A), (0, 0, B)]), found_of([(0, 0, A, 0.2), (0, 0, B, 0.9)])
    before = [np.copy(x) for x in (truth.boxes, truth.labels, found.boxes, found.scores)]
    evaluate(truth, found, "tiny")
    for old, new in zip(
        before, (truth.boxes, truth.labels, found.boxes, found.scores), strict=True
    ):
        np.testing.assert_array_equal(old, new)
