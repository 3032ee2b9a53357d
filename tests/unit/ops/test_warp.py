import pytest
import torch

from tinyscope.ops.warp import warp


def ramp(height, width):
    """Two channels that hold the x and the y of each cell."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y])[None].float()


def constant_flow(x, y, height, width):
    return torch.tensor([x, y]).float().view(1, 2, 1, 1).expand(1, 2, height, width)


def test_zero_flow_moves_nothing_when_exact():
    features = torch.rand(2, 3, 5, 7)
    moved = warp(features, torch.zeros(2, 2, 40, 56), exact=True)
    torch.testing.assert_close(moved, features, rtol=0, atol=1e-5)


def test_zero_flow_shrinks_a_map_to_its_corner_as_published():
    moved = warp(ramp(4, 5), torch.zeros(1, 2, 4, 5))
    torch.testing.assert_close(moved, ramp(4, 5) * torch.tensor([4 / 5, 3 / 4]).view(1, 2, 1, 1))


@pytest.mark.parametrize("factor", [1, 4, 0.5])
def test_flow_is_in_pixels_of_its_own_size(factor):
    height, width = int(6 * factor), int(8 * factor)
    moved = warp(ramp(6, 8), constant_flow(2 * factor, 1 * factor, height, width), exact=True)
    inside = moved[..., :5, :6]
    wanted = ramp(6, 8)[..., :5, :6] + torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(inside, wanted)
    assert (moved[..., 5:, :] == 0).all()  # nothing is known from beyond the map
    assert (moved[..., 6:] == 0).all()


def test_beyond_the_map_its_border_goes_on_as_published():
    moved = warp(ramp(4, 5), constant_flow(100.0, -100.0, 4, 5))
    torch.testing.assert_close(moved[0, 0], torch.full((4, 5), 4.0))
    torch.testing.assert_close(moved[0, 1], torch.zeros(4, 5))


@pytest.mark.parametrize("sides", [(3, 3, 80, 96), (1, 1, 49, 49), (5, 1, 37, 7), (2, 3, 3, 4)])
@pytest.mark.parametrize("exact", [False, True])
def test_a_map_keeps_its_size_whatever_that_of_the_flow(sides, exact):
    height, width, *of_flow = sides
    features = torch.rand(1, 2, height, width)
    moved = warp(features, torch.zeros(1, 2, *of_flow), exact=exact)
    assert moved.shape == features.shape
    assert moved.isfinite().all()


def test_coarse_flow_gives_the_maps_of_fine_flow_where_sizes_differ():
    coarse = torch.randn(1, 2, 6, 8)
    fine = torch.nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear") * 8
    for height, width in [(3, 4), (12, 16), (24, 32)]:  # strides 16, 4, 2
        features = torch.rand(1, 3, height, width)
        torch.testing.assert_close(warp(features, coarse), warp(features, fine))


def test_half_precision_is_gathered_in_float32():
    features = torch.rand(1, 2, 4, 4000)
    flow = torch.full((1, 2, 4, 4000), 0.25)
    moved = warp(features.bfloat16(), flow.bfloat16())
    assert moved.dtype == torch.bfloat16
    wanted = warp(features.bfloat16().float(), flow)
    torch.testing.assert_close(moved.float(), wanted, rtol=0, atol=4e-3)


@pytest.mark.parametrize("exact", [False, True])
def test_gradients_reach_features_and_flow(exact):
    features = torch.rand(1, 2, 4, 5, requires_grad=True)
    flow = torch.full((1, 2, 32, 40), 0.3, requires_grad=True)
    warp(features, flow, exact=exact).square().sum().backward()
    assert features.grad.abs().sum() > 0
    assert flow.grad.abs().sum() > 0
