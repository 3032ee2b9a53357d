"""Other windows for the first steps of a training, then those that it ends with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data.training_set import TrainingSet
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.loop import BatchSource
from tinyscope.engine.sources import open_annotations, open_training_set, open_windows
from tinyscope.engine.stages import Looks, Opening, batches_of, open_opening
from tinyscope.engine.train import train
from tinyscope.errors import DataError, SettingsError
from tinyscope.settings import Recipe, recipe_from
from tinyscope.types import Sample


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    (folder / "train").mkdir()
    images, rows = [], []
    for i in range(3):
        pixels = random.integers(0, 100, (64, 64, 3), dtype=np.uint8)
        pixels[20:28, 30:38] = 220
        Image.fromarray(pixels).save(folder / "train" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
        rows.append({"id": i, "image_id": i, "category_id": 1, "bbox": [30, 20, 8, 8]})
    truth = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "square"}]}
    (folder / "train.json").write_text(json.dumps(truth))
    return folder


OPENING = {"share": 0.5, "windows": {"name": "random", "size": 32}, "batch": 6}


def recipe(**data: object) -> Recipe:
    return recipe_from(
        {
            "source": "test",
            "expected": {},
            "model": {
                "name": "dense",
                "backbone": {"name": "resnet", "depth": 18, "width": 8, "strides": [4, 8]},
                "neck": {"name": "fpn", "channels": 8},
                "head": {"name": "fcos", "depth": 0},
                "priors": {"name": "points"},
                "assigner": {"name": "center"},
                "sampler": {"name": "all"},
                "coder": {"name": "distance"},
            },
            "data": {
                "windows": {"name": "random", "size": 64},
                "opening": OPENING,
                "batch": 2,
                "workers": 0,
                **data,
            },
            "train": {
                "steps": 4,
                "warmup_steps": 0,
                "learning_rate": 0.01,
                "checkpoint_every": 1,
                "precision": "32",
            },
        }
    )


def opening(chosen: Recipe, data: Path, steps: int = 4) -> Opening | None:
    return open_opening(chosen, open_annotations(chosen.data, "train", data), steps)


def source(
    chosen: Recipe, data: Path, steps: int = 4, accumulate: int = 1, workers: int = 0
) -> BatchSource:
    annotations = open_annotations(chosen.data, "train", data)
    looks = Looks(open_training_set(chosen.data, annotations, seed=0), chosen.data.batch)
    first = open_opening(chosen, annotations, steps)
    return batches_of(looks, first, accumulate, workers, divisor=8)


def shapes(batches) -> list[tuple[int, int]]:
    return [(len(batch.images), batch.images.shape[-1]) for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_of_the_opening_until_it_ends(data, workers):
    batches = source(recipe(), data, workers=workers)
    whole = [(6, 32), (6, 32), (2, 64), (2, 64)]
    assert shapes(batches(0, 4, 0, 1)) == whole
    for start in range(5):
        assert shapes(batches(start, 4, 0, 1)) == whole[start:]


def test_a_resumed_run_sees_the_batches_that_it_would_have_seen(data):
    batches = source(recipe(), data)
    whole = list(batches(0, 4, 0, 1))
    for start in (1, 2, 3):
        for first, second in zip(whole[start:], batches(start, 4, 0, 1), strict=True):
            assert torch.equal(first.images, second.images)


def test_a_step_of_several_batches_takes_them_from_one_stage(data):
    batches = source(recipe(), data, accumulate=3)
    assert shapes(batches(0, 12, 0, 1)) == [(6, 32)] * 6 + [(2, 64)] * 6


KEPT = {**OPENING, "share": 0.2, "kept": 0.4}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_some_of_the_later_steps_look_at_the_opening_too(data, accumulate):
    batches = source(recipe(opening=KEPT), data, steps=12, accumulate=accumulate)
    found = [size for _, size in shapes(batches(0, 12 * accumulate, 0, 1))][::accumulate]
    assert found == [32, 32, *[64, 64, 32, 64, 32] * 2]


def test_no_position_of_either_is_left_out(data):
    batches = source(recipe(opening=KEPT), data, steps=12)
    annotations = open_annotations(recipe().data, "train", data)
    windows = open_windows(OPENING["windows"], "data.opening.windows")
    small = open_training_set(recipe().data, annotations, 0, windows)
    large = open_training_set(recipe().data, annotations, 0)
    for size, samples in ((32, small), (64, large)):
        seen = [b for b in batches(0, 12, 0, 1) if b.images.shape[-1] == size]
        images = torch.cat([batch.images for batch in seen])
        for position, image in enumerate(images):
            assert torch.equal(image, samples[position].image)
        assert len(images) == 6 * (6 if size == 32 else 2)


def test_processes_share_the_batches_of_both_stages(data):
    batches = source(recipe(), data)
    assert shapes(batches(0, 4, 1, 2)) == [(3, 32), (3, 32), (1, 64), (1, 64)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch": 1}, r"^data\.batch: 1 samples cannot be shared"),
        (
            {"opening": {**OPENING, "batch": 5}},
            r"^data\.opening\.batch: 5 samples cannot be shared",
        ),
    ],
)
def test_both_batches_are_checked_before_the_first_step(data, settings, words):
    batches = source(recipe(**settings), data)
    with pytest.raises(SettingsError, match=words):
        batches(0, 4, 0, 2)


def test_without_an_opening_all_steps_are_alike(data):
    assert opening(recipe(opening=None), data) is None
    assert shapes(source(recipe(opening=None), data)(0, 4, 0, 1)) == [(2, 64)] * 4


@pytest.mark.parametrize(("share", "steps", "there"), [(0.1, 4, 0), (0.9, 4, 4), (0.5, 1, 0)])
def test_an_opening_without_a_step_or_with_all_is_refused(data, share, steps, there):
    chosen = recipe(opening={**OPENING, "share": share})
    with pytest.raises(
        SettingsError, match=rf"opening\.share: {share} of {steps} steps are {there}"
    ):
        opening(chosen, data, steps)


@pytest.mark.parametrize(
    ("opening", "words"),
    [
        ({"windows": OPENING["windows"]}, r"data\.opening\.batch"),
        ({**OPENING, "share": 1.0}, r"data\.opening\.share: got 1\.0"),
        ({**OPENING, "kept": 1.0}, r"data\.opening\.kept: got 1\.0"),
        ({**OPENING, "windows": {"name": "randm"}}, r"data\.opening\.windows.*random"),
        (
            {**OPENING, "windows": {"name": "random", "siz": 3}},
            r"data\.opening\.windows\.siz.*size",
        ),
        ({**OPENING, "bach": 3}, r"data\.opening\.bach"),
    ],
)
def test_wrong_settings_name_their_key(opening, words):
    with pytest.raises(SettingsError, match=words):
        recipe(opening=opening)


def test_windows_that_refuse_a_value_name_their_key(data):
    windows = {"name": "random", "size": 32, "scale": [2.0, 1.0]}
    with pytest.raises(SettingsError, match=r"data\.opening\.windows: scale"):
        opening(recipe(opening={**OPENING, "windows": windows}), data)


@pytest.mark.parametrize(("step", "size", "at"), [(1, 32, 6), (3, 64, 2)])
def test_a_run_that_is_stopped_in_either_stage_ends_as_one_that_is_not(
    data, tmp_path, monkeypatch, capsys, step, size, at
):
    train(recipe(), data, tmp_path / "whole")
    said = capsys.readouterr().out
    assert "steps 1 to 2 of 4 look at the windows of data.opening, 6 in a batch" in said
    read = TrainingSet.__getitem__

    def stopping(samples: TrainingSet, position: int) -> Sample:
        if samples.plan.options.size == size and position == at:  # the first of its second batch
            raise DataError("stopped")
        return read(samples, position)

    monkeypatch.setattr(TrainingSet, "__getitem__", stopping)
    with pytest.raises(DataError, match="stopped"):
        train(recipe(), data, tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts/last.ckpt").step == step
    monkeypatch.undo()
    train(recipe(), data, tmp_path / "parts", resume=True)
    whole, parts = (
        dict(load_checkpoint(tmp_path / name / "last.ckpt").weights) for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
