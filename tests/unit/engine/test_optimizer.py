import copy

import pytest
import torch
from torch import nn

from tinyscope.engine.optimizer import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from tinyscope.errors import CheckpointError, TrainingError


def model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.GroupNorm(2, 16), nn.Conv2d(16, 2, 1)
    )


def decays(optimizer: torch.optim.Optimizer, net: nn.Module) -> dict[str, float]:
    name_of = {id(p): name for name, p in net.named_parameters()}
    return {
        name_of[id(p)]: group["weight_decay"]
        for group in optimizer.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_norms_and_biases_are_spared_from_decay_on_request(name):
    net = model()
    spared = build_optimizer(
        net, name, learning_rate=0.1, weight_decay=0.01, decay_norm_and_bias=False
    )
    found = decays(spared, net)
    assert {n for n, decay in found.items() if decay} == {"0.weight", "3.weight"}
    everything = build_optimizer(net, name, learning_rate=0.1, weight_decay=0.01)
    assert set(decays(everything, net).values()) == {0.01}


def test_biases_may_learn_faster_but_not_those_of_norms():
    net = model()
    optimizer = build_optimizer(net, "sgd", learning_rate=0.1, bias_learning_rate_factor=2.0)
    fast = [p for g in optimizer.param_groups if g["lr"] == 0.2 for p in g["params"]]
    assert {id(p) for p in fast} == {id(net[0].bias), id(net[3].bias)}
    assert set_learning_rate(optimizer, 0.5) in (0.05, 0.1)
    assert {g["lr"] for g in optimizer.param_groups} == {0.05, 0.1}


def test_frozen_and_shared_parameters_appear_as_they_should():
    net = model()
    net[0].requires_grad_(False)
    net.append(net[3])
    parameters = [
        id(p)
        for g in build_optimizer(net, "sgd", learning_rate=0.1).param_groups
        for p in g["params"]
    ]
    assert len(parameters) == len(set(parameters)) == 6
    with pytest.raises(TrainingError, match="no parameter that learns"):
        build_optimizer(net.requires_grad_(False), "sgd", learning_rate=0.1)


def take_steps(net: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        torch.manual_seed(seed)
        net(torch.randn(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_restored_state_goes_on_exactly(name, memory_format):
    net = model().to(memory_format=memory_format)
    optimizer = build_optimizer(net, name, learning_rate=0.01)
    take_steps(net, optimizer, range(3))
    tensors = {k: v.clone().contiguous() for k, v in optimizer_tensors(optimizer, net).items()}
    other = copy.deepcopy(net)
    restored = build_optimizer(other, name, learning_rate=0.01)
    load_optimizer_tensors(restored, other, tensors)
    take_steps(net, optimizer, range(3, 6))
    take_steps(other, restored, range(3, 6))
    for key, value in net.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_a_state_of_another_model_is_refused_by_name():
    net = model()
    with pytest.raises(CheckpointError, match=r"optimizer state of 9\.weight"):
        load_optimizer_tensors(
            build_optimizer(net, "sgd", learning_rate=0.1),
            net,
            {"9.weight/momentum_buffer": torch.zeros(1)},
        )
