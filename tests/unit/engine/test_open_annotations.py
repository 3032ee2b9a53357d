"""Data sets that a recipe names and a command places."""

from dataclasses import replace

import numpy as np
import pytest

from tinyscope.data.synthetic import write_tinyperson
from tinyscope.engine.sources import fingerprint, open_annotations, open_training_set
from tinyscope.errors import SettingsError
from tinyscope.settings import DataSettings


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "tiny_set"
    write_tinyperson(folder, {"train": 1, "test": 1}, seed=2, size=(300, 400))
    return folder


SETTINGS = DataSettings(
    train={"name": "tinyperson", "uncertain": "erase", "ignored": "erase"},
    val={"name": "tinyperson", "split": "test"},
    windows={"name": "grid", "size": [128, 160], "overlap": 30, "cut": "flush", "keep_empty": 0.0},
)


def test_a_benchmark_without_a_path_lies_in_the_folder_of_the_command(tiny_set):
    train = open_annotations(SETTINGS, "train", tiny_set)
    assert train.root == tiny_set / "train"
    assert open_annotations(SETTINGS, "val", tiny_set).root == tiny_set / "test"
    with pytest.raises(SettingsError, match=r"data\.train: .*no folder is given; use --data DIR"):
        open_annotations(SETTINGS, "train", None)


def test_its_own_path_is_kept(tiny_set, tmp_path):
    named = DataSettings(train={"name": "tinyperson", "path": str(tiny_set)})
    assert open_annotations(named, "train", tmp_path).root == tiny_set / "train"


def test_published_tiles_are_shown_in_training(tiny_set):
    samples = open_training_set(SETTINGS, open_annotations(SETTINGS, "train", tiny_set), seed=0)
    assert len(samples)
    for sample in (samples[i] for i in range(len(samples))):
        assert sample.size == (128, 160)
        assert len(sample.target)
        assert not sample.target.ignore.any()


def test_a_fingerprint_knows_every_mark_but_no_notes(tiny_set):
    plain = open_annotations(SETTINGS, "val", tiny_set)
    marks = {key: column.copy() for key, column in plain.marks.items()}
    marks["uncertain"][-1] ^= True
    assert fingerprint(replace(plain, marks=marks)) != fingerprint(plain)
    assert fingerprint(plain.noted("read with care")) == fingerprint(plain)
    windows = np.zeros((len(plain), 4), dtype=np.int64)
    assert fingerprint(replace(plain, windows=windows)) != fingerprint(plain)
