import json

import numpy as np
import pytest
from tile_files import detections_of, edit, write_files

from tinyscope.engine.evaluate import evaluate_files
from tinyscope.engine.merge import merge
from tinyscope.engine.merge_record import tile_and_overlap
from tinyscope.errors import DataError, SettingsError
from tinyscope.tiling import MERGES

SCENES = {
    "a.png": [(3, 4, 9, 10, 250), (40, 30, 46, 36, 201), (39, 31, 44, 35, 222)],
    "b.png": [],
    "c.png": [(60, 28, 66, 34, 244), (82, 55, 90, 63, 200)],
}


@pytest.fixture
def files(tmp_path):
    """Whole images, tiles, and a faultless detector's results in these."""
    whole, tiles = write_files(tmp_path, SCENES, first=100)
    found = tmp_path / "found.json"
    found.write_text(json.dumps(detections_of(tiles)))
    return whole, tiles, found


def rows(path):
    return [(r["image_id"], r["category_id"], r["bbox"]) for r in json.loads(path.read_text())]


@pytest.mark.parametrize("rule", ["nms", "soft_nms", "ownership", "pooled_nms", "tinybenchmark"])
def test_what_several_tiles_show_is_found_once_in_the_whole_image(files, tmp_path, rule):
    whole, tiles, found = files
    done = merge(found, tiles, tmp_path / "out.json", rule)
    assert done.before == len(detections_of(tiles)) > done.after == 5
    assert (done.tiles, done.images, done.rule["name"]) == (36, 3, rule)
    assert sorted(rows(tmp_path / "out.json")) == [
        (100, 30, [3.0, 4.0, 6.0, 6.0]),
        (100, 30, [39.0, 31.0, 5.0, 4.0]),
        (100, 31, [40.0, 30.0, 6.0, 6.0]),
        (114, 30, [60.0, 28.0, 6.0, 6.0]),
        (114, 30, [82.0, 55.0, 8.0, 8.0]),
    ]
    assert evaluate_files(whole, tmp_path / "out.json")["AP"] == pytest.approx(1)


@pytest.mark.parametrize("rule", MERGES.names())
def test_the_order_of_tiles_and_detections_changes_nothing(files, tmp_path, rule):
    _, tiles, found = files

    def add_ties(content):
        content += [row | {"score": 0.5} for row in content]

    def turn(content):
        for part in (content, content["images"]) if isinstance(content, dict) else (content,):
            if isinstance(part, list):
                part.reverse()

    edit(found, add_ties)
    merge(found, tiles, tmp_path / "one.json", rule)
    merge(edit(found, turn), edit(tiles, turn), tmp_path / "two.json", rule)
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "two"))
    if rule == "tinybenchmark":  # which keeps the order of the input
        one, two = (sorted(part, key=str) for part in (one, two))
    assert one == two


def test_ids_and_classes_may_be_those_of_another_file_of_whole_images(files, tmp_path):
    whole, tiles, found = files

    def forget(content):
        del content["old_images"]

    def renumber(content):
        content["categories"] = [{"id": 1, "name": "even"}, {"id": 2, "name": "odd"}]
        content["annotations"] = []
        for image in content["images"]:
            image["id"] -= 100

    edit(tiles, forget)
    with pytest.raises(DataError, match=r"tiles\.json: does not say what the ids .* `truth`"):
        merge(found, tiles, tmp_path / "out.json")
    merge(found, tiles, tmp_path / "out.json", truth=edit(whole, renumber))
    assert (0, 2, [40.0, 30.0, 6.0, 6.0]) in rows(tmp_path / "out.json")


def test_the_best_of_an_image_stay_where_a_limit_is_given(files, tmp_path):
    _, tiles, found = files
    done = merge(found, tiles, tmp_path / "out.json", "tinybenchmark", limit=1)
    left = json.loads((tmp_path / "out.json").read_text())
    assert done.after == len(left) == 2
    assert [row["score"] for row in left] == pytest.approx([0.9, 0.875])
    assert "limit 1" in str(done)


