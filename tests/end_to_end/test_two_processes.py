"""Two processes with half the batch each learn what one learns with the whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_run import run, write_data

from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.logs import read_rows

pytestmark = pytest.mark.slow

# Group norm, since batch norm sees half a batch; every prior, since a sampler draws per process.
CHANGES = {"norm": "group", "precision": "32", "steps": 8, "evaluate_every": 4}


@pytest.mark.parametrize("head", ["retina", "fcos"])  # the latter weights its box loss
def test_two_processes_equal_one(tmp_path, head):
    changes = {**CHANGES, "head": head}
    data = str(write_data(tmp_path / "data"))
    run(data, str(tmp_path / "one"), **changes)
    script = Path(__file__).parent / "small_run.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(script), data, str(tmp_path / "two"), json.dumps(changes)]
    done = subprocess.run([*launch, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 process(es)" in done.stdout

    one, two = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("one", "two"))
    assert one.step == two.step == 8
    torch.testing.assert_close(two.model, one.model, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(two.average, one.average, rtol=1e-4, atol=1e-6)
    assert two.progress["dropped"] == one.progress["dropped"]
    for file in ("metrics.csv", "scores.csv"):
        rows = [read_rows(tmp_path / name / file) for name in ("one", "two")]
        for mine, theirs in zip(*rows, strict=True):
            assert list(mine) == list(theirs)
            for column, value in mine.items():
                assert float(theirs[column]) == pytest.approx(float(value), rel=1e-3, abs=1e-5)
