import torch
from torch import nn

from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks import NECKS


def test_every_level_gets_a_convolution_and_a_relu_of_its_own():
    neck = NECKS.build(
        {"name": "channel_mapper", "channels": 6}, in_channels=(3, 5), in_strides=(8, 16)
    )
    levels = [torch.randn(2, 3, 6, 8), torch.randn(2, 5, 3, 4)]
    pyramid = neck(levels)
    assert (neck.channels, pyramid.strides, pyramid.sizes) == (6, (8, 16), ((6, 8), (3, 4)))
    for found, level, convolution in zip(pyramid.levels, levels, neck.convolutions, strict=True):
        torch.testing.assert_close(found, convolution(level).relu())
        assert (found == 0).any()
    assert neck.chains([(), (Kernel(1, 2),)]) == ((Kernel(3, 1),), (Kernel(1, 2), Kernel(3, 1)))


def test_first_weights_are_those_of_published_code():
    neck = NECKS.build(
        {"name": "channel_mapper", "channels": 64}, in_channels=(32,), in_strides=(16,)
    )
    bound = (6 / (9 * 32 + 9 * 64)) ** 0.5
    weight = neck.convolutions[0].weight
    assert isinstance(neck.convolutions[0], nn.Conv2d)
    assert 0.95 * bound < weight.max() <= bound
    assert (neck.convolutions[0].bias == 0).all()
