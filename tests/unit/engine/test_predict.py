import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from finder import finder, picture
from PIL import Image
from rich.console import Console
from tile_files import edit, write_files

from tinyscope.analysis.pictures import FALSE, FOUND, MISSED
from tinyscope.engine.evaluate import evaluate_files
from tinyscope.engine.evaluate_model import evaluate_detector, evaluate_model
from tinyscope.engine.images import each_image, find_images, read_ahead
from tinyscope.engine.predict import predict
from tinyscope.errors import CheckpointError, DataError, SettingsError
from tinyscope.formats.coco import read_annotations
from tinyscope.formats.files import image_files

SCENES = {
    "a.png": [(3, 4, 9, 10, 250), (60, 28, 66, 34, 201)],
    "deep/b.png": [(20, 20, 26, 26, 244)],
    "deep/empty.png": [],
}


@pytest.fixture
def folder(tmp_path):
    """Three images and their truth, whose categories stand in another order than the detector's."""
    root = tmp_path / "images"
    (root / "deep").mkdir(parents=True)
    pictures, objects = [], []
    for number, (name, scene) in enumerate(SCENES.items(), 70):
        image = picture(scene)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / name)
        pictures.append({"id": number, "file_name": name, "width": 130, "height": 90})
        for x1, y1, x2, y2, value in scene:
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": number,
                    "category_id": 30 + value % 2,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    content = {
        "images": pictures,
        "annotations": objects,
        "categories": [{"id": 31, "name": "odd"}, {"id": 30, "name": "even"}],
    }
    (root / "truth.json").write_text(json.dumps(content))
    return root


def test_files_folders_and_patterns_are_found_once_and_in_order(folder):
    found = find_images([folder / "deep" / "b.png", folder, str(folder / "**" / "*.png")])
    names = [str(p.relative_to(folder)) for p in found]
    assert names == ["deep/b.png", "a.png", "deep/empty.png"]


def test_paths_that_name_no_image_are_errors(folder, tmp_path):
    with pytest.raises(DataError, match=r"c\.png: no such file or folder"):
        find_images([folder / "c.png"])
    with pytest.raises(DataError, match=r"pattern .*\*\.gif: matches no files"):
        find_images([folder / "*.gif"])
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="bare: holds no images"):
        find_images([tmp_path / "bare"])
    with pytest.raises(DataError, match="no images were given"):
        find_images([])


def test_one_image_is_read_ahead_and_never_more():
    read, yielded = [], 0

    def slow_read(path):
        read.append(path)
        return torch.zeros(1)

    for number, _ in enumerate(read_ahead([Path(str(i)) for i in range(20)], slow_read), 1):
        yielded = number
        assert len(read) <= number + 1
    assert yielded == len(read) == 20


def test_results_without_truth_are_numbered_and_listed(folder, tmp_path):
    result = predict(finder(), [folder], tmp_path / "out")
    assert (result.images, result.detections) == (3, 3)
    listed = read_annotations(tmp_path / "out" / "images.json")
    assert listed.image_ids.tolist() == [1, 2, 3]
    assert listed.files.tolist() == ["a.png", "deep/b.png", "deep/empty.png"]
    assert listed.sizes.tolist() == [[90, 130]] * 3
    assert listed.names == ("even", "odd")
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [(r["image_id"], r["category_id"], r["bbox"]) for r in rows] == [
        (1, 1, [3, 4, 6, 6]),
        (1, 2, [60, 28, 6, 6]),
        (2, 1, [20, 20, 6, 6]),
    ]
    with (tmp_path / "out" / "detections.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(row["label"], row["x1"], row["y2"]) for row in table] == [
        ("even", "3.00", "10.00"),
        ("odd", "60.00", "34.00"),
        ("even", "20.00", "26.00"),
    ]
    assert table[2]["file"] == str(folder / "deep" / "b.png")
    pictures = sorted((tmp_path / "out" / "pictures").rglob("*.*"))
    names = [str(p.relative_to(tmp_path / "out" / "pictures")) for p in pictures]
    assert names == ["a.png", "deep/b.png", "deep/empty.png"]


