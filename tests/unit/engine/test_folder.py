import dataclasses

import numpy as np
import pytest
import torch

from tinyscope.engine.checkpoint import Checkpoint, save_checkpoint
from tinyscope.engine.folder import check_same_run, last_checkpoint, prepare_run
from tinyscope.engine.sources import fingerprint
from tinyscope.engine.state import Identity
from tinyscope.errors import CheckpointError, SettingsError, TrainingError
from tinyscope.formats.tables import Annotations

RECIPE = {"train": {"steps": 5, "milestones": [0.5]}, "data": {"workers": 2, "train": None}}


def checkpoint() -> Checkpoint:
    return Checkpoint({"w": torch.zeros(1)}, RECIPE, ("car",), 3, progress={"data": "abc"})


def test_a_new_folder_is_made_and_a_used_one_refused(tmp_path):
    folder = tmp_path / "a" / "b"
    prepare_run(folder, resume=False)
    assert not any(folder.iterdir())
    (folder / "recipe.yaml").write_text("x")
    with pytest.raises(TrainingError, match=r"is not empty; add --resume .* another --out"):
        prepare_run(folder, resume=False)


def test_resuming_takes_the_last_checkpoint_or_starts_anew(tmp_path):
    assert last_checkpoint(tmp_path) is None
    save_checkpoint(checkpoint(), tmp_path / "last.ckpt")
    (tmp_path / "last.ckpt.part").write_bytes(b"half")
    prepare_run(tmp_path, resume=True)
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 3
    (tmp_path / "last.ckpt").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="damaged"):
        last_checkpoint(tmp_path)


def test_a_folder_that_takes_no_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"cannot be written to .*another --out"):
        prepare_run(tmp_path / "file" / "run", resume=False)


def test_the_same_settings_and_data_may_go_on():
    moved = {"train": RECIPE["train"], "data": {"workers": 9, "train": {"path": "/elsewhere"}}}
    check_same_run(checkpoint(), Identity(moved, ("car",), "abc"))


def test_other_splits_are_other_settings():
    # Their names begin as those of the places of the data do.
    data = RECIPE["data"] | {"val_split": "test"}
    with pytest.raises(SettingsError, match=r"data\.val_split: None then, .test. now"):
        check_same_run(checkpoint(), Identity({**RECIPE, "data": data}, ("car",), "abc"))


def test_other_settings_classes_or_data_may_not():
    other = {**RECIPE, "train": {"steps": 6, "milestones": [0.5], "ema": 0.9}}
    with pytest.raises(
        SettingsError, match=r"train\.steps: 5 then, 6 now; train\.ema: None then, 0\.9 now"
    ):
        check_same_run(checkpoint(), Identity(other, ("car",), "abc"))
    with pytest.raises(SettingsError, match=r"has the classes \['car'\], the data have \['boat'\]"):
        check_same_run(checkpoint(), Identity(RECIPE, ("boat",), "abc"))
    with pytest.raises(SettingsError, match="annotations or labels differ"):
        check_same_run(checkpoint(), Identity(RECIPE, ("car",), "abd"))


def test_a_fingerprint_is_of_the_content_not_of_the_place(tmp_path):
    one = Annotations(
        root=tmp_path,
        names=("car",),
        category_ids=(1,),
        image_ids=np.array([1]),
        files=np.array(["a.png"]),
        sizes=np.array([[8, 8]], np.int32),
        offsets=np.array([0, 1]),
        boxes=np.array([[1.0, 1, 4, 4]]),
        labels=np.array([0]),
        areas=np.array([9.0]),
        ignore=np.array([False]),
        crowd=np.array([False]),
        annotation_ids=np.array([1]),
    )
    elsewhere = dataclasses.replace(one, root=tmp_path / "x")
    assert fingerprint(elsewhere) == fingerprint(one)
    assert fingerprint(dataclasses.replace(one, boxes=one.boxes + 1)) != fingerprint(one)
