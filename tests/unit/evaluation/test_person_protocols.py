"""The protocols of persons by cases that can be counted by hand."""

import json

import numpy as np
import pytest
from evaluation_cases import found_of, truth_of

from tinyscope.engine.evaluate import evaluate_files
from tinyscope.engine.loop import check_monitor
from tinyscope.errors import DataError, SettingsError
from tinyscope.evaluation import evaluate, protocol_of
from tinyscope.evaluation.tinyperson import published_lines

A, B, C = (0, 0, 6, 6), (50, 50, 60, 60), (100, 100, 115, 115)  # tiny1, tiny2, tiny3
REGION = (200, 200, 300, 300)


def touching_region(count):  # type: ignore[no-untyped-def]
    """Detections of 6 px inside the region, better than all others."""
    return [(0, 0, (200 + 10 * i, 200, 206 + 10 * i, 206), 0.95) for i in range(count)]


def test_detections_in_what_is_ignored_or_uncertain_cost_nothing():
    rows = [(0, 0, A), (0, 0, REGION)]
    found = found_of([*touching_region(5), (0, 0, A, 0.5)])
    for mark in ("ignore", "uncertain"):
        result = evaluate(truth_of(rows, **{mark: [False, True]}), found, "tinyperson")
        assert result["AP50"] == result["AP50_tiny1"] == pytest.approx(1)
        assert result["MR50_tiny1"] == 0
        assert result.stamp["ignored"] == 1
    told = evaluate(
        truth_of(rows, uncertain=[False, True]),
        found,
        {"name": "tinyperson", "uncertain": "object"},
    )
    assert told["AP50"] < 0.2
    assert told.stamp["objects"] == 2
    never = {"name": "tinyperson", "ignored_by_cover": "never"}
    assert evaluate(truth_of(rows, ignore=[False, True]), found, never)["AP50"] < 0.2


def test_objects_of_other_sizes_cover_detections_as_well():
    truth = truth_of([(0, 0, A), (0, 0, REGION)])
    result = evaluate(truth, found_of([*touching_region(5), (0, 0, A, 0.5)]), "tinyperson")
    assert result["AP50_tiny1"] == pytest.approx(1)
    assert result["AP50"] < 0.2


def test_both_ends_of_a_size_belong_to_it():
    truth = truth_of([(0, 0, (0, 0, 8, 8)), (0, 0, (20, 0, 21, 1)), (0, 0, (40, 0, 40.5, 0.5))])
    result = evaluate(truth, found_of([]), "tinyperson")
    counts = {size: result.objects(size=size) for size in result.sizes}
    assert counts == {
        **{"all": 2, "tiny": 2, "tiny1": 2, "tiny2": 1, "tiny3": 0, "small": 0, "reasonable": 0}
    }


def test_published_evaluators_differ_in_limits_and_covers():
    options = {
        name: protocol_of({"name": "tinyperson", "published": name})
        for name in ("tinybenchmark", "tov", "huicv")
    }
    assert {name: rules.limits for name, rules in options.items()} == {
        **{"tinybenchmark": (200,), "tov": (1000,), "huicv": (200,)}
    }
    assert options["huicv"].ignored_by_cover == "raised"
    assert protocol_of({"name": "tinyperson", "published": "tov", "limits": [100]}).limits == (100,)


def test_the_limit_holds_for_precision_and_not_for_miss_rates():
    many = [(0, 0, (200 + 10 * i, 0, 206 + 10 * i, 6), 0.9) for i in range(5)]
    truth, found = truth_of([(0, 0, A)]), found_of([*many, (0, 0, A, 0.5)])
    result = evaluate(truth, found, {"name": "tinyperson", "limits": [5]})
    assert result["AP50"] == result["AR50"] == 0
    assert result["MR50"] == 0  # the published wrap: the first is false, so all recall counts


def test_the_object_with_id_0_counts_as_not_found_unless_told_otherwise():
    truth, found = truth_of([(0, 0, A)], ids=[0]), found_of([(0, 0, A, 0.5)])
    assert evaluate(truth, found, "tinyperson")["AP50"] == 0
    assert evaluate(truth, found, "tinyperson")["MR50"] == 1
    other = {"name": "tinyperson", "first_id_unmatched": False}
    assert evaluate(truth, found, other)["AP50"] == pytest.approx(1)
    assert evaluate(truth, found, other)["MR50"] == 0


def test_dense_images_are_dropped_when_asked_for_and_counted():
    rows = [(0, 0, A), (1, 0, A), (1, 0, B)]
    truth = truth_of(rows, images=3, in_dense_image=[False, True, True])
    found = found_of([(0, 0, A, 0.5), (1, 0, C, 0.9), (2, 0, C, 0.1)])
    assert evaluate(truth, found, "tinyperson").stamp["images"] == 3
    result = evaluate(truth, found, {"name": "tinyperson", "dense_images": "drop"})
    assert result["AP50"] == pytest.approx(1)
    assert result.stamp["images"] == 2
    assert result.stamp["dense_images"] == result.stamp["detections_in_dense_images"] == 1
    assert "left out: 1 dense images and 1 detections in them" in result.table
    dense = truth_of([(0, 0, A)], in_dense_image=[True])
    with pytest.raises(DataError, match="all 1 images are marked in_dense_image"):
        evaluate(dense, found, {"name": "tinyperson", "dense_images": "drop"})


def test_miss_rates_are_read_at_false_detections_per_image():
    # 100 images, two objects; one is found, then one detection is false, then the other is found.
    rows = [(0, 0, A), (1, 0, A)]
    found = found_of([(0, 0, A, 0.9), (5, 0, A, 0.8), (1, 0, A, 0.7)])
    result = evaluate(truth_of(rows, images=50), found, "tinyperson")
    # 0.02 per image lie between the second and the third point.
    assert result["MR50_tiny1"] == pytest.approx(0)
    half = evaluate(truth_of([*rows, (2, 0, A)], images=50), found, "tinyperson")
    assert half["MR50_tiny1"] == pytest.approx(np.exp((2 * np.log(2 / 3) + 7 * np.log(1 / 3)) / 9))