@pytest.mark.parametrize("tile", [0, 40])
def test_results_with_truth_are_perfect_by_its_ids_and_categories(folder, tmp_path, tile):
    truth = folder / "truth.json"
    result = predict(finder(), [folder], tmp_path / "out", tile, 12, truth)
    assert result.counts == {"ignored": 0, "found": 3, "missed": 0, "false": 0}
    score = evaluate_files(truth, tmp_path / "out" / "detections.json")
    assert score["AP"] == pytest.approx(1.0)


def test_pictures_show_found_green_missed_red_and_false_blue(folder, tmp_path):
    image = np.array(Image.open(folder / "a.png"))
    image[28:34, 60:66] = 20  # the object disappears
    image[70:76, 100:106] = 230  # and something else is there
    Image.fromarray(image).save(folder / "a.png")
    result = predict(
        finder(), [folder / "a.png"], tmp_path / "out", truth=folder / "truth.json", enlarge=1
    )
    assert result.counts == {"ignored": 0, "found": 1, "missed": 1, "false": 1}
    painted = np.array(Image.open(tmp_path / "out" / "pictures" / "a.png"))
    assert tuple(painted[3, 5]) == FOUND
    assert tuple(painted[27, 62]) == MISSED
    assert tuple(painted[69, 102]) == FALSE
    assert (painted[4:10, 3:9] == 250).all()


def test_an_uncertain_object_is_neither_found_nor_missed(folder, tmp_path):
    def mark(content):
        content["annotations"][0]["uncertain"] = True

    truth = edit(folder / "truth.json", mark)
    result = predict(finder(), [folder], tmp_path / "out", truth=truth)
    assert result.counts == {"ignored": 1, "found": 2, "missed": 0, "false": 0}


