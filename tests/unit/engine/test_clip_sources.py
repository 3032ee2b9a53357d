"""Which samples a recipe's model is trained on."""

from dataclasses import replace

import numpy as np
import pytest

from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.clips.references import BilateralReferences, UniformReferences
from tinyscope.engine.sources import open_clip_set, open_samples, open_training_set
from tinyscope.errors import SettingsError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations, VideoFrames
from tinyscope.settings import DataSettings, Recipe, load_recipe


@pytest.fixture
def frames(tmp_path) -> Annotations:
    """Six frames of two videos, of which every other one is a key frame."""
    read = assemble(
        tmp_path,
        ["boat"],
        [f"{i}.png" for i in range(6)],
        np.full((6, 2), 32, dtype=np.int32),
        [1] * 6,
        np.tile([2.0, 2, 9, 9], (6, 1)),
        np.zeros(6, dtype=np.int64),
    )
    numbers = np.arange(6)
    video = VideoFrames(("a", "b"), numbers // 3, numbers % 3, numbers % 2 == 0, numbers)
    return replace(read, video=video)


def test_a_model_of_images_is_trained_on_key_frames_alone(frames):
    samples = open_training_set(DataSettings(), frames, seed=0)
    assert len(samples) == 3
    assert sorted(samples.annotations.files) == ["0.png", "2.png", "4.png"]


def test_clips_draw_references_from_both_sides_unless_told_otherwise(frames):
    samples = open_clip_set(DataSettings(), frames, seed=0)
    assert samples.references == BilateralReferences()
    assert len(samples) == 3
    assert samples.annotations is frames
    settings = DataSettings(references={"name": "uniform", "count": 3})
    assert open_clip_set(settings, frames, seed=0).references == UniformReferences(count=3)


def test_references_of_a_model_of_images_are_refused(frames):
    recipe = load_recipe("quick/demo", ["data.references={name: bilateral}"])
    with pytest.raises(SettingsError, match=r"data\.references: is bilateral, but model dense"):
        open_samples(recipe, frames)


def test_a_model_of_videos_is_trained_on_clips(frames):
    plain = load_recipe("quick/demo")
    recipe = Recipe.model_construct(
        **{**dict(plain), "model": {"name": "video"}, "data": DataSettings()}
    )
    assert isinstance(open_samples(recipe, frames), ClipSet)


def test_transforms_of_single_objects_are_refused_for_clips(frames, tmp_path):
    match = {"name": "instance_match", "target": str(tmp_path)}
    settings = DataSettings(transforms=(match,))
    with pytest.raises(SettingsError, match=r"data\.transforms\.0: instance_match resizes"):
        open_clip_set(settings, frames, seed=0)
    chosen = {"name": "one_of", "transforms": [{"name": "flip"}, match]}
    with pytest.raises(SettingsError, match=r"data\.transforms\.0\.transforms\.1: instance_match"):
        open_clip_set(DataSettings(transforms=(chosen,)), frames, seed=0)


def test_an_option_of_references_that_cannot_be_is_named():
    with pytest.raises(SettingsError, match=r"data\.references"):
        load_recipe("quick/demo", ["data.references={name: bilateral, count: 2, radios: 3}"])
