"""COCO files: what is read, what is refused and in which words, what is written."""

import copy
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyscope.errors import DataError
from tinyscope.formats import rows
from tinyscope.formats.coco import (
    detection_writer,
    read_annotations,
    read_detections,
    write_annotations,
    write_detections,
)
from tinyscope.formats.tables import Annotations, DetectionTable

TRUTH: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "b/2.png", "width": 100, "height": 50},
        {"id": 3, "file_name": "1.png"},
        {"id": 5, "file_name": "empty.png", "width": 10, "height": 10},
    ],
    "categories": [{"id": 4, "name": "boat"}, {"id": 2, "name": "person"}],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 11.5},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0.1, 0.2, 3.3, 4], "iscrowd": 1},
        {"id": 3, "image_id": 3, "category_id": 4, "bbox": [5, 5, 2, 2], "ignore": 1},
    ],
}
FOUND: list[dict[str, Any]] = [
    {"image_id": 3, "category_id": 2, "bbox": [1.1, 2.3, 3.3, 4.7], "score": 0.5},
    {"image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 4], "score": 1, "id": 12},
]


@pytest.fixture
def truth_file(tmp_path: Path) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(TRUTH))
    return path


@pytest.fixture
def truth(truth_file: Path) -> Annotations:
    return read_annotations(truth_file)


def equal(one: Any, other: Any) -> bool:
    """Whether both say the same, whatever file they are from."""
    keys = vars(one).keys() - {"source"}
    return all(np.array_equal(getattr(one, k), getattr(other, k)) for k in keys)


def test_rows_are_grouped_by_image_and_labels_count_from_0(truth: Annotations) -> None:
    assert truth.names == ("boat", "person")
    assert truth.category_ids == (4, 2)
    assert truth.image_ids.tolist() == [7, 3, 5]
    assert truth.offsets.tolist() == [0, 1, 3, 3]
    assert truth.annotation_ids.tolist() == [2, 1, 3]
    assert truth.labels.tolist() == [0, 1, 0]
    assert truth.sizes.tolist() == [[50, 100], [0, 0], [10, 10]]
    np.testing.assert_allclose(truth.boxes, [[0.1, 0.2, 3.4, 4.2], [1, 2, 4, 6], [5, 5, 7, 7]])


def test_crowds_and_the_ignore_flag_are_ignored_and_areas_are_those_stated(
    truth: Annotations,
) -> None:
    assert truth.ignore.tolist() == [True, False, True]
    assert truth.crowd.tolist() == [True, False, False]
    np.testing.assert_array_equal(truth.areas, [3.3 * 4, 11.5, 4])


def test_files_are_below_the_folder_of_images(truth: Annotations, truth_file: Path) -> None:
    assert truth.path(0) == truth_file.parent / "b" / "2.png"
    assert read_annotations(truth_file, Path("/pictures")).path(1) == Path("/pictures/1.png")


def test_a_backslash_in_a_file_name_is_a_separator(tmp_path: Path) -> None:
    changed = copy.deepcopy(TRUTH)
    changed["images"][0]["file_name"] = "b\\2.png"
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(changed))
    assert read_annotations(path).files[0] == "b/2.png"


def test_a_set_without_objects_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({**TRUTH, "annotations": []}))
    truth = read_annotations(path)
    assert truth.boxes.shape == (0, 4)
    assert truth.offsets.tolist() == [0, 0, 0, 0]


def test_a_box_partly_outside_its_image_is_kept_as_it_stands(tmp_path: Path) -> None:
    changed = copy.deepcopy(TRUTH)
    changed["annotations"][1]["bbox"] = [-1, 48, 5, 5]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(changed))
    assert read_annotations(path).boxes[0].tolist() == [-1, 48, 4, 53]


def _set(*keys: Any, value: Any) -> Callable[[Any], Any]:
    def change(content: Any) -> Any:
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return content

    return change


def _remove(*keys: Any) -> Callable[[Any], Any]:
    def change(content: Any) -> Any:
        place = content
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]
        return content

    return change


