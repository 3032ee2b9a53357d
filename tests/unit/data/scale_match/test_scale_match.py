"""Images follow the sizes of another set."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data import TRANSFORMS
from tinyscope.data.scale_match.factor import FactorRule, keep_ratio_size, mean_size
from tinyscope.data.scale_match.histogram import SizeHistogram
from tinyscope.data.scale_match.sampling import SizeMap
from tinyscope.data.transforms.scale_match import ScaleMatch
from tinyscope.engine.sources import open_training_set
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.assemble import assemble
from tinyscope.settings import DataSettings
from tinyscope.types import Sample, Target

EIGHT = SizeHistogram(np.array([1.0]), np.array([8.0, 8.0]))
"""All objects of 8 pixels."""


def image(*boxes, size=(100, 120), ignore=()):
    count = len(boxes)
    target = Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(count, dtype=torch.int64),
        torch.tensor([i in ignore for i in range(count)], dtype=torch.bool),
    )
    return Sample(torch.full((3, *size), 80, dtype=torch.uint8), target, 7, "a.png")


def matched(sample, sizes=EIGHT, **options):
    names = ("smallest", "largest", "default", "outside", "inclusive")
    rule = FactorRule(**{k: options.pop(k) for k in names if k in options})
    return ScaleMatch(sizes, rule, **options)(sample, np.random.default_rng(0))


def test_objects_become_as_large_as_wanted():
    changed = matched(image([10, 20, 26, 36], [60, 60, 76, 76]))
    assert changed.size == (50, 60)
    assert changed.target.boxes.tolist() == [[5, 10, 13, 18], [30, 30, 38, 38]]
    assert (changed.image == 80).all()
    assert (changed.image_id, changed.file) == (7, "a.png")


def test_the_geometric_mean_of_the_objects_counts_and_not_the_ignored_ones():
    changed = matched(image([0, 0, 8, 8], [0, 0, 32, 32], [0, 0, 90, 90], ignore=[2]))
    assert changed.size == (50, 60)
    assert mean_size(torch.tensor([[0.0, 0, 3, 4]])) == pytest.approx(12**0.5)
    assert mean_size(torch.tensor([[0.0, 0, 3, 4]]), inclusive=True) == pytest.approx(20**0.5)
    assert mean_size(torch.zeros(0, 4)) is None
    assert mean_size(torch.tensor([[5.0, 5, 5, 9]])) is None


def test_a_published_pixel_more_per_side_makes_the_image_smaller():
    changed = matched(image([10, 20, 25, 35]), inclusive=True)
    assert changed.size == (50, 60)


def test_an_image_without_objects_has_the_default_factor():
    assert matched(image()).size == (25, 30)
    assert matched(image([0, 0, 16, 16], ignore=[0])).size == (25, 30)
    assert matched(image(), default=0.5).size == (50, 60)


def test_a_factor_out_of_the_range_is_clipped_or_the_default():
    small = image([10, 10, 14, 14])
    assert matched(small).size == (100, 120)
    assert matched(small, outside="default").size == (25, 30)
    assert matched(small, largest=3.0).size == (200, 240)


def test_sizes_are_drawn_again_until_the_factor_fits():
    mostly_large = SizeHistogram(np.array([0.5, 0.0, 0.5]), np.array([8.0, 8.0, 90.0, 90.0]))
    sizes = [
        ScaleMatch(mostly_large)(image([0, 0, 16, 16]), np.random.default_rng(seed)).size
        for seed in range(100)
    ]
    # One in 2 ** 5 images has five draws that are too large.
    assert set(sizes) <= {(50, 60), (100, 120)}
    assert 90 <= sizes.count((50, 60)) <= 99


def test_an_image_whose_objects_would_vanish_has_the_default_factor():
    specks = SizeHistogram(np.array([1.0]), np.array([0.5, 0.5]))
    assert matched(image([10, 10, 14, 14]), specks).size == (25, 30)


def test_objects_that_vanish_are_ignored_or_dropped_and_counted():
    sample = image([0, 0, 32, 32], [50, 50, 82, 82], [40, 40, 41.5, 41.5], [0, 0, 3, 3], ignore=[3])
    half = SizeMap(np.array([1.0, 99.0]), np.array([0.5, 49.5]))
    kept = matched(sample, half)
    assert kept.size == (50, 60)
    assert kept.target.ignore.tolist() == [False, False, True, True]
    assert kept.dropped.total == 1
    dropped = matched(sample, half, small="drop")
    assert dropped.target.ignore.tolist() == [False, False, True]
    assert list(dropped.dropped.counts) == ["smaller than 1 px after resizing: now background"]
    assert dropped.dropped.total == 1


def test_boxes_scale_by_the_true_factor_of_each_axis():
    changed = matched(image([10, 30, 34, 54], size=(50, 70)))
    assert changed.size == (17, 23)
    wanted = [10 * 23 / 70, 30 * 17 / 50, 34 * 23 / 70, 17]  # clipped to the image
    torch.testing.assert_close(changed.target.boxes[0], torch.tensor(wanted))


def test_the_size_of_equal_ratio_may_be_a_pixel_off():
    assert keep_ratio_size((248, 390), (60, 95)) == (60, 94)
    assert keep_ratio_size((100, 120), (50, 60)) == (50, 60)
    sample = image([0, 0, 32.9, 32.9], size=(248, 390))
    assert matched(sample).size == (60, 95)
    assert matched(sample, keep_ratio=True).size == (60, 94)


def test_without_antialiasing_some_pixels_are_not_seen():
    sample = image([0, 0, 32, 32])
    stripes = sample.image.clone()
    stripes[:, :, ::4] = 250
    striped = Sample(stripes, sample.target)
    smooth, sharp = (matched(striped, antialias=flag).image for flag in (True, False))
    assert smooth.shape == sharp.shape == (3, 25, 30)
    assert (sharp == 80).all()
    assert smooth.float().mean() > 110


@pytest.fixture
def target(tmp_path):
    (tmp_path / "h.json").write_text('{"edges": [4, 8], "probabilities": [1]}')
    return str(tmp_path / "h.json")


def annotated(folder, boxes):
    """A set of one image of 60 x 80 pixels with these objects."""
    Image.new("RGB", (80, 60), (90, 90, 90)).save(folder / "0.png")
    sizes, labels = np.array([[60, 80]], dtype=np.int32), np.zeros(len(boxes), dtype=np.int64)
    return assemble(folder, ["car"], ["0.png"], sizes, [len(boxes)], boxes, labels)


def test_monotone_ranks_the_set_that_is_trained_on(tmp_path, target):
    boxes = np.array([[0.0, 0, side, side] for side in (16, 24, 32)])
    annotations = annotated(tmp_path, boxes)
    part = {"name": "scale_match", "target": target, "match": "monotone"}
    transform = TRANSFORMS.build(part, "transform", annotations=annotations)
    assert transform.sizes(np.array([16.0, 24.0, 32.0])).tolist() == [4, 6, 8]
    with pytest.raises(SettingsError, match="transform: source: must be given, monotone"):
        TRANSFORMS.build(part, "transform")


def test_a_source_that_is_named_is_ranked_instead(tmp_path, target):
    source = tmp_path / "s.json"
    rows = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [0, 0, side, side]}
        for i, side in enumerate((40, 80))
    ]
    pictures = [{"id": 1, "file_name": "no.png", "width": 99, "height": 99}]
    content = {"images": pictures, "annotations": rows, "categories": [{"id": 1, "name": "a"}]}
    source.write_text(json.dumps(content))
    part = {"name": "scale_match", "target": target, "match": "monotone", "source": str(source)}
    assert TRANSFORMS.build(part).sizes(np.array([40.0, 60.0])).tolist() == [4, 6]


def test_a_set_without_objects_cannot_be_ranked(tmp_path, target):
    part = {"name": "scale_match", "target": target, "match": "monotone"}
    with pytest.raises(SettingsError, match="transform: no objects to match"):
        TRANSFORMS.build(part, "transform", annotations=annotated(tmp_path, np.zeros((0, 4))))


def test_a_target_that_is_missing_is_named(tmp_path):
    part = {"name": "scale_match", "target": str(tmp_path / "nowhere")}
    with pytest.raises(DataError, match=r"nowhere: no such file or folder"):
        TRANSFORMS.build(part)


def test_a_recipe_trains_on_matched_images(tmp_path, target):
    annotations = annotated(tmp_path, np.array([[4.0, 4, 36, 36]]))
    part = {"name": "scale_match", "target": target, "match": "monotone"}
    samples = open_training_set(DataSettings(transforms=(part,)), annotations, seed=1)
    assert samples[0].size == (8, 10)  # one size is ranked first: 32 px become 4
    wanted = torch.tensor([[0.5, 4 * 8 / 60, 4.5, 4.8]])
    torch.testing.assert_close(samples[0].target.boxes, wanted)
