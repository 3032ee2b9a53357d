import copy

import pytest
import torch
from torch import nn

from tinyscope.engine.muon import Muon, orthogonal
from tinyscope.engine.optimizer import build_optimizer


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (24, 24)])
def test_directions_stay_and_lengths_become_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 1e-3
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonal(matrix) @ right.T
    diagonal = found.diagonal()
    assert ((diagonal > 0.6) & (diagonal < 1.3)).all()
    torch.testing.assert_close(found, diagonal.diag(), atol=1e-4, rtol=0)
    assert values.max() / values.min() > diagonal.max() / diagonal.min()


def test_nothing_comes_of_nothing():
    assert not orthogonal(torch.zeros(3, 5)).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="came with torch 2.9")
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_matrix_steps_as_that_of_torch_does(decay):
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(16, 30))
    theirs, before = copy.deepcopy(ours), ours.detach().clone()
    group = {"params": [ours], "weight_decay": decay, "matrices": True}
    mine = Muon([group], 0.2, 0.95, dtype=torch.bfloat16)
    peer = torch.optim.Muon(
        [theirs], lr=0.2, weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(3):
        ours.grad = torch.randn(16, 30)
        theirs.grad = ours.grad.clone()
        mine.step()
        peer.step()
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
    assert (ours - before).abs().mean() > 2e-2


def test_kernels_are_matrices_whatever_their_memory_format():
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 16, 3)
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    images = torch.randn(2, 4, 8, 8)
    for layer in (plain, last):
        optimizer = build_optimizer(layer, "muon", learning_rate=0.01, weight_decay=0.0)
        for _ in range(2):
            layer(images).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(plain.weight, last.weight, atol=1e-5, rtol=0)


def test_few_outputs_biases_and_norms_step_as_adamw_does():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 15, 1))
    other = copy.deepcopy(net)
    images = torch.randn(2, 3, 8, 8)
    steps = {}
    for model, name in ((net, "muon"), (other, "adamw")):
        before = {k: v.clone() for k, v in model.named_parameters()}
        optimizer = build_optimizer(model, name, learning_rate=0.01, weight_decay=0.01)
        model(images).square().mean().backward()
        optimizer.step()
        steps[name] = {k: v - before[k] for k, v in model.named_parameters()}
    for key, step in steps["muon"].items():
        same = torch.allclose(step, steps["adamw"][key], atol=1e-7)
        assert same == (key != "0.weight"), key
    flat = steps["muon"]["0.weight"]
    assert 0.5 < flat.square().mean().sqrt() / (0.2 * 0.01) < 1.5


def test_a_frozen_or_unused_matrix_stays():
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(3, 16, 3))
    net[1].weight.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    optimizer = build_optimizer(net, "muon", learning_rate=0.01)
    optimizer.step()  # no gradient at all
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_the_state_may_be_copied_and_loaded():
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 2, 1))
    optimizer = build_optimizer(net, "muon", learning_rate=0.01)
    net(torch.randn(1, 3, 6, 6)).sum().backward()
    optimizer.step()
    other = build_optimizer(net, "muon", learning_rate=0.01)
    other.load_state_dict(copy.deepcopy(optimizer).state_dict())
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            assert torch.equal(other.state[parameter][key], value), key
