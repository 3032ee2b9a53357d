"""Pixels of tiles and of images in which regions are painted over."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data import images as images_module
from tinyscope.data.erase import ERASE, erased, erased_regions
from tinyscope.data.images import ImageCache, read_image
from tinyscope.data.pixels import pixels
from tinyscope.data.training_set import TrainingSet
from tinyscope.data.windows.whole import WholeImages
from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations

SIZE = (60, 90)
WINDOWS = np.array([[0, 0, 50, 40], [40, 20, 90, 60]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    values = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "color.png")
    Image.fromarray(values[..., 0]).save(folder / "gray.png")
    return folder


def listed(folder: Path, file: str, boxes=(), marked=()) -> Annotations:
    """One image with boxes, of which those at the positions `marked` are to be painted over."""
    mask = np.isin(np.arange(len(boxes)), marked)
    annotations = assemble(
        folder,
        ["person"],
        [file],
        np.array([SIZE], dtype=np.int32),
        [len(boxes)],
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.zeros(len(boxes), dtype=np.int64),
        mask,
    )
    return replace(annotations, marks={ERASE: mask}) if len(marked) else annotations


def tiles(folder: Path, file: str, boxes=(), marked=()) -> Annotations:
    """Two tiles of the image, with the boxes in the second one's frame in each."""
    one = listed(folder, file, boxes, marked)
    both = one.take(np.array([0, 0]))
    sizes = np.array([(40, 50), (40, 50)], dtype=np.int32)
    return replace(both, image_ids=np.arange(2), sizes=sizes, windows=WINDOWS)


@pytest.mark.parametrize("file", ["color.png", "gray.png"])
def test_a_tile_is_that_part_of_its_file_which_is_decoded_once(folder, file, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        images_module, "read_image", lambda path, **o: decoded.append(path) or read_image(path, **o)
    )
    whole, read = read_image(folder / file), ImageCache()
    for i, (x1, y1, x2, y2) in enumerate(WINDOWS.tolist()):
        assert torch.equal(pixels(tiles(folder, file), i, read), whole[:, y1:y2, x1:x2])
    assert decoded == [folder / file]


@pytest.mark.parametrize("file", ["color.png", "gray.png"])
def test_a_region_gets_its_mean_color_and_nothing_else_changes(folder, file):
    boxes = [(10.5, 5.2, 20, 12.9), (30, 30, 40, 40)]
    before = read_image(folder / file)
    after = pixels(listed(folder, file, boxes, [0]), 0, ImageCache())
    region = before[:, 5:13, 10:20].double()
    expected = before.clone()
    expected[:, 5:13, 10:20] = region.mean(dim=(1, 2)).round().to(torch.uint8)[:, None, None]
    assert torch.equal(after, expected)
    assert not torch.equal(after, before)


def test_means_are_those_of_the_image_as_it_was(folder):
    before = read_image(folder / "color.png")
    after = erased(before, [(0, 0, 20, 20), (10, 10, 30, 30)])
    mean = before[:, 10:30, 10:30].double().mean(dim=(1, 2)).round().to(torch.uint8)
    assert torch.equal(after[:, 15, 15], mean)


def test_regions_end_at_the_border_of_the_image(folder):
    boxes = [(-5, -5, 3, 3), (80, 50, 200, 100), (-9, 0, -2, 5)]
    annotations = listed(folder, "color.png", boxes, [0, 1, 2])
    assert erased_regions(annotations, 0) == ((0, 0, 3, 3), (80, 50, 90, 60))


def test_the_file_stays_as_it_is_and_the_cache_keeps_both(folder):
    marked, plain = listed(folder, "gray.png", [(5, 5, 9, 9)], [0]), listed(folder, "gray.png")
    read = ImageCache()
    first = pixels(marked, 0, read)
    assert pixels(marked, 0, read) is first
    assert torch.equal(pixels(plain, 0, read), read_image(folder / "gray.png"))
    assert len(read) == 2


def test_of_a_tile_its_own_regions_are_painted_over(folder):
    annotations = tiles(folder, "color.png", [(1, 2, 9, 8)], [0])
    whole, read = read_image(folder / "color.png"), ImageCache()
    tile = pixels(annotations, 1, read)
    mean = whole[:, 22:28, 41:49].double().mean(dim=(1, 2)).round().to(torch.uint8)
    assert torch.equal(tile[:, 4, 4], mean)
    assert torch.equal(read(folder / "color.png"), whole)  # the kept file is not written to


def test_what_is_painted_over_is_no_target(folder):
    boxes = [(10, 5, 20, 13), (30, 30, 40, 40)]
    sample = TrainingSet(listed(folder, "color.png", boxes, [0]), WholeImages())[0]
    assert sample.target.boxes.tolist() == [[30, 30, 40, 40]]
    assert sample.target.ignore.tolist() == [False]
    assert len(sample.image[:, 5:13, 10:20].flatten(1).unique(dim=1).T) == 1


def test_training_sees_tiles_of_files(folder):
    annotations = tiles(folder, "color.png", [(5, 5, 9, 9)])
    samples = TrainingSet(annotations, WholeImages())
    seen = {s.image_id: s for s in (samples[i] for i in range(2))}
    whole = read_image(folder / "color.png")
    assert torch.equal(seen[1].image, whole[:, 20:60, 40:90])
    assert seen[0].size == (40, 50)


def test_a_tile_that_reaches_out_of_its_file_is_named(folder):
    annotations = tiles(folder, "color.png")
    assert annotations.windows is not None
    moved = replace(annotations, windows=annotations.windows + np.array([0, 1, 0, 1]))
    assert pixels(moved, 0, ImageCache()).shape == (3, 40, 50)
    with pytest.raises(
        DataError, match=r"is 90 x 60 pixels .* id 1 has the corner \[40, 21, 90, 61\]"
    ):
        pixels(moved, 1, ImageCache())