def test_detections_far_from_a_setup_are_left_out_of_its_miss_rate():
    truth = truth_of([(0, 0, A)], images=200)
    large = [(i, 0, (x, 90, x + 30, 120), 0.9) for i in range(200) for x in (0, 90)]
    result = evaluate(truth, found_of([*large, (0, 0, A, 0.5)]), "tinyperson")
    assert result["MR50_tiny"] == 0
    assert result["MR50"] == 1


def test_an_object_that_is_hardly_visible_is_ignored_in_miss_rates():
    truth = truth_of([(0, 0, A), (0, 0, B)])
    truth.measures.update({"vis_ratio": np.array([0.5, np.nan])})  # type: ignore[attr-defined]
    result = evaluate(truth, found_of([(0, 0, B, 0.5)]), "tinyperson")
    assert (result["MR50"], result["MR50_tiny1"]) == (0, -1)
    assert result["AP50_tiny1"] == 0


def test_the_table_shows_miss_rates_under_precision():
    result = evaluate(truth_of([(0, 0, A)]), found_of([(0, 0, A, 0.5)]), "tinyperson")
    lines = result.table.splitlines()
    assert lines[2].split() == list(result.sizes)
    at = lines.index(next(line for line in lines if line.startswith("MR25")))
    assert lines[at - 1].split() == ["tiny1", "tiny2", "tiny3", "tiny", "small", "All"]
    assert lines[at + 1].split() == ["MR50", "0.000", "-", "-", "0.000", "-", "0.000"]
    without = {"name": "tinyperson", "miss_rates": False}
    result = evaluate(truth_of([(0, 0, A)]), found_of([]), without)
    assert "MR50" not in result
    assert "MR" not in result.table
    assert result["AR50_tiny1"] == 0


def test_lines_are_printed_as_published():
    lines = published_lines(evaluate(truth_of([(0, 0, A)]), found_of([]), "tinyperson"))
    assert len(lines) == 42
    assert lines[8] == (
        " Average Precision  (AP) @[ IoU=0.50      | area=  tiny | maxDets=200 ] = 0.0000"
    )
    assert lines[-1] == (
        " Average Recall     (AR) @[ IoU=0.75      | area=reasonable | maxDets=200 ] = -1.0000"
    )


def test_the_stamp_holds_all_settings():
    stamp = json.loads(evaluate(truth_of([]), found_of([]), "tinyperson").to_json())["stamp"]
    assert stamp["protocol"] == "tinyperson"
    assert stamp["options"]["limits"] == [200]
    assert stamp["options"]["ignored_by_cover"] == "threshold"
    assert stamp["options"]["sides"]["tiny"] == [1, 20]


def test_citypersons_judges_heights_and_visible_shares():
    tall, short, hidden = (0, 0, 20, 60), (100, 0, 110, 30), (200, 0, 230, 70)
    truth = truth_of([(0, 0, tall), (0, 0, short), (0, 0, hidden)])
    truth.measures.update({"vis_ratio": np.array([1.0, 0.9, 0.3])})  # type: ignore[attr-defined]
    found = found_of([(0, 0, tall, 0.9), (0, 0, hidden, 0.8)])
    result = evaluate(truth, found, "citypersons")
    assert result["MR50_Reasonable"] == 0
    assert result["MR50_small"] == 1
    assert result["MR50_Reasonable_occ=heavy"] == 0
    assert result["MR50"] == pytest.approx(1 / 3)
    assert result.objects(size="Reasonable") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": [0.5, 25]}, r"thresholds: got \(0\.5, 25\.0\); must be IoUs above 0"),
        ({"limits": [200, 100]}, r"limits: got \(200, 100\); must be ascending"),
        ({"sides": {"tiny": [20, 2]}}, r"sizes: got .*must name at least one"),
        ({"uncertain": "ignored"}, r"uncertain: got 'ignored'"),
        ({"published": "tiny_benchmark"}, r"published: got .*did you mean tinybenchmark"),
    ],
)
def test_settings_that_cannot_be_scored_are_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        protocol_of({"name": "tinyperson", **options})


def test_a_miss_rate_cannot_choose_the_best_weights():
    numbers = evaluate(truth_of([]), found_of([]), "tinyperson")
    check_monitor("AP50_tiny", numbers)
    with pytest.raises(SettingsError, match="MR50_tiny is a miss rate, of which less is better"):
        check_monitor("MR50_tiny", numbers)


def files(folder, objects, detections):  # type: ignore[no-untyped-def]
    truth = {
        "images": [{"id": 0, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5], **row}
            for i, row in enumerate(objects)
        ],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    rows = [{"category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5, **row} for row in detections]
    (folder / "found.json").write_text(json.dumps(rows))
    return folder / "truth.json", folder / "found.json"


@pytest.mark.parametrize(
    ("row", "detection", "words"),
    [
        (
            {"uncertain": "yes"},
            {"image_id": 0},
            "annotation 0: uncertain must be 0 or 1, got 'yes'",
        ),
        ({"ignore": 2}, {"image_id": 0}, "annotation 0: ignore must be 0 or 1, got 2"),
        ({}, {"image_id": 8}, "image_id 8 is no image of the data set"),
    ],
)
def test_malformed_files_are_refused(tmp_path, row, detection, words):
    with pytest.raises(DataError, match=words):
        evaluate_files(*files(tmp_path, [row], [detection]), "tinyperson")
