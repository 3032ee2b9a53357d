import numpy as np
import pytest
from tile_files import edit, write_files

from tinyscope.engine.tile_sets import by_file, tiles_of_images
from tinyscope.errors import DataError
from tinyscope.formats.coco import read_annotations

SCENES = {"a.png": [(3, 4, 9, 10, 250)], "deep/b.png": [], "c.png": [(20, 20, 26, 26, 244)]}


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path, SCENES)


def test_tiles_are_grouped_by_file_whatever_their_order(files):
    whole, tiles = map(read_annotations, files)
    groups = tiles_of_images(tiles, whole)
    assert [len(group) for group in groups] == [12, 12, 12]
    assert [set(tiles.files[group].tolist()) for group in groups] == [{name} for name in SCENES]
    turned = tiles.take(np.arange(len(tiles))[::-1])
    ids = [tiles.image_ids[group].tolist() for group in groups]
    again = tiles_of_images(turned, whole)
    assert [turned.image_ids[group].tolist() for group in again] == [part[::-1] for part in ids]
    assert [str(turned.files[group[0]]) for group in by_file(turned)] == list(SCENES)[::-1]


def test_files_of_whole_images_are_groups_of_one(files):
    whole = read_annotations(files[0])
    assert [group.tolist() for group in by_file(whole)] == [[0], [1], [2]]


def lose_a_tile(content):
    del content["images"][13]
    content["annotations"] = []


def lose_an_image(content):
    content["images"] = [t for t in content["images"] if t["file_name"] != "c.png"]
    content["annotations"] = []


def repeat_a_corner(content):
    content["images"][5]["corner"] = content["images"][4]["corner"]


def move_out(content):
    content["images"][3]["corner"] = [90, 0, 140, 40]


def rename(content):
    for image in content["images"][:12]:
        image["file_name"] = "d.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_a_tile, r"deep/b\.png \(id 7\): none of its 11 tiles shows the part \[50, 0, 76, 28"),
        (lose_an_image, r"c\.png \(id 14\): none of its 0 tiles shows the part \[0, 0, 130, 90\]"),
        (repeat_a_corner, r"a\.png .*: tile 5 shows the same \[0, 28, 50, 68\] as another one"),
        (move_out, r"tile 3 with the corner \[90, 0, 140, 40\] reaches out of its 130 x 90"),
        (rename, r"12 tiles are of d\.png, which is not among the 3 whole images"),
    ],
)
def test_tiles_that_do_not_make_up_their_image_are_named(files, change, message):
    whole = read_annotations(files[0])
    tiles = read_annotations(edit(files[1], change))
    with pytest.raises(DataError, match=message):
        tiles_of_images(tiles, whole)


def test_tiles_and_whole_images_are_told_apart(files):
    whole, tiles = map(read_annotations, files)
    with pytest.raises(DataError, match="the images are no tiles"):
        tiles_of_images(whole, whole)
    with pytest.raises(DataError, match="these are tiles of images as well"):
        tiles_of_images(tiles, tiles)


def test_an_image_of_unknown_size_cannot_be_checked(files):
    def forget(content):
        del content["images"][1]["width"]

    whole, tiles = read_annotations(edit(files[0], forget)), read_annotations(files[1])
    with pytest.raises(DataError, match=r"deep/b\.png .*: no width and height are stated"):
        tiles_of_images(tiles, whole)


def placed(names):
    """Renames the files of a set of annotations, whole images and tiles alike."""

    def change(content):
        for image in content["images"]:
            image["file_name"] = names.get(image["file_name"], image["file_name"])

    return change


@pytest.mark.parametrize("turned", [False, True])
def test_files_are_known_by_the_ends_of_their_paths(files, turned):
    longer = {name: f"test/{name}" for name in SCENES}
    edit(files[0] if turned else files[1], placed(longer))
    whole, tiles = map(read_annotations, files)
    groups = tiles_of_images(tiles, whole)
    assert [group.tolist() for group in groups] == [
        list(range(12 * i, 12 * i + 12)) for i in (0, 1, 2)
    ]


def test_a_file_of_the_same_name_comes_before_one_with_a_longer_path(files):
    edit(files[0], placed({"c.png": "deep/a.png"}))
    edit(files[1], placed({"c.png": "deep/a.png"}))
    whole, tiles = map(read_annotations, files)
    assert [group[0] for group in tiles_of_images(tiles, whole)] == [0, 12, 24]


def test_a_file_of_the_same_name_in_another_folder_is_another_one(files):
    edit(files[0], placed({"a.png": "train/a.png"}))
    edit(files[1], placed({"a.png": "test/a.png"}))
    whole, tiles = map(read_annotations, files)
    with pytest.raises(DataError, match=r"tiles\.json: 12 tiles are of test/a\.png, .*whole\.json"):
        tiles_of_images(tiles, whole)


def test_files_that_cannot_be_told_apart_are_named(files):
    whole = read_annotations(edit(files[0], placed({"a.png": "x/a.png", "c.png": "y/a.png"})))
    with pytest.raises(DataError, match=r"tiles of a\.png may be of any of x/a\.png, y/a\.png of"):
        tiles_of_images(read_annotations(files[1]), whole)


def test_two_files_are_not_taken_for_one_image(files):
    edit(files[1], placed({"a.png": "x/a.png", "c.png": "y/a.png"}))
    whole, tiles = map(read_annotations, files)
    with pytest.raises(DataError, match=r"tiles of x/a\.png and of y/a\.png would both be of"):
        tiles_of_images(tiles, whole)