def test_classes_that_the_truth_lacks_are_reported_and_not_scored(folder, tmp_path):
    truth = json.loads((folder / "truth.json").read_text())
    truth["categories"] = truth["categories"][1:]  # no "odd"
    truth["annotations"] = [a for a in truth["annotations"] if a["category_id"] == 30]
    (folder / "truth.json").write_text(json.dumps(truth))
    result = predict(finder(), [folder], tmp_path / "out", truth=folder / "truth.json")
    assert result.detections == 3
    assert result.without_truth == {"odd": 1}
    assert "in detections.csv alone, as the truth has no such class: 1 odd" in str(result)
    assert result.counts == {"ignored": 0, "found": 2, "missed": 0, "false": 0}
    with (tmp_path / "out" / "detections.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["even", "odd", "even"]
    score = evaluate_files(folder / "truth.json", tmp_path / "out" / "detections.json")
    assert score["AP"] == pytest.approx(1.0)


def test_an_image_of_another_size_than_its_truth_is_named(folder, tmp_path):
    Image.new("RGB", (13, 9)).save(folder / "a.png")
    with pytest.raises(DataError, match=r"a\.png is 13 x 9 .* annotations say 130 x 90"):
        predict(finder(), [folder], tmp_path / "out", truth=folder / "truth.json")


def test_detections_below_the_score_that_is_shown_are_still_written(folder, tmp_path):
    result = predict(finder(), [folder], tmp_path / "out", truth=folder / "truth.json", show=0.9)
    assert result.counts["found"] == 2
    assert result.counts["missed"] == 1
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == 3


def test_a_damaged_image_ends_the_work_and_leaves_no_results(folder, tmp_path):
    (folder / "deep" / "b.png").write_bytes((folder / "a.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"b\.png"):
        predict(finder(), [folder], tmp_path / "out")
    left = [p.name for p in (tmp_path / "out").iterdir()]
    assert left == ["pictures"]


def test_damaged_images_are_reported_when_the_work_goes_on(folder, tmp_path):
    (folder / "deep" / "b.png").write_bytes(b"no image")
    result = predict(finder(), [folder], tmp_path / "out", keep_going=True)
    assert (result.images, result.detections) == (2, 2)
    assert len(result.failed) == 1
    assert "b.png" in str(result)
    assert read_annotations(tmp_path / "out" / "images.json").image_ids.tolist() == [1, 3]


def test_an_image_that_is_not_annotated_is_named(folder, tmp_path):
    Image.new("RGB", (9, 9)).save(folder / "other.png")
    with pytest.raises(DataError, match=r"other\.png: is not among the 3 annotated ones"):
        predict(finder(), [folder], tmp_path / "out", truth=folder / "truth.json")


def test_classes_that_the_detector_does_not_know_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"classes that .* was not trained on: odd; it knows even"):
        predict(finder(["even"]), [folder], tmp_path / "out", truth=folder / "truth.json")


def test_names_that_differ_only_in_their_suffix_keep_it(folder, tmp_path):
    Image.new("RGB", (9, 9)).save(folder / "a.bmp")
    predict(finder(), [folder / "a.png", folder / "a.bmp"], tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out" / "pictures").iterdir())
    assert names == ["a.bmp.png", "a.png.png"]


def test_pictures_replace_no_image(folder, tmp_path):
    images = tmp_path / "out" / "pictures"
    images.parent.mkdir()
    folder.rename(images)
    with pytest.raises(DataError, match=r"a\.png: is one of the images and would be replaced"):
        predict(finder(), [images], tmp_path / "out")
    assert not (tmp_path / "out" / "detections.json").exists()
    assert predict(finder(), [images], tmp_path / "out", pictures=False).images == 3


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_how_far_the_work_is(folder, terminal, monkeypatch, capsys):
    class Terminal(Console):
        def __init__(self, **options):
            super().__init__(**options, force_terminal=terminal)

    monkeypatch.setattr("tinyscope.engine.images.Console", Terminal)
    files = find_images([folder])
    assert [(n, path) for n, path, _ in each_image(files, "counting")] == [*enumerate(files)]
    shown = capsys.readouterr().err
    assert ("counting" in shown and "100%" in shown) == terminal


def test_an_output_that_cannot_be_made_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be made a folder of results"):
        predict(finder(), [folder], tmp_path / "file")


def test_a_full_disk_leaves_no_results(folder, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        predict(finder(), [folder], tmp_path / "out", pictures=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_memory_holds_no_image_that_is_done(folder, tmp_path, monkeypatch):
    alive, most = set(), 0

    class Counted(torch.Tensor):
        def __del__(self):
            alive.discard(id(self))

    def read(path):
        nonlocal most
        image = picture([(5, 5, 9, 9, 200)]).as_subclass(Counted)
        alive.add(id(image))
        most = max(most, len(alive))
        return image

    monkeypatch.setattr("tinyscope.engine.images.read_image", read)
    files = [folder / f"{i}.png" for i in range(30)]
    for file in files:
        file.touch()
    predict(finder(), files, tmp_path / "out", tile=40, overlap=8)
    assert most <= 3  # the one before, the present one and the next


def test_a_detector_is_scored_in_the_mode_that_it_was_in(folder):
    truth = read_annotations(folder / "truth.json")
    detector = finder(["odd", "even"])
    detector.model.train()
    result = evaluate_detector(detector.model, truth, detector.recipe, "coco")
    assert detector.model.training
    assert detector.model.modes == [False] * 3
    assert result["AP50"] == 0.0  # names are swapped: labels are taken as they are


def test_a_checkpoint_is_scored_by_the_names_of_its_classes(folder, monkeypatch):
    monkeypatch.setattr("tinyscope.engine.evaluate_model.load_trained", lambda path: finder())
    result = evaluate_model("best.ckpt", folder / "truth.json", protocol="coco", tile=40, overlap=9)
    assert result["AP"] == pytest.approx(1.0)
    assert result.stamp["checkpoint"] == "best.ckpt"


@pytest.fixture
def tiled(tmp_path):
    """Whole images and their tiles, with objects that several tiles show."""
    scenes = {name: [*rows, (40, 70, 46, 76, 210)] for name, rows in SCENES.items()}
    (tmp_path / "deep").mkdir()
    for name, scene in scenes.items():
        pixels = picture(scene).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / name)
    return write_files(tmp_path, scenes)


def test_tiles_are_looked_at_merged_and_scored_as_whole_images(tiled, monkeypatch):
    whole, tiles = tiled
    monkeypatch.setattr("tinyscope.engine.evaluate_model.load_trained", lambda path: finder())
    result = evaluate_model("best.ckpt", tiles, protocol="coco", truth=whole)
    assert result["AP"] == pytest.approx(1.0)
    assert (result.stamp["images"], result.stamp["detections"]) == (3, 6)
    assert result.stamp["truth"] == str(whole)
    assert result.stamp["predict"]["tile"] == f"as {tiles} says"
    grid = evaluate_model("best.ckpt", whole, protocol="coco", tile=(40, 50), overlap=12)
    assert grid["AP"] == result["AP"]
    assert grid.stamp["predict"] == {
        "tile": (40, 50),
        "overlap": 12,
        "tiling": "flush",
        "scale": 1.0,
        "zooms": None,
        "merge": {"name": "nms", "iou_threshold": 0.3, "covered": 0.6, "touch": 2.0},
        "score_threshold": None,
        "limit": 1500,
    }


def test_a_file_of_tiles_is_read_once_and_in_any_order(tiled, monkeypatch):
    whole, tiles = tiled

    def shuffle(content):
        content["images"].sort(key=lambda image: image["id"] % 5)

    edit(tiles, shuffle)
    read = []

    def counting(paths):
        read.extend(paths := list(paths))
        return read_ahead(paths)

    monkeypatch.setattr("tinyscope.engine.find.read_ahead", counting)
    monkeypatch.setattr("tinyscope.engine.evaluate_model.load_trained", lambda path: finder())
    result = evaluate_model("best.ckpt", tiles, protocol="coco", truth=whole)
    assert result["AP"] == pytest.approx(1.0)
    assert len(read) == 3
    detector = finder(["odd", "even"])
    alone = evaluate_detector(detector.model, read_annotations(tiles), detector.recipe, "coco")
    assert len(read) == 6
    assert alone.stamp["scored"] == "tiles as images of their own"
    assert alone.stamp["images"] == 36


def test_tiles_and_whole_images_are_not_mistaken_for_each_other(tiled, monkeypatch):
    whole, tiles = tiled
    monkeypatch.setattr("tinyscope.engine.evaluate_model.load_trained", lambda path: finder())
    with pytest.raises(DataError, match=r"tiles\.json: the images are tiles of larger ones"):
        evaluate_model("best.ckpt", tiles, protocol="coco")
    with pytest.raises(DataError, match="the images are no tiles, so their own annotations"):
        evaluate_model("best.ckpt", whole, protocol="coco", truth=whole)
    for setting in ({"tile": 50}, {"tile": 0}, {"overlap": 0}, {"tiling": "flush"}):
        with pytest.raises(SettingsError, match=f"{next(iter(setting))}: .*says itself what"):
            evaluate_model("best.ckpt", tiles, protocol="coco", truth=whole, **setting)
    with pytest.raises(DataError, match="the annotated images are tiles of the files"):
        predict(finder(), [whole.parent / "a.png"], whole.parent / "out", truth=tiles)


def test_a_tile_beyond_its_image_is_named(tiled):
    _, tiles = tiled
    Image.new("RGB", (130, 60)).save(tiles.parent / "a.png")
    detector = finder(["odd", "even"])
    with pytest.raises(DataError, match=r"a\.png is 130 x 60 .* tile with id 4 has the corner"):
        evaluate_detector(detector.model, read_annotations(tiles), detector.recipe, "coco")


def test_an_image_of_another_size_than_annotated_is_named(folder):
    Image.new("RGB", (13, 9)).save(folder / "a.png")
    detector = finder()
    with pytest.raises(DataError, match=r"a\.png is 13 x 9 .* annotations say 130 x 90"):
        evaluate_detector(detector.model, read_annotations(folder / "truth.json"), detector.recipe)


def test_files_of_a_folder_are_those_that_a_data_set_has(folder):
    (folder / "deep" / "b.png").rename(folder / "deep" / "b.GIF")
    (folder / "deep" / "note.txt").touch()
    names = [p.name for p in find_images([folder / "deep"])]
    assert names == list(image_files(folder / "deep")) == ["b.GIF", "empty.png"]


def test_the_name_of_a_recipe_is_no_checkpoint(tmp_path):
    # Its weights would be random, and nothing would be found without a word.
    with pytest.raises(CheckpointError, match=r"quick/demo: no such checkpoint"):
        predict("quick/demo", [tmp_path], tmp_path / "out")
