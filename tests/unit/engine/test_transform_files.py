"""Files that transforms take: what is wrong with one names the option it is of."""

import json
from pathlib import Path

import numpy as np
import pytest

from tinyscope.engine.sources import open_training_set
from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.settings import DataSettings

TRUTH = assemble(
    Path(),
    ["car"],
    ["a.jpg"],
    np.full((1, 2), 64, dtype=np.int32),
    [1],
    np.array([[8.0, 8.0, 20.0, 20.0]]),
    np.zeros(1, dtype=np.int64),
)


def open_with(*transforms):
    return open_training_set(DataSettings(transforms=transforms), TRUTH, seed=0)


@pytest.fixture
def histogram(tmp_path):
    file = tmp_path / "sizes.json"
    file.write_text(json.dumps({"mean": 18.0, "deviation": 17.4}))
    return str(file)


@pytest.mark.parametrize("name", ["scale_match", "instance_match"])
def test_a_missing_target_is_named(name, tmp_path, histogram):
    absent = str(tmp_path / "absent.json")
    good = {"name": "scale_match", "target": histogram}
    open_with(good, {"name": name, "target": histogram})
    with pytest.raises(DataError, match=r"^data\.transforms\.1\.target: .*absent\.json"):
        open_with(good, {"name": name, "target": absent})


def test_a_damaged_target_is_named(tmp_path):
    file = tmp_path / "empty.json"
    file.write_text("{}")
    with pytest.raises(DataError, match=r"^data\.transforms\.0\.target: .*empty\.json"):
        open_with({"name": "scale_match", "target": str(file)})


def test_the_source_is_told_from_the_target(tmp_path, histogram):
    part = {"name": "scale_match", "match": "monotone", "target": histogram}
    open_with(part)
    absent = histogram + ".absent"  # its path holds the other one
    with pytest.raises(DataError, match=r"^data\.transforms\.0\.source: "):
        open_with(part | {"source": absent})
