"""Other windows for the first steps of a training, then those that it ends with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data.training_set import TrainingSet
from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.loop import BatchSource
from tinyscope.engine.opening import Opening, Shown, batches_of, open_opening
from tinyscope.engine.sources import open_annotations, open_clip_set, open_training_set
from tinyscope.engine.train import train
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.tables import VideoFrames
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


def recipe(train: dict[str, object] | None = None, **data: object) -> Recipe:
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
                **(train or {}),
            },
        }
    )


def samples(chosen: Recipe, data: Path) -> TrainingSet:
    annotations = open_annotations(chosen.data, "train", data)
    return open_training_set(chosen.data, annotations, seed=0)


def opening(chosen: Recipe, data: Path, steps: int = 4) -> Opening | None:
    return open_opening(chosen.data.opening, samples(chosen, data), steps)


def source(
    chosen: Recipe, data: Path, steps: int = 4, accumulate: int = 1, workers: int = 0
) -> BatchSource:
    shown = Shown(samples(chosen, data), chosen.data.batch)
    first = open_opening(chosen.data.opening, shown.samples, steps)
    return batches_of(shown, first, accumulate, workers, divisor=8)


def shapes(batches) -> list[tuple[int, int]]:
    return [(len(batch.images), batch.images.shape[-1]) for batch in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_of_the_opening_until_it_ends(data, workers):
    batches = source(recipe(), data, workers=workers)
    whole = [(6, 32), (6, 32), (2, 64), (2, 64)]
    assert shapes(batches(0, 4, 0, 1)) == whole
    for start in range(5):
        assert shapes(batches(start, 4, 0, 1)) == whole[start:]


KEPT = {**OPENING, "share": 0.2, "kept": 0.4}


def test_a_resumed_run_sees_the_batches_that_it_would_have_seen(data):
    batches = source(recipe(opening=KEPT), data, steps=6, accumulate=2)
    whole = list(batches(0, 12, 0, 1))
    for start in range(12):
        for first, second in zip(whole[start:], batches(start, 12, 0, 1), strict=True):
            assert torch.equal(first.images, second.images)


def test_a_step_of_several_batches_looks_at_one_kind_of_window(data):
    batches = source(recipe(), data, accumulate=3)
    assert shapes(batches(0, 12, 0, 1)) == [(6, 32)] * 6 + [(2, 64)] * 6


@pytest.mark.parametrize("accumulate", [1, 3])
def test_some_of_the_later_steps_look_at_the_opening_too(data, accumulate):
    batches = source(recipe(opening=KEPT), data, steps=12, accumulate=accumulate)
    found = [size for _, size in shapes(batches(0, 12 * accumulate, 0, 1))][::accumulate]
    assert found == [32, 32, *[64, 64, 32, 64, 32] * 2]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("world", [1, 2])
def test_every_sample_of_either_is_shown_once_and_in_order(data, accumulate, world):
    chosen = recipe(opening=KEPT)
    large = samples(chosen, data)
    small = large.through(RandomWindows(size=32))
    parts = [
        list(source(chosen, data, 12, accumulate)(0, 12 * accumulate, rank, world))
        for rank in range(world)
    ]
    seen: dict[int, list[torch.Tensor]] = {32: [], 64: []}
    for shares in zip(*parts, strict=True):  # the shares of each step, one process after another
        for batch in shares:
            seen[batch.images.shape[-1]].extend(batch.images)
    assert [len(images) for images in seen.values()] == [36 * accumulate, 12 * accumulate]
    for own, images in zip((small, large), seen.values(), strict=True):
        for position, image in enumerate(images):
            assert torch.equal(image, own[position].image)


def test_both_kinds_of_window_share_what_is_decoded(data):
    large = samples(recipe(), data)
    found = opening(recipe(), data)
    assert found is not None
    assert large.through(RandomWindows(size=32)).read is large.read
    assert found.shown.samples.plan.options.size == 32


def test_clips_are_seen_through_other_windows(data):
    annotations = open_annotations(recipe().data, "train", data)
    frames = VideoFrames(
        ("video",),
        np.zeros(3, np.int64),
        np.arange(3),
        np.ones(3, np.bool_),
        np.full(3, -1),
    )
    clips = open_clip_set(recipe().data, replace(annotations, video=frames), seed=0)
    batches = batches_of(Shown(clips, 2), open_opening(recipe().data.opening, clips, 4), 1, 0, 8)
    assert [b.images.shape[-1] for b in batches(0, 4, 0, 1)] == [32, 32, 64, 64]


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
        (
            {**OPENING, "bach": 3},
            r"data\.opening\.bach: .* mean batch\? \(options: share, kept, windows, batch\)",
        ),
    ],
)
def test_wrong_settings_name_their_key(opening, words):
    with pytest.raises(SettingsError, match=words):
        recipe(opening=opening)


def test_windows_that_refuse_a_value_name_their_key(data):
    windows = {"name": "random", "size": 32, "scale": [2.0, 1.0]}
    with pytest.raises(SettingsError, match=r"data\.opening\.windows: scale"):
        opening(recipe(opening={**OPENING, "windows": windows}), data)


@pytest.mark.parametrize(
    ("settings", "said", "sizes"),
    [
        ({}, "steps 1 to 2 of 4 look", [32] * 12 + [64] * 4),
        ({"steps": None, "epochs": 1}, "steps 1 to 3 of 6 look", [32] * 18 + [64] * 6),
        ({"accumulate": 2}, "steps 1 to 2 of 4 look", [32] * 24 + [64] * 8),
    ],
)
def test_a_run_looks_at_what_it_says(data, tmp_path, monkeypatch, capsys, settings, said, sizes):
    seen, read = [], TrainingSet.__getitem__

    def noting(samples: TrainingSet, position: int) -> Sample:
        seen.append(samples.plan.options.size)
        return read(samples, position)

    monkeypatch.setattr(TrainingSet, "__getitem__", noting)
    train(recipe(settings), data, tmp_path)
    assert seen == sizes
    assert f"{said} at the windows of data.opening, 6 in a batch" in capsys.readouterr().out


@pytest.mark.parametrize(("step", "size", "at"), [(1, 32, 6), (4, 64, 2)])
def test_a_run_that_is_stopped_at_either_window_ends_as_one_that_is_not(
    data, tmp_path, monkeypatch, capsys, step, size, at
):
    chosen = recipe({"steps": 6}, opening={**KEPT, "share": 0.5})  # 3 of 32 px, then 64, 64, 32
    train(chosen, data, tmp_path / "whole")
    assert "steps 1 to 3 of 6 and 1 of the 3 after them look at" in capsys.readouterr().out
    read = TrainingSet.__getitem__

    def stopping(samples: TrainingSet, position: int) -> Sample:
        if samples.plan.options.size == size and position == at:  # the first of its second batch
            raise DataError("stopped")
        return read(samples, position)

    monkeypatch.setattr(TrainingSet, "__getitem__", stopping)
    with pytest.raises(DataError, match="stopped"):
        train(chosen, data, tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts/last.ckpt").step == step
    monkeypatch.undo()
    train(chosen, data, tmp_path / "parts", resume=True)
    whole, parts = (
        dict(load_checkpoint(tmp_path / name / "last.ckpt").weights) for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
