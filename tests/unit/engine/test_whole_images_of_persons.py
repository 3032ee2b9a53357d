"""From whole images with ignored regions to the numbers of TinyPerson: tiles, merging, scoring."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from finder import finder, picture
from PIL import Image
from tile_files import edit, write_files

from tinyscope.engine.evaluate_model import evaluate_model

SIZE, TILE, OVERLAP = (200, 300), (64, 96), 24
REGION = (150, 100, 230, 180)


def scene(number):
    """Persons of 3 to 20 px on a lattice that no seam keeps step with; one lies on each seam."""
    rows = []
    for i, (x, y) in enumerate((x, y) for y in (5, 37, 69) for x in range(3, 280, 29)):
        side = 3 + (5 * i + number) % 18
        rows.append((x, y, x + side, y + side - i % 3, 150 + 2 * i))
    return rows


@pytest.fixture
def files(tmp_path):
    """Two images with persons, and in one a region without annotated ones."""
    scenes = {"a.png": scene(0), "b.png": scene(7)}
    for name, rows in scenes.items():
        image = picture(rows, SIZE)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name)
    whole, tiles = write_files(tmp_path, scenes, SIZE, TILE, OVERLAP)
    return whole, tiles


@pytest.fixture(autouse=True)
def _finds_gray_rectangles(monkeypatch):
    monkeypatch.setattr("tinyscope.engine.evaluate_model.load_trained", lambda path: finder())


def score(whole, **settings):
    given = {"tile": TILE, "overlap": OVERLAP} | settings
    return evaluate_model("best.ckpt", whole, protocol="tinyperson", **given)


def draw(path, boxes, value=252):
    """Something that will be found is added to an image."""
    with Image.open(path) as image:
        pixels = np.array(image)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = value
        value -= 2
    Image.fromarray(pixels).save(path)


def flag(name):
    """Adds the region with a flag."""
    x1, y1, x2, y2 = REGION

    def add(content):
        row = {"id": 999, "image_id": 0, "category_id": 30, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        content["annotations"].append(row | ({name: True} if name else {}))

    return add


@pytest.mark.parametrize("tiling", ["flush", "runtime", "clipped"])
@pytest.mark.parametrize("merge", ["nms", "ownership"])
def test_an_object_at_a_seam_is_found_once(files, tiling, merge):
    result = score(files[0], tiling=tiling, merge={"name": merge})
    persons = len(scene(0)) + len(scene(7))
    assert result.stamp["detections"] == persons
    # The first one's id is 0, which published evaluators take for none.
    lost = evaluate_model(
        "best.ckpt", files[0], protocol={"name": "tinyperson", "first_id_unmatched": False}
    )
    assert lost["AP50_tiny"] == pytest.approx(1)
    assert result["AP50_tiny"] > 0.95
    assert result["MR50_tiny"] < 0.1


@pytest.mark.parametrize("name", ["ignore", "uncertain"])
def test_a_detection_inside_an_ignored_region_costs_nothing(files, name):
    whole, _ = files
    before = score(whole)
    inside = [
        (155, 105, 161, 112),
        (190, 120, 200, 131),
        (215, 160, 228, 170),
        (158, 171, 164, 178),
    ]
    draw(whole.parent / "a.png", inside)
    spoiled = score(whole)
    assert spoiled.stamp["detections"] == before.stamp["detections"] + 4
    assert spoiled["AP50_tiny"] < before["AP50_tiny"] - 0.01
    edit(whole, flag(name))
    ignored = score(whole)
    for metric in ("AP50", "AP50_tiny", "AP75_tiny2", "MR50_tiny", "AR50"):
        assert ignored[metric] == before[metric], metric


def test_the_order_of_images_and_of_tiles_changes_no_number(files):
    whole, tiles = files
    edit(whole, flag("ignore"))
    draw(whole.parent / "b.png", [(155, 105, 161, 112), (190, 120, 200, 131)])
    expected = score(whole)
    in_tiles = evaluate_model("best.ckpt", tiles, protocol="tinyperson", truth=whole)
    assert dict(in_tiles) == dict(expected)

    def shuffle(content):
        random.Random(3).shuffle(content["images"])

    edit(tiles, shuffle)
    edit(whole, lambda content: content["images"].reverse())
    assert dict(score(whole)) == dict(expected)
    again = evaluate_model("best.ckpt", tiles, protocol="tinyperson", truth=whole)
    assert dict(again) == dict(expected)


def test_the_stamp_says_how_the_numbers_came_about(files):
    result = score(
        files[0], tiling="runtime", merge={"name": "bottom_heavy"}, overlap=30, limit=1000
    )
    stamp = json.loads(result.to_json())["stamp"]
    assert stamp["protocol"] == "tinyperson"
    assert stamp["scored"] == "whole images"
    assert Path(stamp["data"]) == files[0]
    looked = stamp["predict"]
    assert (looked["tile"], looked["overlap"], looked["tiling"]) == ([64, 96], 30, "runtime")
    assert looked["merge"] == {"name": "bottom_heavy", "iou_threshold": 0.5, "score_above": 0.05}
    assert looked["limit"] == 1000
