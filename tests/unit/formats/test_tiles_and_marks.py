"""What files say beyond COCO: flags, numbers, and images that are tiles of larger files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyscope.errors import DataError
from tinyscope.formats.coco import read_annotations, write_annotations
from tinyscope.formats.join import join


def content() -> dict[str, Any]:
    return {
        "images": [
            {"id": i, "file_name": "a.png", "width": 20, "height": 10, "corner": [x, 0, x + 20, 10]}
            for i, x in enumerate((0, 15))
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": 0, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "uncertain": True},
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [2, 2, 3, 3], "vis_ratio": 0.5},
            {"id": 2, "image_id": 0, "category_id": 1, "bbox": [5, 5, 3, 3], "uncertain": False},
        ],
    }


def write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def test_further_columns_come_back_as_they_were_written(tmp_path):
    read = read_annotations(write(tmp_path / "tiles.json", content()))
    assert read.marks.keys() == {"uncertain"}
    assert read.marks["uncertain"].tolist() == [False, False, True]
    np.testing.assert_array_equal(read.measures["vis_ratio"], [0.5, np.nan, np.nan])
    assert read.windows is not None
    assert read.windows.tolist() == [[0, 0, 20, 10], [15, 0, 35, 10]]
    write_annotations(read, tmp_path / "again.json")
    again = read_annotations(tmp_path / "again.json")
    np.testing.assert_array_equal(again.windows, read.windows)
    np.testing.assert_array_equal(again.marks["uncertain"], read.marks["uncertain"])
    np.testing.assert_array_equal(again.measures["vis_ratio"], read.measures["vis_ratio"])


def test_crowds_that_are_flagged_as_well_are_told_from_others(tmp_path):
    values = content()
    values["annotations"][1] |= {"iscrowd": 1}
    values["annotations"][2] |= {"iscrowd": 1, "ignore": True}
    read = read_annotations(write(tmp_path / "tiles.json", values))
    assert read.ignore.tolist() == read.crowd.tolist() == [True, True, False]
    assert read.marks["ignored_crowd"].tolist() == [False, True, False]
    write_annotations(read, tmp_path / "again.json")
    again = read_annotations(tmp_path / "again.json")
    assert again.ignore.tolist() == [True, True, False]
    assert again.marks["ignored_crowd"].tolist() == [False, True, False]


def test_a_choice_of_images_takes_all_columns_with_it(tmp_path):
    read = read_annotations(write(tmp_path / "tiles.json", content()))
    turned = read.take(np.array([1, 0]))
    assert turned.annotation_ids.tolist() == [0, 1, 2]
    assert turned.marks["uncertain"].tolist() == [True, False, False]
    assert turned.offsets.tolist() == [0, 1, 3]
    assert turned.windows is not None
    assert turned.windows[0].tolist() == [15, 0, 35, 10]
    certain = read.keep(~read.marks["uncertain"])
    assert certain.offsets.tolist() == [0, 2, 2]
    assert certain.annotation_ids.tolist() == [1, 2]


def test_joined_splits_keep_what_only_one_of_them_says(tmp_path):
    first, second = content(), content()
    for image in second["images"]:
        image["file_name"] = "b.png"
    del second["annotations"][1]["vis_ratio"]
    parts = [
        read_annotations(write(tmp_path / f"{i}.json", c)) for i, c in enumerate((first, second))
    ]
    both = join(parts)
    assert both.marks["uncertain"].tolist() == [False, False, True, False, False, True]
    assert both.measures["vis_ratio"][0] == 0.5
    assert np.isnan(both.measures["vis_ratio"][1:]).all()
    assert both.windows is not None
    assert len(both.windows) == 4


def test_tiles_and_whole_images_do_not_mix(tmp_path):
    whole = content()
    for image in whole["images"]:
        del image["corner"]
        image["file_name"] = f"{image['id']}.png"
    parts = [
        read_annotations(write(tmp_path / f"{i}.json", c)) for i, c in enumerate((content(), whole))
    ]
    with pytest.raises(DataError, match="holds tiles of images and another whole images"):
        join(parts)


@pytest.mark.parametrize(
    ("corner", "words"),
    [
        (None, "image 1: the key 'corner' is missing"),
        ([0, 0, 20], r"four whole pixels \[x1, y1, x2, y2\], got \[0, 0, 20\]"),
        ([0, 0, 19, 10], r"\[0, 0, 19, 10\].*not as large as the image, 20 x 10"),
        ([0.5, 0, 20.5, 10], "four whole pixels"),
        ([-5, 0, 15, 10], "four whole pixels"),
    ],
)
def test_a_corner_that_cannot_be_is_named(tmp_path, corner, words):
    values = content()
    values["images"][1]["corner"] = corner
    if corner is None:
        del values["images"][1]["corner"]
    with pytest.raises(DataError, match=words):
        read_annotations(write(tmp_path / "tiles.json", values))


@pytest.mark.parametrize("value", [2, "yes", None])
def test_a_mark_is_true_or_false(tmp_path, value):
    values = content()
    values["annotations"][0]["uncertain"] = value
    with pytest.raises(DataError, match=f"annotation 0: uncertain must be 0 or 1, got {value!r}"):
        read_annotations(write(tmp_path / "tiles.json", values))
