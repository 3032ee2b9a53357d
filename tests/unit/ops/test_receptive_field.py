"""Receptive fields by the numbers that publications print, and against gradients."""

from math import prod

import pytest
import torch
from torch import nn

from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.ops.receptive_field import receptive_field


def test_fields_of_resnet_50_are_those_published():
    with torch.device("meta"):
        chains = ResNet(50).convolutions
    # Xu et al. 2022, arXiv:2208.08738, take these for the levels of strides 4 to 32.
    assert [receptive_field(chain) for chain in chains] == [35, 91, 267, 427]
    assert [prod(stride for _, stride, _ in chain) for chain in chains] == [4, 8, 16, 32]


def test_the_image_itself_sees_one_pixel():
    assert receptive_field([]) == 1


@pytest.mark.parametrize("chain", [[(3, 2, 1), (3, 1, 2), (2, 2, 1)], [(1, 1, 1), (5, 3, 1)]])
def test_a_cell_depends_on_as_many_pixels_as_its_field(chain):
    layers = [nn.Conv1d(1, 1, size, stride, 0, dilation) for size, stride, dilation in chain]
    for layer in layers:
        nn.init.ones_(layer.weight)
    line = torch.zeros(1, 1, 64, requires_grad=True)
    cells = nn.Sequential(*layers)(line)[0, 0]
    (gradient,) = torch.autograd.grad(cells[2], line)
    seen = gradient[0, 0].nonzero()[:, 0]
    assert int(seen[-1] - seen[0]) + 1 == receptive_field(chain)
    assert int(seen[0]) == 2 * prod(stride for _, stride, _ in chain)
