"""Training of some parts alone."""

import pytest
import torch
from torch import nn

import tinyscope
from tinyscope.data.synthetic import write_synthetic
from tinyscope.engine.checkpoint import load_checkpoint
from tinyscope.engine.only import fix_other_norms, learn_only
from tinyscope.errors import SettingsError


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        self.layer10 = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, affine=False))


def learning(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_a_name_means_a_whole_part_and_not_others_that_begin_alike():
    model = Model()
    assert learn_only(model, ["layer1"]) == 8
    assert learning(model) == {f"layer1.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")}


def test_several_parts_learn_down_to_single_parameters():
    model = Model()
    learn_only(model, ["layer1.0.weight", "layer10"])
    assert learning(model) == {"layer1.0.weight", "layer10.0.weight", "layer10.0.bias"}


def test_what_is_frozen_already_stays_frozen():
    model = Model()
    model.layer1[0].weight.requires_grad_(False)
    learn_only(model, ["layer1.0"])
    assert learning(model) == {"layer1.0.bias"}


def test_a_part_that_is_frozen_by_the_model_is_refused():
    model = Model()
    model.layer1.requires_grad_(False)
    with pytest.raises(SettingsError, match=r"^train\.only: 'layer1' is frozen by the model"):
        learn_only(model, ["layer1", "layer10"])


def test_norms_of_other_parts_keep_their_statistics():
    model = Model().train()
    fix_other_norms(model, ["layer10"])
    assert not model.layer1[1].training
    assert model.layer10[1].training
    assert model.layer1[0].training
    fix_other_norms(model.train(), ["layer1.1.weight"])
    assert model.layer1[1].training
    assert not model.layer10[1].training


@pytest.mark.parametrize("part", ["layer2", "layer", "layer1.0.weigth", ""])
def test_a_part_that_is_not_there_is_named(part):
    with pytest.raises(SettingsError, match=rf"^train\.only: .* no part '{part}'.*layer1, layer10"):
        learn_only(Model(), ["layer1", part])


def test_the_nearest_name_is_proposed():
    with pytest.raises(SettingsError, match=r"did you mean layer1\.0\.weight\?"):
        learn_only(Model(), ["layer1.0.weigth"])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_synthetic(folder, {"train": 2, "val": 1}, size=(64, 64))
    return folder


TINY = ["model.backbone={name: bottom_heavy, block: basic, blocks: [1], width: 8, strides: [4]}"]
TINY += ["model.neck={name: fpn, channels: 8, norm: batch}", "data.windows.size=64"]
TINY += ["data.batch=2", "data.workers=0", "train.warmup_steps=0", "train.precision=32"]
TINY += ["train.ema=null", "train.steps=2", "train.evaluate_every=1"]


def test_a_run_changes_the_parts_that_learn_and_nothing_else(data, tmp_path, capsys):
    first = tinyscope.train("quick/small", data, tmp_path / "a", overrides=TINY)
    more = [*TINY, f"train.start={first.folder / 'last.ckpt'}", "train.only=[head.classification]"]
    second = tinyscope.train("quick/small", data, tmp_path / "b", overrides=more)
    shown = capsys.readouterr().out
    assert "only head.classification learn: " in shown
    before, after = (load_checkpoint(run.folder / "last.ckpt").model for run in (first, second))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"head.classification.weight", "head.classification.bias"}


def test_a_run_without_the_part_is_refused_and_leaves_its_folder_free(data, tmp_path):
    overrides = [*TINY, "train.only=[head.clasification]"]
    with pytest.raises(SettingsError, match=r"did you mean head\.classification"):
        tinyscope.train("quick/small", data, tmp_path / "c", overrides=overrides)
    assert not list((tmp_path / "c").iterdir())
    with pytest.raises(SettingsError, match=r"^train\.only"):
        tinyscope.train("quick/small", data, tmp_path / "d", overrides=[*TINY, "train.only=[]"])
