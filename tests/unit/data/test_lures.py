"""Windows at what looks like an object and is none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.data.windows.lures import find_lures
from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations

SIDE = 4
OBJECT, LURE, REGION = (20, 30), (70, 50), (40, 90)  # top left corners, x and y

OBJECT_BOX = (*OBJECT, OBJECT[0] + SIDE, OBJECT[1] + SIDE)


def scene(root: Path, value: int, *spots: tuple[int, int], images: int = 1) -> Annotations:
    """Images of 120 x 120 px with spots of that gray value, one an object, one ignored."""
    random = np.random.default_rng(0)
    for i in range(images):
        gray = random.integers(96, 105, (120, 120)).astype(np.uint8)
        for x, y in spots:
            gray[y : y + SIDE, x : x + SIDE] = value
        Image.fromarray(gray).save(root / f"{i}.png")
    boxes = [OBJECT_BOX, (36, 86, 48, 98)]
    return assemble(
        root,
        ["target"],
        [f"{i}.png" for i in range(images)],
        np.array([(120, 120)] * images, dtype=np.int32),
        [2] + [0] * (images - 1),
        np.array(boxes, dtype=np.float64),
        np.zeros(2, dtype=np.int64),
        np.array([False, True]),
    )


def paint(root: Path, corner: tuple[int, int], side: int, value: int) -> None:
    """Paints a square over the first image."""
    with Image.open(root / "0.png") as image:
        gray = np.array(image)
    x, y = corner
    gray[y : y + side, x : x + side] = value
    Image.fromarray(gray).save(root / "0.png")


def centers(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


@pytest.mark.parametrize("value", [200, 20])
def test_a_lure_stands_out_as_the_object_does_and_is_neither_it_nor_ignored(tmp_path, value):
    found = find_lures(scene(tmp_path, value, OBJECT, LURE, REGION))
    assert found.images.tolist() == [0] * len(found)
    assert len(found) >= 1
    middle = np.array(LURE) + SIDE / 2
    assert (np.abs(centers(found.boxes) - middle) <= 1.5).all()
    np.testing.assert_allclose(found.boxes[:, 2:] - found.boxes[:, :2], SIDE)


def test_what_stands_out_the_other_way_is_no_lure(tmp_path):
    annotations = scene(tmp_path, 200, OBJECT)
    paint(tmp_path, LURE, SIDE, 0)
    with pytest.raises(DataError, match="nothing stands out as objects do"):
        find_lures(annotations)


def test_images_without_objects_have_lures_too(tmp_path):
    found = find_lures(scene(tmp_path, 200, OBJECT, LURE, REGION, images=2))
    assert set(found.images.tolist()) == {0, 1}
    lured = centers(found.boxes[found.images == 1])
    for spot in (OBJECT, LURE, REGION):  # objects of the other image alone
        assert (np.abs(lured - np.array(spot) - SIDE / 2).max(axis=1) <= 1.5).any()


def test_a_share_of_the_windows_that_are_not_aimed_shows_lures(tmp_path):
    annotations = scene(tmp_path, 200, OBJECT, LURE, REGION)
    plan = RandomWindows(size=16, aimed=0.5, lures=0.6)(annotations, seed=0)
    shown = {OBJECT: 0, LURE: 0}
    for position in range(1000):
        x1, y1, x2, y2 = plan[position].frame
        for x, y in shown:
            shown[x, y] += x1 <= x + 1 and y1 <= y + 1 and x2 >= x + SIDE - 1 and y2 >= y + SIDE - 1
    assert 480 <= shown[OBJECT] <= 560
    assert 270 <= shown[LURE] <= 350  # 0.5 * 0.6, and some of the free ones


def test_lures_of_a_set_that_has_none_are_an_error(tmp_path):
    annotations = scene(tmp_path, 200, OBJECT)
    with pytest.raises(DataError, match=r"lures: in the images at .* set it to 0"):
        RandomWindows(lures=0.3)(annotations, seed=0)
    with pytest.raises(ValueError, match="lures must"):
        RandomWindows(lures=1.3)


def test_objects_bright_and_dark_are_an_error(tmp_path):
    annotations = scene(tmp_path, 200, OBJECT, LURE)
    paint(tmp_path, (38, 88), 8, 0)
    both = replace(annotations, ignore=np.array([False, False]))
    with pytest.raises(DataError, match=r"many are brighter and many are darker.*set it to 0"):
        find_lures(both)


def test_an_image_has_so_many_lures_and_no_more(tmp_path):
    spots = [(x, y) for x in range(2, 118, 10) for y in range(2, 118, 10)]
    found = find_lures(scene(tmp_path, 200, OBJECT, *spots))
    assert len(found) == 64


@pytest.mark.parametrize(
    "box", [(60, 0, 64, 4), (116, 60, 120, 64), (-3, 60, 4, 70), (50.4, 80.6, 53.7, 84.2)]
)
def test_no_lure_lies_in_or_next_to_a_region_wherever_it_is(tmp_path, box):
    bright = (max(0, round(box[0])), round(box[1]))
    annotations = scene(tmp_path, 200, LURE, bright)
    paint(tmp_path, OBJECT, SIDE, 112)  # so faint that spots at the border exceed it
    covered = replace(annotations, boxes=np.array([OBJECT_BOX, box], dtype=np.float64))
    place = np.array(bright) + SIDE / 2
    without, found = (centers(find_lures(x).boxes) for x in (annotations, covered))
    assert (np.abs(without - place).max(axis=1) <= 2).any()  # a lure, but for the region
    assert len(found)
    inside = (found >= np.array(box[:2]) - 3) & (found <= np.array(box[2:]) + 3)
    assert not inside.all(axis=1).any()


def test_a_region_over_the_whole_image_leaves_no_lure(tmp_path):
    annotations = scene(tmp_path, 200, OBJECT, LURE)
    boxes = np.array([OBJECT_BOX, (0, 0, 120, 120)], dtype=np.float64)
    with pytest.raises(DataError, match="nothing stands out"):
        find_lures(replace(annotations, boxes=boxes))


def test_an_image_smaller_than_what_surrounds_a_spot(tmp_path):
    gray = np.full((9, 12), 100, dtype=np.uint8)
    gray[0:4, 0:4] = 130
    gray[4:8, 8:12] = 250
    Image.fromarray(gray).convert("RGB").save(tmp_path / "0.png")
    small = assemble(
        tmp_path,
        ["target"],
        ["0.png"],
        np.array([(9, 12)], dtype=np.int32),
        [1],
        np.array([(0, 0, 4, 4)], dtype=np.float64),
        np.zeros(1, dtype=np.int64),
        np.array([False]),
    )
    found = find_lures(small)
    assert len(found)
    assert (centers(found.boxes) > (7, 3)).all()


def test_no_image_is_read_where_no_window_is_lured(tmp_path):
    annotations = scene(tmp_path, 200, OBJECT, LURE, REGION)
    (tmp_path / "0.png").unlink()
    empty = replace(annotations, ignore=np.array([True, True]))
    assert RandomWindows(size=16)(annotations, seed=0).lures is None
    assert RandomWindows(size=16, lures=0.5, aimed=1.0)(annotations, seed=0).lures is None
    assert RandomWindows(size=16, lures=0.5)(empty, seed=0).lures is None
    with pytest.raises(DataError, match=r"0\.png"):
        RandomWindows(size=16, lures=0.5)(annotations, seed=0)
