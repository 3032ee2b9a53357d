"""TinyPerson's way on a generated set: train on tiles, look at tiles, merge, score whole images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tinyscope
from tinyscope.data.synthetic import write_tinyperson
from tinyscope.engine.detector import load_trained
from tinyscope.engine.find import find_all
from tinyscope.formats import coco
from tinyscope.formats.tables import Annotations
from tinyscope.formats.whole_images import read_whole_images
from tinyscope.settings import Recipe, load_recipe
from tinyscope.tiling.cut import grid_windows

pytestmark = pytest.mark.slow

STEPS = 80
TILE, OVERLAP = (128, 160), 32
PROTOCOL = {"name": "tinyperson", "limits": [200]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole images with ignored and uncertain regions, empty and dense ones among them."""
    folder = tmp_path_factory.mktemp("data") / "tiny_set"
    write_tinyperson(folder, {"train": 6, "test": 4}, size=(450, 600))
    return folder


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(
        "quick/small",
        [
            "model.backbone.width=16",
            "model.backbone.blocks=[1,1]",
            "model.backbone.strides=[4,8]",
            "model.neck.channels=24",
            "model.head.depth=1",
            "data.train={name: tinyperson, split: train, ignored: erase, uncertain: erase}",
            "data.val={name: tinyperson, split: test}",
            f"data.windows={{name: grid, size: [{TILE[0]}, {TILE[1]}], overlap: {OVERLAP}}}",
            "data.transforms=[{name: flip}]",
            "data.batch=4",
            "data.workers=0",
            f"train.steps={STEPS}",
            "train.warmup_steps=10",
            "train.learning_rate=0.005",
            "train.ema=null",
            f"train.evaluate_every={STEPS}",
            "train.precision=32",
            f"predict.tile=[{TILE[0]}, {TILE[1]}]",
            f"predict.overlap={OVERLAP}",
            "predict.scale=1.0",
            "evaluate.protocol={name: tinyperson, limits: [200]}",
            "train.monitor=AP50_tiny",
        ],
    )


@pytest.fixture(scope="module")
def run(recipe: Recipe, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tinyscope.Run:
    torch.set_num_threads(1)
    return tinyscope.train(recipe, data, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def scored(run: tinyscope.Run, data: Path) -> tinyscope.Result:
    return tinyscope.evaluate_model(run.best, data, "test", PROTOCOL)


def whole_file(data: Path) -> Path:
    return data / "annotations" / "task" / "tiny_set_test_all.json"


@pytest.fixture(scope="module")
def tiles(data: Path) -> Path:
    """The test set's tiles, as they would be published."""
    whole = coco.read_annotations(whole_file(data))
    images, file = [], data / "annotations" / "corner" / "tiny_set_test_tiles.json"
    for name, (height, width) in zip(whole.files.tolist(), whole.sizes.tolist(), strict=True):
        for x1, y1, x2, y2 in grid_windows((height, width), TILE, OVERLAP).tolist():
            corner = {"corner": [x1, y1, x2, y2], "width": x2 - x1, "height": y2 - y1}
            images.append({"id": len(images), "file_name": name, **corner})
    content = json.loads(whole_file(data).read_text())
    content |= {"images": images, "annotations": [], "old_images": content["images"]}
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    return file


def test_persons_are_learned_from_tiles_and_scored_in_whole_images(run, scored):
    # Untrained weights find none of them.
    assert scored["AP25_tiny"] > 0.05
    assert 0 < scored["MR25_tiny"] < 1
    assert scored["AP50_tiny"] == pytest.approx(run.scores["AP50_tiny"], abs=1e-6)
    assert scored.stamp["predict"]["tile"] == TILE
    assert scored.stamp["images"] == 3  # the dense one is left out


def test_predicted_files_score_as_the_checkpoint_does(run, data, scored, tmp_path):
    whole = whole_file(data)
    names = [
        data / "test" / image["file_name"] for image in json.loads(whole.read_text())["images"]
    ]
    tinyscope.predict(run.best, names, tmp_path, truth=whole, pictures=False)
    by_files = tinyscope.evaluate(whole, tmp_path / "detections.json", PROTOCOL)
    for metric in ("AP25_tiny", "AP50_tiny", "AP50_small", "MR50_tiny"):
        assert by_files[metric] == pytest.approx(scored[metric], abs=1e-3)


def test_tiles_of_a_file_score_as_tiles_cut_while_predicting(run, data, scored, tiles):
    result = tinyscope.evaluate_model(run.best, tiles, "test", PROTOCOL, truth=whole_file(data))
    assert dict(result) == pytest.approx(dict(scored), abs=1e-9)


@pytest.mark.parametrize("rule", ["nms", "tinybenchmark", "sspnet", "bottom_heavy"])
def test_detections_per_tile_merged_later_score_the_same(run, data, tiles, rule, tmp_path):
    whole = whole_file(data)
    detector = load_trained(run.best)
    annotations = coco.read_annotations(tiles, data / "test")
    found = find_all(detector.predictor(tile=0), annotations)
    coco.write_detections(found, annotations, tmp_path / "tiles.json")
    done = tinyscope.merge(tmp_path / "tiles.json", tiles, tmp_path / "whole.json", rule)
    assert 0 < done.after < done.before == len(found)
    later = tinyscope.evaluate(whole, tmp_path / "whole.json", PROTOCOL)
    merge = {"merge": {"name": rule}}
    at_once = tinyscope.evaluate_model(run.best, data, "test", PROTOCOL, limit=10**6, **merge)
    for metric in ("AP25_tiny", "AP50_tiny", "AP50_small", "MR50_tiny"):
        assert later[metric] == pytest.approx(at_once[metric], abs=1e-3)


def test_whole_images_are_listed_in_a_file_of_tiles(data, tiles):
    listed, whole = read_whole_images(tiles), coco.read_annotations(whole_file(data))
    assert isinstance(listed, Annotations)
    np.testing.assert_array_equal(listed.image_ids, whole.image_ids)
