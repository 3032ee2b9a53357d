import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tinyscope.errors import CheckpointError
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.weights import load_weights, read_weights


def small(depth=18, **options):
    return ResNet(depth, width=4, **options)


def randomized(net):
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 1)
    return net


@pytest.fixture
def state():
    net = randomized(small())
    return {**net.state_dict(), "fc.weight": torch.rand(10, 32), "fc.bias": torch.rand(10)}


@pytest.mark.parametrize(
    "prefix", ["", "backbone.", "backbone.body.", "module.backbone.", "module."]
)
@pytest.mark.parametrize("form", ["safetensors", "pth", "state_dict", "model"])
def test_weights_come_back_whatever_stands_around_them(state, prefix, form, tmp_path):
    content = {prefix + name: value for name, value in state.items()}
    path = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pth'}"
    if form == "safetensors":
        save_file(content | {"neck.weight": torch.rand(3)} if prefix else content, path)
    else:
        torch.save(content if form == "pth" else {form: content, "meta": {"epoch": 12}}, path)
    net = small(weights=path)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_the_backbone_of_a_run_of_our_own_can_be_taken(state, tmp_path):
    of_run = {f"model/backbone.{name}": value for name, value in state.items()}
    of_run |= {
        "model/head.weight": torch.rand(3),
        "optimizer/backbone.conv1.weight/exp_avg": torch.rand(3),
    }
    save_file(of_run, tmp_path / "best.ckpt")
    net = small(weights=tmp_path / "best.ckpt")
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_the_report_says_what_was_not_used(state, tmp_path):
    save_file({f"backbone.{k}": v for k, v in state.items()}, tmp_path / "w.safetensors")
    report = load_weights(small(), tmp_path / "w.safetensors")
    assert report.prefix == "backbone."
    assert report.unused == ("fc.bias", "fc.weight")
    assert not report.missing
    assert "prefix 'backbone.' removed; not used: fc.bias, fc.weight" in str(report)


def test_stages_that_are_not_built_may_be_in_the_file(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    net = small(strides=(4, 8), weights=tmp_path / "w.safetensors")
    assert torch.equal(net.layer2[1].conv2.weight, state["layer2.1.conv2.weight"])


def test_counters_may_be_missing_but_nothing_else(state, tmp_path):
    older = {name: value for name, value in state.items() if "num_batches" not in name}
    save_file(older, tmp_path / "older.safetensors")
    small(weights=tmp_path / "older.safetensors")
    del older["layer1.0.bn1.running_mean"]
    save_file(older, tmp_path / "poorer.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks 1 of 100 tensors: layer1.0.bn1.running_mean"):
        small(weights=tmp_path / "poorer.safetensors")
    report = load_weights(small(), tmp_path / "poorer.safetensors", least=0.9)
    assert report.missing == ("layer1.0.bn1.running_mean",)


def test_weights_of_another_model_name_the_first_difference(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(
        CheckpointError, match=r"conv1.weight is \(4, 3, 7, 7\) there and \(4, 3, 3"
    ):
        BottomHeavyResNet((2, 2, 2, 2), block="basic", width=4, weights=tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks \d+ of \d+ tensors: layer1.2.conv1.weight"):
        small(34, weights=tmp_path / "w.safetensors")
    save_file(small(34).state_dict(), tmp_path / "deeper.safetensors")
    with pytest.raises(CheckpointError, match=r"80 tensors too many: layer1.2.bn1.bias"):
        small(weights=tmp_path / "deeper.safetensors")


def test_a_failed_loading_leaves_the_net_alone(state, tmp_path):
    save_file(state | {"conv1.weight": torch.rand(4, 3, 5, 5)}, tmp_path / "w.safetensors")
    net = randomized(small())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(CheckpointError, match="of another model"):
        load_weights(net, tmp_path / "w.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_nothing_in_common_is_said(tmp_path):
    save_file({"a.weight": torch.rand(3)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"nothing in .* matches; it holds a.weight, wanted"):
        small(weights=tmp_path / "w.safetensors")


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("code of a file was executed",)


def test_code_in_a_file_is_not_executed(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.rand(3)}, "x": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        read_weights(tmp_path / "w.pth")
    for protocol in (2, 4):  # torch writes 2, and warns of others
        (tmp_path / "old.pth").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
        with pytest.raises(CheckpointError, match="holds more than tensors"):
            read_weights(tmp_path / "old.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        b"PK\x03\x04 half a file",
        b"hello, this is no file of weights\n",
        b"error: not found",
        b"<!DOCTYPE html><html>",
        b'{"message": "Not Found"}',
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"epoch,loss\n1,2.5\n",
        b"name: small\nwidth: 4\n",
        b"import torch\n",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"\x1f\x8b\x08\x00\x00",
        b"\x80\x04\x95",
        b"X\xff\xff",
        b"J12",
        b"G\x00",
        b"V\\ud800\n.",
        b"X\x02\x00\x00\x00\xff\xfe.",
        b"\x00" * 64,
        *(bytes([value]) * 12 for value in range(1, 256, 2)),
    ],
)
def test_files_of_another_kind_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} (is damaged or|holds no named tensors)"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.ckpt"])
def test_an_empty_file_is_named(name, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=rf"{name} is empty \(0 bytes\); fetch"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_of_plain_values_is_refused_without_a_warning(protocol, tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": [1, 2]}, protocol=protocol))
    with pytest.raises(CheckpointError, match=r"w\.pth (is damaged|holds)"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {}}, torch.rand(3)])
def test_files_without_weights_are_named(content, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no named tensors"):
        read_weights(tmp_path / "w.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file at .*absent.pth"):
        read_weights(tmp_path / "absent.pth")
