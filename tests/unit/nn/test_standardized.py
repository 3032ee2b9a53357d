import pytest
import torch
from torch import nn

from tinyscope.nn.blocks import convolve
from tinyscope.nn.standardized import StandardizedConvolution


def randomized(convolution):
    for tensor in convolution.state_dict().values():
        nn.init.uniform_(tensor, 0.2, 2)
    return convolution


def test_a_fresh_filter_has_mean_0_and_deviation_1():
    weight = StandardizedConvolution(5, 7, 3).standardized
    torch.testing.assert_close(weight.mean(dim=(1, 2, 3)), torch.zeros(7), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.std(dim=(1, 2, 3)), torch.ones(7), atol=1e-2, rtol=0)


def test_with_the_weights_of_a_plain_convolution_it_begins_as_that():
    plain = nn.Conv2d(5, 7, 3, 2, 1, bias=False)
    nn.init.normal_(plain.weight, 0.1, 0.3)
    ours = StandardizedConvolution(5, 7, 3, 2, 1)
    missing = ours.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert set(missing) == {"weight_gamma", "weight_beta"}
    x = torch.rand(2, 5, 9, 8)
    torch.testing.assert_close(ours(x), plain(x))


def test_constants_of_a_file_are_kept():
    trained, ours = randomized(StandardizedConvolution(5, 7, 3)), StandardizedConvolution(5, 7, 3)
    ours.load_state_dict(trained.state_dict())
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in ours.state_dict().items())


def test_scaled_weights_are_the_same_filter():
    ours = StandardizedConvolution(5, 7, 3)
    before = ours.standardized.detach()
    with torch.no_grad():
        ours.weight.mul_(8).add_(3)
    torch.testing.assert_close(ours.standardized, before, atol=1e-2, rtol=1e-3)


def test_a_fixed_norm_in_the_weights_changes_neither_values_nor_gradients():
    convolution = randomized(StandardizedConvolution(3, 6, 3, 2, 1)).double()
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


@pytest.mark.parametrize("size", [1, 3])
def test_sizes_are_those_of_every_convolution(size):
    plain = nn.Conv2d(4, 2, size, 2, size // 2)
    ours = StandardizedConvolution(4, 2, size, 2, size // 2)
    x = torch.rand(1, 4, 7, 6)
    assert ours(x).shape == plain(x).shape
