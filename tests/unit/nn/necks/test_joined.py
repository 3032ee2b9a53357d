import pytest
import torch

from tinyscope.nn.necks.joined import JoinedConvolution


def both(sizes, dtype=torch.float64, channels=4):
    """Values and gradients of maps, weight and bias: directly, and as it chooses."""
    convolution = JoinedConvolution(channels, len(sizes)).to(dtype)
    torch.nn.init.normal_(convolution.bias)
    maps = [torch.randn(2, channels, *size, dtype=dtype) for size in sizes]
    cotangent = torch.randn(2, channels, *sizes[0], dtype=dtype)
    results = []
    for direct in (True, False):
        convolution.direct = direct
        convolution.zero_grad()
        inputs = [x.clone().requires_grad_() for x in maps]
        out = convolution(inputs)
        (out * cotangent).sum().backward()
        results.append([out, *(x.grad for x in inputs)])
        results[-1] += [p.grad.clone() for p in convolution.parameters()]
    return results


@pytest.mark.parametrize(
    "sizes",
    [
        ((16, 24), (8, 12), (4, 6), (2, 3)),  # every map by a whole number
        ((25, 33), (13, 17), (7, 9), (4, 5)),  # none
        ((26, 32), (13, 16), (7, 8), (4, 4)),  # some, or along one axis
        ((2, 8), (1, 4), (1, 2), (1, 1)),  # by another number along each axis
        ((1, 1), (1, 1), (1, 1), (1, 1)),
        ((6, 9), (2, 3)),  # by an odd number
    ],
)
def test_it_is_the_convolution_of_the_joined_maps(sizes):
    for direct, chosen in zip(*both(sizes), strict=True):
        torch.testing.assert_close(chosen, direct, rtol=1e-12, atol=1e-12)


def test_in_single_precision_it_differs_by_rounding_alone():
    for direct, chosen in zip(*both(((16, 24), (8, 12), (4, 6)), torch.float32, 16), strict=True):
        assert (chosen - direct).abs().max() <= 1e-5 * direct.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype):
    for direct, chosen in zip(*both(((16, 24), (8, 12), (4, 6)), dtype), strict=True):
        assert chosen.dtype == dtype
        assert (chosen - direct).abs().max() <= 0.03 * direct.abs().max()


def test_no_map_of_all_channels_is_made():
    shapes = []

    class Saved(torch.autograd.graph.saved_tensors_hooks):
        def __init__(self):
            super().__init__(lambda x: shapes.append(x.shape) or x, lambda x: x)

    convolution = JoinedConvolution(4, 3)
    with Saved():
        convolution([torch.randn(1, 4, s, s, requires_grad=True) for s in (16, 8, 4)])
    maps = [shape for shape in shapes if shape[0] == 1]
    assert maps
    assert all(shape[1] == 4 for shape in maps)
    assert sum(shape[2] == 16 for shape in maps) == 1


def test_maps_are_left_alone():
    maps = [torch.randn(1, 4, s, s) for s in (8, 4)]
    copies = [x.clone() for x in maps]
    JoinedConvolution(4, 2)(maps)
    assert all(torch.equal(a, b) for a, b in zip(maps, copies, strict=True))
