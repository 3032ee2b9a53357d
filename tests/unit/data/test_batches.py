"""Tests of samples by position and of batches; images are written once per module."""

import gc
import multiprocessing
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data.batches import TrainingSet, collate, loader
from tinyscope.data.transforms.flip import Flip
from tinyscope.data.transforms.noise import Noise
from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.data.windows.whole import WholeImages
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations
from tinyscope.types import Batch, Dropped, Sample, Target

SIZES = [(40, 60), (64, 64), (30, 100), (50, 50)]


@pytest.fixture(scope="module")
def annotations(tmp_path_factory) -> Annotations:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i, (height, width) in enumerate(SIZES):
        pixels = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return listed(folder)


def listed(folder: Path, sizes=SIZES) -> Annotations:
    """Two objects and an ignored region in each image but the last, which holds none."""
    boxes = np.array([[5, 5, 9, 8], [20, 20, 26, 29], [0, 0, 15, 4]] * 3, dtype=np.float64)
    return assemble(
        folder,
        ["boat"],
        [f"{i}.png" for i in range(4)],
        np.array(sizes, dtype=np.int32),
        [3, 3, 3, 0],
        boxes,
        np.zeros(9, dtype=np.int64),
        np.array([False, False, True] * 3),
    )


def training_set(annotations: Annotations, seed: int = 0) -> TrainingSet:
    transforms = [Flip(0.5, 0.5), Noise(probability=0.5)]
    return TrainingSet(annotations, RandomWindows(32, (0.5, 2.0)), transforms, seed)


def assert_same(a: Batch, b: Batch) -> None:
    assert torch.equal(a.images, b.images)
    assert (a.sizes, a.image_ids, a.files) == (b.sizes, b.image_ids, b.files)
    for one, other in zip(a.targets, b.targets, strict=True):
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.ignore, other.ignore)
    assert a.dropped.counts.keys() == b.dropped.counts.keys()
    assert a.dropped.total == b.dropped.total


def test_a_whole_image_comes_with_all_that_is_known_of_it(annotations):
    samples = TrainingSet(annotations, WholeImages())
    seen = {s.file: s for s in (samples[i] for i in range(4))}
    first = seen[str(annotations.path(0))]
    assert first.image_id == 1
    assert first.size == (40, 60)
    assert first.target.boxes.tolist() == [[5, 5, 9, 8], [20, 20, 26, 29], [0, 0, 15, 4]]
    assert first.target.ignore.tolist() == [False, False, True]
    assert first.target.boxes.dtype == torch.float32
    assert len(seen[str(annotations.path(3))].target) == 0