BOX = ("annotations", 1, "bbox")
BAD_TRUTHS = {
    "no images": (_set("images", value=[]), r"truth.json: the data set is empty: no images"),
    "no categories": (_set("categories", value=[]), r"truth.json: no categories are listed"),
    "no list": (_remove("annotations"), r"no list 'annotations'.*\(found: images, categories\)"),
    "nan": (_set(*BOX, value=[0, 0, float("nan"), 1]), r"annotation 2: bbox .*nan.* not finite"),
    "inf": (_set(*BOX, value=[0, 0, float("inf"), 1]), r"annotation 2: bbox .*inf.* not finite"),
    "negative": (_set(*BOX, value=[0, 0, -2, 1]), r"annotation 2: box .*-2.*zero or negative"),
    "zero": (_set(*BOX, value=[0, 0, 2, 0]), r"annotation 2: box .*zero or negative; remove"),
    "right of": (_set(*BOX, value=[100, 0, 2, 2]), r"outside its image of 100 x 50 pixels"),
    "left of": (_set(*BOX, value=[-5, 0, 5, 2]), r"outside its image of 100 x 50 pixels"),
    "below": (_set(*BOX, value=[0, 50, 2, 2]), r"outside its image of 100 x 50 pixels"),
    "three numbers": (_set(*BOX, value=[1, 2, 3]), r"annotation 2: bbox must be \[x, y, width"),
    "text in a box": (_set(*BOX, value=[1, 2, 3, "4"]), r"bbox must be \[x, y, width"),
    "no box": (_set(*BOX, value=None), r"annotation 2: bbox must be .*got None"),
    "missing box": (_remove(*BOX), r"annotation 2: the key 'bbox' is missing; add it"),
    "missing id": (_remove("annotations", 1, "id"), r"annotation number 1, .*'id' is missing"),
    "category": (
        _set("annotations", 1, "category_id", value=9),
        r"annotation 2: category_id 9 is no category of the data set \(2 ids, 2 to 4\)",
    ),
    "image": (_set("annotations", 1, "image_id", value=9), r"image_id 9 is no image of the data"),
    "image twice": (_set("images", 1, "id", value=7), r"image 7: the id 7 is used twice"),
    "annotation twice": (_set("annotations", 1, "id", value=1), r"annotation 1: the id 1 is used"),
    "category twice": (_set("categories", 1, "id", value=4), r"category 4: the id 4 is used"),
    "name twice": (_set("categories", 1, "name", value="boat"), r"the name 'boat' is used twice"),
    "id as text": (_set("images", 1, "id", value="a"), r"image a: id must be a whole number"),
    "fraction": (_set("images", 1, "id", value=1.5), r"id must be a whole number, got 1.5"),
    "huge id": (_set("images", 1, "id", value=2**70), r"id \d+ is beyond 64 bits"),
    "parent": (_set("images", 0, "file_name", value="../a.png"), r"'../a.png' leaves the folder"),
    "absolute": (_set("images", 0, "file_name", value="/a.png"), r"'/a.png' leaves the folder"),
    "windows": (_set("images", 0, "file_name", value="C:\\a.png"), r"leaves the folder"),
    "no name": (_set("images", 0, "file_name", value=""), r"file_name must be a path, got ''"),
    "size": (_set("images", 0, "width", value=-4), r"image 7: height and width must be .*50, -4"),
    "crowd": (_set("annotations", 0, "iscrowd", value=2), r"iscrowd must be 0 or 1, got 2"),
    "area": (_set("annotations", 0, "area", value=-1.0), r"annotation 1: area -1.0 is negative"),
    "no area": (_set("annotations", 0, "area", value="x"), r"area must be a finite number"),
    "no object": (_set("annotations", 0, value=5), r"expected an object, got 5"),
}


@pytest.mark.parametrize("case", BAD_TRUTHS)
def test_a_bad_truth_is_refused_with_its_row_and_value(tmp_path: Path, case: str) -> None:
    change, words = BAD_TRUTHS[case]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(change(copy.deepcopy(TRUTH))))
    with pytest.raises(DataError, match=words):
        read_annotations(path)


BAD_RESULTS = {
    "image": (_set(1, "image_id", value=9), r"found.json: detection 12: image_id 9 is no image"),
    "category": (_set(0, "category_id", value=1), r"detection number 0, .*category_id 1 is no"),
    "nan": (_set(0, "bbox", value=[1, 2, float("nan"), 3]), r"number 0, .*is not finite"),
    "negative": (_set(0, "bbox", value=[1, 2, -1, 3]), r"has a negative side; remove"),
    "score": (_set(0, "score", value=float("nan")), r"score must be a finite number, got nan"),
    "no score": (_remove(0, "score"), r"number 0, counted from 0: the key 'score' is missing"),
    "no object": (_set(0, value=[1]), r"expected an object with a key 'bbox', got \[1\]"),
    "object": (lambda found: {"annotations": found}, r"expected a list of rows"),
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_a_bad_results_list_is_refused_with_its_row_and_value(
    tmp_path: Path, truth: Annotations, case: str
) -> None:
    change, words = BAD_RESULTS[case]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(change(copy.deepcopy(FOUND))))
    with pytest.raises(DataError, match=words):
        read_detections(path, truth)


