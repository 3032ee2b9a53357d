from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyscope.errors import DataError
from tinyscope.formats.join import join
from tinyscope.formats.tables import Annotations


def split(*files: str, objects: int = 1) -> Annotations:
    """Images with the same number of objects each, at places that tell them apart."""
    rows = len(files) * objects
    corners = np.arange(rows, dtype=np.float64)[:, None] + np.array([0, 0, 5, 5])
    return Annotations(
        root=Path("data"),
        names=("boat",),
        category_ids=(1,),
        image_ids=np.arange(1, len(files) + 1),
        files=np.array(files),
        sizes=np.full((len(files), 2), 64, dtype=np.int32),
        offsets=np.arange(len(files) + 1) * objects,
        boxes=corners,
        labels=np.zeros(rows, dtype=np.int64),
        areas=np.full(rows, 25.0),
        ignore=np.zeros(rows, dtype=np.bool_),
        crowd=np.zeros(rows, dtype=np.bool_),
        annotation_ids=np.arange(1, rows + 1),
    )


def test_objects_stay_with_their_images():
    first, second = split("a", "b"), split("c", "d", objects=2)
    both = join([first, second])
    assert both.files.tolist() == ["a", "b", "c", "d"]
    for position, (part, at) in enumerate([(first, 0), (first, 1), (second, 0), (second, 1)]):
        np.testing.assert_array_equal(both.boxes[both.rows(position)], part.boxes[part.rows(at)])
    assert len(set(both.image_ids.tolist())) == 4
    assert len(set(both.annotation_ids.tolist())) == 6


def test_one_split_stays_as_it_is():
    only = split("a")
    assert join([only]) is only


def test_splits_that_share_an_image_are_refused():
    with pytest.raises(DataError, match=r"data: b is in more than one of the splits"):
        join([split("a", "b"), split("b")])


def test_splits_of_other_classes_are_refused():
    with pytest.raises(DataError, match=r"different classes: boat, and car"):
        join([split("a"), replace(split("b"), names=("car",))])


def test_splits_in_several_folders_are_joined_from_the_one_above(tmp_path):
    places = [tmp_path / "set/train", tmp_path / "set/test/all"]
    parts = [replace(split("a"), root=place) for place in places]
    both = join(parts)
    assert both.root == tmp_path / "set"
    assert both.files.tolist() == ["train/a", "test/all/a"]
    assert [both.path(i) for i in range(2)] == [part.path(0) for part in parts]
    nested = join([replace(split("b"), root=tmp_path), parts[0]])
    assert nested.files.tolist() == ["b", "set/train/a"]
