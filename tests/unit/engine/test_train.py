"""What a run says of itself when it starts."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from tinyscope.data.synthetic import write_synthetic
from tinyscope.engine.sources import open_training_set
from tinyscope.engine.train import _about
from tinyscope.formats.tables import Annotations
from tinyscope.settings import DataSettings


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_synthetic(folder, {"train": 3, "val": 2}, size=(64, 96))


def about(train: Annotations, validation: Annotations | None, model: nn.Module) -> list[str]:
    samples = open_training_set(DataSettings(), train, seed=0)
    return list(_about(train, validation, samples, model))


def test_a_run_says_what_it_trains_on_what(sets):
    train = replace(sets["train"], ignore=np.arange(len(sets["train"].boxes)) == 0)
    line, *_ = about(train, sets["val"], nn.Conv2d(100, 100, 5))
    assert f"3 images with {len(train.boxes) - 1} objects of {len(train.names)} classes" in line
    assert line.endswith("; 0.25 million parameters")


def test_a_run_without_validation_says_so(sets):
    *_, line = about(sets["train"], None, nn.Conv2d(1, 1, 1))
    assert line.startswith("there is no validation set: nothing is evaluated")


def test_images_that_are_trained_and_evaluated_on_are_counted(sets):
    *_, line = about(sets["train"], sets["train"], nn.Conv2d(1, 1, 1))
    assert line.startswith("warning: 3 of the 3 images to evaluate on are trained on as well")
