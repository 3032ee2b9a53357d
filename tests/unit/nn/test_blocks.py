import pytest
import torch
from torch import nn

from tinyscope.errors import SettingsError
from tinyscope.nn.blocks import convolve, normalization


def test_a_fixed_norm_in_the_weights_changes_neither_values_nor_gradients():
    convolution = nn.Conv2d(3, 6, 3, 2, 1, bias=False).double()
    norm = nn.BatchNorm2d(6).double()
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.2, 2)
    norm.eval()
    x = torch.rand(2, 3, 9, 7, dtype=torch.float64, requires_grad=True)
    inputs = (x, convolution.weight, norm.weight, norm.bias)
    plain, folded = norm(convolution(x)), convolve(convolution, norm, x)
    torch.testing.assert_close(folded, plain)
    for ours, theirs in zip(
        torch.autograd.grad(folded.square().sum(), inputs),
        torch.autograd.grad(plain.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_norm_in_training_still_learns_its_statistics():
    convolution, norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
    x = torch.rand(2, 3, 5, 5) + 3
    found = convolve(convolution, norm, x)
    torch.testing.assert_close(found.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    assert norm.num_batches_tracked == 1


def test_groups_that_do_not_fit_are_named():
    with pytest.raises(SettingsError, match="groups 32 does not divide the 48 channels"):
        normalization("group", 48, 32)
