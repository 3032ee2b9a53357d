import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.analysis import pictures
from tinyscope.analysis.compare import compare
from tinyscope.analysis.pictures import (
    FALSE,
    FOUND,
    IGNORED,
    MISSED,
    Layer,
    comparison_layers,
    detection_layers,
    enlargement,
    paint,
    save_picture,
)
from tinyscope.errors import DataError
from tinyscope.types import Detections, Target

BLACK = torch.zeros(3, 60, 80, dtype=torch.uint8)


def detections(boxes, scores=None, labels=None, names=("car", "boat")):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    scores = torch.linspace(0.9, 0.5, len(boxes)) if scores is None else torch.tensor(scores)
    labels = torch.zeros(len(boxes), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Detections(boxes, scores, labels, names)


def target(boxes, ignore=None, labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    ignore = [False] * len(boxes) if ignore is None else ignore
    labels = [0] * len(boxes) if labels is None else labels
    return Target(
        boxes,
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(ignore, dtype=torch.bool),
    )


def colors(picture):
    return {tuple(c) for c in np.asarray(picture).reshape(-1, 3).tolist()} - {(0, 0, 0)}


def test_a_line_runs_around_the_box_and_leaves_its_pixels_alone():
    layer = Layer("speck", torch.tensor([[10.0, 20, 14, 23]]), (255, 0, 0))
    picture = np.asarray(paint(BLACK, [layer], enlarge=1, legend=False))
    assert picture.shape == (60, 80, 3)
    red = picture[..., 0] == 255
    expected = np.zeros_like(red)
    expected[19:24, 9:15] = True
    expected[20:23, 10:14] = False
    assert np.array_equal(red, expected)


def test_an_enlarged_picture_keeps_pixels_as_squares_and_lines_one_pixel_wide():
    image = BLACK.clone()
    image[:, 20:23, 10:14] = 200
    layer = Layer("speck", torch.tensor([[10.0, 20, 14, 23]]), (255, 0, 0))
    picture = np.asarray(paint(image, [layer], enlarge=4, legend=False))
    assert picture.shape == (240, 320, 3)
    assert (picture[80:92, 40:56] == 200).all()
    assert (picture[79, 39:57] == (255, 0, 0)).all()
    assert (picture[78] == 0).all()


def test_a_box_at_the_border_is_still_seen_on_all_sides():
    layer = Layer("edge", torch.tensor([[0.0, 0, 80, 60]]), (255, 0, 0))
    picture = np.asarray(paint(BLACK, [layer], enlarge=1, legend=False))
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        (detections([[10, 10, 20, 20]]), target([[10, 10, 20, 20]]), {FOUND}),
        (detections([]), target([[10, 10, 20, 20]]), {MISSED}),
        (detections([[10, 10, 20, 20]]), target([]), {FALSE}),
        (detections([]), target([[10, 10, 20, 20]], [True]), {IGNORED}),
        # another class is no find
        (detections([[10, 10, 20, 20]], labels=[1]), target([[10, 10, 20, 20]]), {FALSE}),
    ],
)
def test_found_is_green_missed_red_false_blue_and_ignored_gray(found, truth, expected):
    layers = [layer for layer in comparison_layers(found, truth) if len(layer.boxes)]
    without_texts = [Layer(x.name, x.boxes, x.color) for x in layers]
    assert colors(paint(BLACK, without_texts, enlarge=1, legend=False)) == expected


def test_the_second_detection_of_an_object_is_false():
    outcomes = compare(detections([[10, 10, 20, 20], [10, 10, 20, 21]]), target([[10, 10, 20, 20]]))
    assert outcomes.found.tolist() == [True, False]
    assert outcomes.false.tolist() == [False, True]
    assert not outcomes.missed.any()


def test_an_ignored_region_spares_any_number_of_detections_that_lie_in_it():
    outcomes = compare(
        detections([[10, 10, 14, 14], [20, 20, 24, 24], [70, 50, 74, 54]]),
        target([[0, 0, 40, 40]], [True]),
    )
    assert outcomes.spared.tolist() == [True, True, False]
    assert outcomes.false.tolist() == [False, False, True]
    assert not outcomes.missed.any()


def test_an_object_comes_before_an_ignored_region_that_covers_more():
    outcomes = compare(
        detections([[10, 10, 20, 20]]),
        target([[0, 0, 40, 40], [10, 10, 20, 18]], [True, False]),
    )
    assert outcomes.found.tolist() == [True]


def test_classes_have_layers_with_names_and_counts():
    layers = detection_layers(detections([[1, 1, 5, 5]] * 3, labels=[1, 0, 1]))
    assert [(layer.name, len(layer.boxes)) for layer in layers] == [("car", 1), ("boat", 2)]
    assert layers[0].color != layers[1].color


def test_a_legend_is_added_below_and_covers_nothing():
    layer = Layer("speck", torch.tensor([[10.0, 20, 14, 23]]), (255, 0, 0))
    bare = np.asarray(paint(BLACK, [layer], enlarge=1, legend=False))
    full = np.asarray(paint(BLACK, [layer], enlarge=1))
    assert np.array_equal(full[:60], bare)
    assert ((full[60:] == (255, 0, 0)).all(axis=2)).any()


def test_texts_that_would_cover_a_box_are_left_out(monkeypatch):
    written = []
    monkeypatch.setattr(
        pictures.ImageDraw.ImageDraw, "text", lambda self, at, text, **_: written.append(text)
    )
    alone = Layer("a", torch.tensor([[30.0, 30, 40, 40]]), (255, 0, 0), ("0.91",))
    paint(BLACK, [alone], enlarge=1, legend=False)
    assert written == ["0.91"]
    written.clear()
    grid = torch.tensor([[x, y, x + 6.0, y + 6] for x in range(0, 80, 8) for y in range(0, 60, 8)])
    crowd = Layer("b", grid, (0, 0, 255))
    paint(BLACK, [alone, crowd], enlarge=1, legend=False)
    assert written == []


def test_pictures_are_enlarged_for_tiny_objects_only_and_not_without_end():
    tiny = torch.tensor([[0.0, 0, 4, 4]])
    assert enlargement(tiny, 300) == 4
    assert enlargement(tiny * 20, 300) == 1
    assert enlargement(tiny, 1200) == 2
    assert enlargement(tiny, 5000) == 1
    assert enlargement(torch.zeros(0, 4), 100) == 1


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_pictures_are_written_whole(tmp_path, name):
    save_picture(paint(BLACK, [], legend=False), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.size == (80, 60)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent/a\.png: the picture cannot be written"):
        save_picture(paint(BLACK, []), tmp_path / "absent" / "a.png")


def test_boxes_outside_of_the_image_are_not_painted():
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    outside = torch.tensor([[50.0, 5, 60, 15], [-20, -20, -5, -5]])
    painted = paint(image, [Layer("far", outside, (255, 0, 0), ("0.9", "0.8"))], legend=False)
    assert not np.asarray(painted).any()
