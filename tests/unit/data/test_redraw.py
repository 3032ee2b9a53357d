"""A window whose objects are all lost may be replaced by another one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tinyscope.data.images import ImageCache
from tinyscope.data.training_set import TrainingSet
from tinyscope.data.windows.whole import WholeImages
from tinyscope.engine.sources import open_training_set
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations
from tinyscope.settings import DataSettings
from tinyscope.types import Sample


def images(counts: list[int]) -> Annotations:
    """Black images of 32 x 32 px with so many objects each; the first holds ones of 4 px."""
    total = sum(counts)
    sides = np.where(np.repeat(np.arange(len(counts)), counts) == 0, 4.0, 10.0)[:, None]
    corners = np.full((total, 2), 8.0)
    return assemble(
        Path(),
        ["car"],
        [f"{i}.png" for i in range(len(counts))],
        np.full((len(counts), 2), 32, dtype=np.int32),
        counts,
        np.hstack([corners, corners + sides]),
        np.zeros(total, dtype=np.int64),
    )


class Black(ImageCache):
    """In place of the reader of images."""

    def __call__(self, *_: object) -> torch.Tensor:
        return torch.zeros(3, 32, 32, dtype=torch.uint8)


def without_small(sample: Sample, random: np.random.Generator) -> Sample:
    """Ignores objects below 5 px, as a transform may."""
    sides = sample.target.boxes[:, 2] - sample.target.boxes[:, 0]
    return replace(sample, target=replace(sample.target, ignore=sides < 5))


def training_set(counts: list[int], redraw: bool = True) -> TrainingSet:
    annotations = images(counts)
    return TrainingSet(annotations, WholeImages(), [without_small], 3, Black(), redraw)


def objects(sample: Sample) -> int:
    return int((~sample.target.ignore).sum())


def test_a_window_that_lost_its_objects_is_replaced_and_they_are_counted():
    samples = training_set([2, 1, 1, 1])
    plain = training_set([2, 1, 1, 1], redraw=False)
    for position in range(12):
        shown, before = samples[position], plain[position]
        assert objects(shown) == 1
        if objects(before):
            assert shown.image_id == before.image_id
            assert not shown.dropped.counts
        else:
            ((reason, counts),) = shown.dropped.counts.items()
            assert reason == "lost with all of its window: another window is shown"
            assert counts.sum() % 2 == 0  # two objects each time that image was drawn
            assert counts.sum() >= 2


def test_the_replacement_follows_from_the_seed_and_the_position_alone():
    first, again = training_set([1, 1, 1, 1, 1, 1]), training_set([1, 1, 1, 1, 1, 1])
    shown = [first[p].image_id for p in range(60)]
    assert shown == [again[p].image_id for p in reversed(range(60))][::-1]
    assert set(shown) == {2, 3, 4, 5, 6}


def test_windows_without_objects_stay():
    samples = training_set([0, 0, 0])
    assert [objects(samples[p]) for p in range(3)] == [0, 0, 0]
    assert {samples[p].image_id for p in range(3)} == {1, 2, 3}


def test_where_every_window_loses_its_objects_one_is_shown_all_the_same():
    shown = training_set([1])[0]
    assert objects(shown) == 0
    assert shown.dropped.total == 20


@pytest.mark.parametrize("redraw", [False, True])
def test_the_setting_reaches_the_training_set(redraw):
    assert open_training_set(DataSettings(redraw=redraw), images([1]), seed=0).redraw is redraw