def test_a_batch_is_padded_at_the_right_and_bottom_with_the_mean_color():
    image = torch.full((3, 10, 40), 7, dtype=torch.uint8)
    other = torch.full((3, 33, 20), 9, dtype=torch.uint8)
    lost = Dropped.of("too small", torch.tensor([[0.0, 0, 4, 4]]))
    batch = collate(
        [Sample(image, Target.empty(), 5, "a"), Sample(other, Target.empty(), 6, "b", lost)]
    )
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.images.is_contiguous()
    assert batch.sizes == ((10, 40), (33, 20))
    assert (batch.images[0, :, :10, :40] == 7).all()
    assert (batch.images[1, :, :33, :20] == 9).all()
    padding = torch.ones(64, 64, dtype=torch.bool)
    padding[:10, :40] = False
    assert batch.images[0].permute(1, 2, 0)[padding].unique(dim=0).tolist() == [[124, 116, 104]]
    assert (batch.image_ids, batch.files, batch.dropped.total) == ((5, 6), ("a", "b"), 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(annotations, workers):
    samples = training_set(annotations)
    alone = loader(samples, 4, workers=0, steps=6)
    shared = loader(samples, 4, workers=workers, steps=6)
    assert len(alone) == len(shared) == 6
    for a, b in zip(alone, shared, strict=True):
        assert_same(a, b)


@pytest.mark.slow
def test_workers_may_start_afresh(annotations):
    samples = training_set(annotations)
    alone = loader(samples, 4, workers=0, steps=2)
    spawned = loader(samples, 4, workers=1, steps=2, context="spawn")
    for a, b in zip(alone, spawned, strict=True):
        assert_same(a, b)


def test_a_resumed_run_goes_on_with_the_next_batch(annotations):
    whole = list(loader(training_set(annotations), 4, workers=0, steps=6))
    rest = list(loader(training_set(annotations), 4, workers=0, start_step=4, steps=6))
    assert len(rest) == 2
    for a, b in zip(whole[4:], rest, strict=True):
        assert_same(a, b)


def test_processes_share_out_the_batch_of_one(annotations):
    samples = training_set(annotations)
    whole = loader(samples, 4, workers=0, steps=3)
    parts = [loader(samples, 4, workers=0, steps=3, rank=rank, world=2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert batch.files == first.files + second.files
        assert batch.sizes == first.sizes + second.sizes
        for i, (image, (h, w)) in enumerate(zip(batch.images, batch.sizes, strict=True)):
            part = (first, second)[i // 2].images[i % 2]
            assert torch.equal(image[:, :h, :w], part[:, :h, :w])


def test_another_seed_shows_other_samples(annotations):
    one, other = training_set(annotations, 0), training_set(annotations, 1)
    assert any(not torch.equal(one[i].image, other[i].image) for i in range(4))


def test_loading_leaves_the_global_generators_alone(annotations):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    state, other = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    list(loader(training_set(annotations), 4, workers=2, steps=2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], other)  # noqa: NPY002


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_arrives_as_it_was_raised(annotations, tmp_path, workers):
    samples = training_set(listed(tmp_path))
    with pytest.raises(DataError, match=r"\d\.png") as caught:
        list(loader(samples, 2, workers=workers, steps=2))
    assert "Traceback" not in str(caught.value)
    assert not multiprocessing.active_children()


def test_a_size_that_the_annotations_leave_open_is_read_from_the_file(annotations):
    unknown = listed(annotations.root, [(0, 0)] * 4)
    samples = TrainingSet(unknown, WholeImages())
    assert samples.annotations.sizes.tolist() == [list(s) for s in SIZES]
    assert {samples[i].size for i in range(4)} == set(SIZES)


def test_a_box_outside_an_image_of_unstated_size_is_an_error(annotations):
    unknown = listed(annotations.root, [(0, 0)] * 4)
    boxes = unknown.boxes.copy()
    boxes[4] = [64, 20, 70, 30]  # the second image is 64 pixels wide
    with pytest.raises(DataError, match=r"1\.png: annotation 5: box .* outside its 64 x 64 pixels"):
        TrainingSet(replace(unknown, boxes=boxes), WholeImages())


def test_a_size_that_contradicts_the_file_is_an_error(annotations):
    samples = TrainingSet(listed(annotations.root, [(41, 60)] * 4), WholeImages())
    with pytest.raises(DataError, match="its annotations say"):
        samples[0]


def test_an_empty_data_set_is_an_error(tmp_path):
    nothing = assemble(
        tmp_path, [], [], np.zeros((0, 2), np.int32), [], np.zeros((0, 4)), np.zeros(0, np.int64)
    )
    with pytest.raises(DataError, match="lists no images to train on"):
        TrainingSet(nothing, WholeImages())


def test_a_batch_that_cannot_be_shared_evenly_is_an_error(annotations):
    with pytest.raises(SettingsError, match=r"data\.batch: 5 samples .* 2 processes"):
        loader(training_set(annotations), 5, steps=1, world=2)


def test_positions_start_at_zero(annotations):
    with pytest.raises(IndexError, match="-1"):
        training_set(annotations)[-1]


def test_a_box_too_thin_for_float32_is_ignored_and_counted(annotations):
    thin = listed(annotations.root)
    thin.boxes[0] = (30, 5, 30 + 1e-9, 9)
    samples = TrainingSet(thin, WholeImages())
    dropped = sum((samples[i].dropped for i in range(4)), Dropped())
    assert dropped.counts.keys() == {"no width or height in float32: now ignored"}
    assert dropped.total == 1


def test_memory_does_not_hold_an_object_per_annotation():
    """2 million annotations: their columns, some arrays of the plan, and nothing else."""
    images, per_image = 20_000, 100
    random = np.random.default_rng(0)
    corners = random.uniform(0, 500, (images * per_image, 2))
    many = assemble(
        Path("nowhere"),
        ["boat"],
        [f"{i}.png" for i in range(images)],
        np.full((images, 2), 512, dtype=np.int32),
        [per_image] * images,
        np.concatenate([corners, corners + 5], axis=1),
        np.zeros(images * per_image, dtype=np.int64),
    )
    gc.collect()
    before = len(gc.get_objects())
    tracemalloc.start()
    samples = TrainingSet(many, RandomWindows(256))
    _ = [samples.plan[i] for i in range(100)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(gc.get_objects()) - before < 1000
    assert held < 64 * images * per_image
    assert len(pickle.dumps(samples)) < 200 * images * per_image