@pytest.mark.parametrize(
    "text",
    ["", "[", "[1", '[{"a": 1}', '[{"a": 1},]', '[{"a": 1}]]', '[{"a": 1} {"a": 2}]', "[}]", "{"],
)
def test_malformed_json_is_refused_by_both_readers(
    tmp_path: Path, truth: Annotations, text: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.json: (not valid JSON|expected a list)"):
        list(rows.read_rows(path))
    with pytest.raises(DataError, match=r"bad\.json: not valid JSON: .*is the file complete\?"):
        read_annotations(path)


def test_missing_files_and_bytes_that_are_no_text_are_refused(
    tmp_path: Path, truth: Annotations
) -> None:
    with pytest.raises(DataError, match=r"none\.json: cannot be read: No such file"):
        read_annotations(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"none\.json: cannot be read: No such file"):
        read_detections(tmp_path / "none.json", truth)
    (tmp_path / "bytes.json").write_bytes(b'[{"a": "\xff\xfe"}]')
    with pytest.raises(DataError, match=r"bytes\.json: not valid JSON: .*utf-8"):
        read_detections(tmp_path / "bytes.json", truth)


@pytest.mark.parametrize("piece", [4, 10, 64, 1 << 20])
def test_rows_do_not_depend_on_the_pieces_they_are_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    content = [
        {"a": i, "nested": [{"b": "},{"}, {"c": [1, {"d": "]"}]}]} for i in range(9)
    ]  # braces that end no row
    path = tmp_path / "rows.json"
    path.write_text("\ufeff \n" + json.dumps(content, indent=1) + "\n ", encoding="utf-8")
    monkeypatch.setattr(rows, "_PIECE", piece)
    read = list(rows.read_rows(path))
    assert [row for part in read for row in part] == content
    assert piece > 1000 or len(read) > 1


def test_an_empty_list_is_no_detections(tmp_path: Path, truth: Annotations) -> None:
    path = tmp_path / "found.json"
    path.write_text("[]")
    assert len(read_detections(path, truth)) == 0


def test_detections_refer_to_positions_of_the_truth(tmp_path: Path, truth: Annotations) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(FOUND))
    found = read_detections(path, truth)
    assert found.images.tolist() == [1, 0]
    assert found.labels.tolist() == [1, 0]
    assert found.scores.tolist() == [0.5, 1.0]
    np.testing.assert_allclose(found.boxes, [[1.1, 2.3, 4.4, 7.0], [1, 2, 4, 6]])


def test_what_is_written_is_read_back_equal(tmp_path: Path, truth: Annotations) -> None:
    write_annotations(truth, tmp_path / "again.json")
    assert equal(read_annotations(tmp_path / "again.json"), truth)
    content = json.loads((tmp_path / "again.json").read_text())
    assert content["annotations"][0]["bbox"] == [0.1, 0.2, 3.3, 4.0]  # not 3.3000000000000003
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    found = read_detections(tmp_path / "found.json", truth)
    write_detections(found, truth, tmp_path / "copy.json")
    assert equal(read_detections(tmp_path / "copy.json", truth), found)


def test_no_detections_are_written_as_an_empty_list(tmp_path: Path, truth: Annotations) -> None:
    write_detections(DetectionTable.concatenate([]), truth, tmp_path / "none.json")
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_detections_can_be_added_as_they_come(tmp_path: Path, truth: Annotations) -> None:
    with detection_writer(tmp_path / "found.json") as add:
        for image in (3, 7):
            boxes = np.array([[1.0, 2, 4, 6]], dtype=np.float32)
            add(np.array([image]), boxes, np.array([0.5]), np.array([2]))
    assert read_detections(tmp_path / "found.json", truth).images.tolist() == [1, 0]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, truth: Annotations
) -> None:
    path = tmp_path / "found.json"
    path.write_text("[]")
    with pytest.raises(KeyError), detection_writer(path):
        raise KeyError("stop")
    assert path.read_text() == "[]"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.json", "truth.json"]


def test_a_full_disk_and_a_missing_folder_are_said(
    tmp_path: Path, truth: Annotations, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"cannot be written: No such file or directory; choose"):
        write_annotations(truth, tmp_path / "none" / "truth.json")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"out.json: cannot be written: No space left on device"):
        write_annotations(truth, tmp_path / "out.json")
    assert [p.name for p in tmp_path.iterdir()] == ["truth.json"]


def test_real_files_are_read_whole(real_data: Path, tmp_path: Path) -> None:
    truth = read_annotations(
        real_data / "aerial_cars" / "annotations" / "val.json", real_data / "aerial_cars"
    )
    assert len(truth) == 24
    assert len(truth.boxes) == 810
    write_annotations(truth, tmp_path / "again.json")
    again = read_annotations(tmp_path / "again.json", truth.root)
    assert equal(again, truth)