def test_scores_of_merged_detections_say_how_they_were_merged(files, tmp_path):
    whole, tiles, found = files
    out = tmp_path / "out.json"
    merge(found, tiles, out, {"name": "sspnet", "iou_threshold": 0.6}, limit=7)
    merged = evaluate_files(whole, out).stamp["merged"]
    assert merged["rule"]["name"] == "sspnet"
    assert merged["rule"]["iou_threshold"] == 0.6
    assert (merged["limit"], merged["tile"], merged["overlap"]) == (7, [40, 50], 12)
    assert (merged["tiles"], merged["detections"]) == (str(tiles), 5)
    with pytest.raises(DataError, match=r"tiles\.json: lists tiles, but .* merged detections"):
        evaluate_files(edit(tiles, lambda c: c.update(images=of_ids(whole, c))), out)
    edit(out, lambda rows: rows.pop())
    stamp = evaluate_files(whole, out).stamp
    assert "merged" not in stamp
    assert "is of 5 detections, not 4: not stamped" in stamp["notes"][0]
    (tmp_path / "out.merge.json").write_text("{}")
    with pytest.raises(DataError, match=r"out\.merge\.json: says nothing of a rule"):
        evaluate_files(whole, out)


def of_ids(whole, content):
    """Tiles whose ids are those of whole images by chance."""
    ids = [image["id"] for image in json.loads(whole.read_text())["images"]]
    content["annotations"] = []
    return [tile | {"id": i} for tile, i in zip(content["images"], ids, strict=False)]


def test_tiles_scored_as_they_are_are_stamped_as_such(files):
    whole, tiles, found = files
    assert evaluate_files(tiles, found).stamp["scored"] == "tiles as images of their own"
    row = {"image_id": 100, "category_id": 30, "bbox": [1, 1, 2, 2], "score": 0.5}
    found.write_text(json.dumps([row]))
    assert evaluate_files(whole, found).stamp["scored"] == "whole images"


def test_overlaps_that_differ_by_axis_are_both_told():
    windows = np.array([[0, 0, 50, 40], [38, 0, 88, 40], [0, 30, 50, 70], [0, 0, 20, 40]])
    files = np.array(["a", "a", "a", "b"])
    assert tile_and_overlap(windows, files) == ([40, 50], [10, 12])
    assert tile_and_overlap(windows[[0, 3]], files[[0, 3]]) == ([40, 50], None)


def test_coordinates_keep_their_digits(files, tmp_path):
    _, tiles, found = files
    row = {"image_id": 11, "category_id": 30, "bbox": [0.1, 0.2, 3.3, 4.7], "score": 0.123456789}
    found.write_text(json.dumps([row]))
    merge(found, tiles, tmp_path / "out.json", "sspnet")
    (left,) = json.loads((tmp_path / "out.json").read_text())
    corner = json.loads(tiles.read_text())["images"][11]["corner"]
    assert left["bbox"] == pytest.approx([0.1 + corner[0], 0.2 + corner[1], 3.3, 4.7], abs=1e-9)
    assert left["score"] == 0.123456789


def test_nothing_found_is_an_empty_list(files, tmp_path):
    _, tiles, found = files
    found.write_text("[]")
    assert merge(found, tiles, tmp_path / "out.json").after == 0
    assert json.loads((tmp_path / "out.json").read_text()) == []


def test_what_does_not_fit_is_named(files, tmp_path):
    whole, tiles, found = files
    with pytest.raises(
        SettingsError, match=r"rule\.name: no merge named 'sspnt'; did you mean sspnet"
    ):
        merge(found, tiles, tmp_path / "out.json", "sspnt")
    with pytest.raises(SettingsError, match=r"rule\.undecided: asks detectors"):
        merge(found, tiles, tmp_path / "out.json", {"name": "pooled_nms", "undecided": True})
    with pytest.raises(DataError, match="the images are no tiles"):
        merge(found, whole, tmp_path / "out.json", truth=whole)
    found.write_text(json.dumps([{**detections_of(tiles)[0], "image_id": 99}]))
    with pytest.raises(DataError, match="image_id 99 is no image of the data set"):
        merge(found, tiles, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
