"""Training a model of videos: on clips, resumed exactly, and what the run says of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from small_video import film, video_model
from tinyscope.data.clips.clip_set import Clip, ClipSet
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.sources import open_clip_set, open_training_set
from tinyscope.engine.train import _about, _of_videos, train
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.coco import read_annotations, write_annotations
from tinyscope.formats.tables import VideoFrames
from tinyscope.settings import DataSettings, Recipe, recipe_from


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """A CocoVID file of a video of six frames and one of a single frame."""
    folder = tmp_path_factory.mktemp("videos")
    lengths = (6, 1)
    names = []
    for number, length in enumerate(lengths):
        for frame, pixels in enumerate(film(length)):
            names.append(f"{number}_{frame}.png")
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / names[-1])
    frames = np.concatenate([np.arange(length) for length in lengths])
    left = 4.0 + 3 * frames
    corners = np.stack([left, np.full(7, 20.0), left + 12, np.full(7, 32.0)], axis=1)
    labels = np.zeros(7, dtype=np.int64)
    sizes = np.tile(np.array([64, 96], dtype=np.int32), (7, 1))
    read = assemble(folder, ["square"], names, sizes, [1] * 7, corners, labels)
    video = VideoFrames(("a", "b"), np.repeat([0, 1], lengths), frames, frames % 2 == 0, labels)
    write_annotations(replace(read, video=video), folder / "train.json")
    return folder


def recipe(**options: object) -> Recipe:
    return recipe_from(
        {
            "source": "test",
            "expected": {},
            "model": video_model(),
            "data": {
                "windows": {"name": "random", "size": 48},
                "transforms": [{"name": "flip"}],
                "references": {"name": "bilateral", "radius": 3},
                "batch": 2,
                "workers": 0,
            },
            "train": {
                "steps": 3,
                "warmup_steps": 0,
                "learning_rate": 0.01,
                "checkpoint_every": 1,
                "precision": "32",
            },
            **options,
        }
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(folder / "last.ckpt").weights)


def test_a_run_on_clips_that_is_stopped_and_resumed_ends_as_one_that_is_not(
    videos, tmp_path, monkeypatch
):
    train(recipe(), videos, tmp_path / "whole")
    read = ClipSet.__getitem__

    def stopping(samples: ClipSet, position: int) -> Clip:
        if position == 4:  # the first of the last step
            raise DataError("stopped")
        return read(samples, position)

    monkeypatch.setattr(ClipSet, "__getitem__", stopping)
    with pytest.raises(DataError, match="stopped"):
        train(recipe(), videos, tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts/last.ckpt").step == 2
    monkeypatch.undo()
    train(recipe(), videos, tmp_path / "parts", resume=True)
    assert load_checkpoint(tmp_path / "parts/last.ckpt").step == 3
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize("looks", [{"views": 2}, {"zooms": [1.0, 2.0]}])
def test_looks_that_a_model_of_videos_lacks_are_refused_before_the_first_step(
    videos, tmp_path, looks
):
    with pytest.raises(SettingsError, match=r"predict\.(views|zooms): got .* of videos"):
        train(recipe(predict=looks), videos, tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_run_on_videos_says_which_frames_it_trains_on(videos):
    read = read_annotations(videos / "train.json")
    samples = open_clip_set(DataSettings(), read, seed=0)
    assert list(_of_videos(read, samples)) == [
        "4 key frames are trained on, of 7 frames: 1 videos and 1 stills"
    ]
    sizes = read.sizes.copy()
    sizes[3:6] = 50
    changing = replace(read, sizes=sizes)
    (_, line) = _of_videos(changing, open_clip_set(DataSettings(), changing, seed=0))
    assert line.startswith("videos change the size of their frames 1 times")


def test_a_model_of_videos_without_any_is_warned_of(videos):
    still = replace(read_annotations(videos / "train.json"), video=None)
    (line,) = _of_videos(still, open_clip_set(DataSettings(), still, seed=0))
    assert line.startswith("warning: the data set has no videos")
    assert list(_of_videos(still, open_training_set(DataSettings(), still, seed=0))) == []
    apart = VideoFrames.stills(still.files.tolist(), len(still.boxes))
    cut = replace(still, video=apart)
    line, _ = _of_videos(cut, open_clip_set(DataSettings(), cut, seed=0))
    assert line.startswith("warning: the data set has no videos")


def test_a_class_that_no_key_frame_shows_is_warned_of(videos):
    read = read_annotations(videos / "train.json")
    two = replace(
        read, names=("square", "ring"), category_ids=(1, 2), labels=np.array([0, 1] * 3 + [0])
    )
    for open_set in (open_clip_set, open_training_set):
        lines = _about(two, None, open_set(DataSettings(), two, seed=0), torch.nn.Linear(1, 1))
        first, *rest = lines
        assert first.startswith("4 images with 4 objects of 2 classes")
        assert "warning: classes without an example are never found: ring" in rest
