import errno
import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tinyscope.engine import checkpoint as module
from tinyscope.engine.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from tinyscope.errors import CheckpointError


def example(scale: float = 1.0, size: int = 4) -> Checkpoint:
    weights = {"conv.weight": torch.arange(float(size)) * scale, "count": torch.tensor(3)}
    return Checkpoint(
        weights,
        recipe={"train": {"steps": 5}, "model": {"name": "dense"}},
        names=("car", "boat"),
        step=7,
        average={"conv.weight": torch.ones(size)},
        optimizer={"conv.weight/momentum_buffer": torch.full((size,), 2.0)},
        progress={"best": "0.5"},
    )


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(example(), path)
    found, saved = load_checkpoint(path), example()
    for group in ("model", "average", "optimizer"):
        torch.testing.assert_close(getattr(found, group), getattr(saved, group), rtol=0, atol=0)
    for name in ("recipe", "names", "step", "progress", "versions"):
        assert getattr(found, name) == getattr(saved, name)
    assert found.weights is found.average
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_equal_checkpoints_have_equal_bytes(tmp_path):
    save_checkpoint(example(), tmp_path / "a")
    code = (
        "from pathlib import Path; from test_checkpoint import example, save_checkpoint;"
        f"save_checkpoint(example(), Path({str(tmp_path / 'b')!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_of_any_layout_and_shared_memory_are_saved(tmp_path):
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    weights = {
        "innermost": base.to(memory_format=torch.channels_last),
        "part": base[:, :1],
        "same": base,
        "again": base,
        "empty": torch.zeros(0, 4),
        "half": base.bfloat16(),
    }
    save_checkpoint(Checkpoint(weights, {}, ()), tmp_path / "c")
    torch.testing.assert_close(dict(load_checkpoint(tmp_path / "c").model), weights)


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match=r"evil\.ckpt: damaged, or no tinyscope checkpoint"):
        load_checkpoint(path)
    torch.save({"x": Evil()}, path)
    with pytest.raises(CheckpointError, match="damaged, or no tinyscope checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("length", [0, 5, 40, 300, -1])
def test_a_file_cut_short_is_refused_at_any_length(tmp_path, length):
    path = tmp_path / "cut.ckpt"
    save_checkpoint(example(), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_other_paths_that_are_no_checkpoint_say_what_they_are(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.ckpt: no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(CheckpointError, match="is a folder; name a checkpoint in it"):
        load_checkpoint(tmp_path)
    save_file({"w": torch.zeros(2)}, tmp_path / "resnet.safetensors")
    with pytest.raises(CheckpointError, match="without tinyscope's header"):
        load_checkpoint(tmp_path / "resnet.safetensors")
    header = json.dumps({"format": 99, "versions": {"tinyscope": "9.9"}})
    save_file({"model/w": torch.zeros(2)}, tmp_path / "new", {"tinyscope": header})
    with pytest.raises(CheckpointError, match=r"format 99 is newer than 1.*written by 9\.9"):
        load_checkpoint(tmp_path / "new")


def test_a_full_disk_gives_one_error_and_keeps_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_checkpoint(example(), path)
    before = path.read_bytes()

    def full(tensors, part, metadata):
        part.write_bytes(b"half a check")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(
        CheckpointError, match=r"cannot be written \(.*No space left on device.*untouched; free"
    ):
        save_checkpoint(example(2.0), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_limit_of_the_system_is_met_like_a_full_disk(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(example(), path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"of 1 MB cannot be written \(.*untouched"):
            save_checkpoint(example(size=100_000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_weights_of_another_model_are_refused_with_keys_and_shapes():
    source, target = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    before = target[0].weight.detach().clone()
    message = (
        r"best\.ckpt: belongs to another model; the first keys that differ: "
        r"0\.weight: \(3, 2\) in the file, \(4, 2\) in the model; "
        r"0\.bias: \(3,\) in the file, \(4,\) in the model; "
        r"1\.weight: absent in the file, \(1, 4\) in the model"
    )
    with pytest.raises(CheckpointError, match=message):
        load_weights(target, source.state_dict(), "best.ckpt")
    assert torch.equal(target[0].weight, before)


def test_loaded_weights_are_the_models_own():
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    load_weights(target, source.state_dict(), "x")
    assert torch.equal(target.weight, source.weight)
    assert target.weight.data_ptr() != source.weight.data_ptr()
