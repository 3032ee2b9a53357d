import pytest
import torch
from torch import nn
from torch.nn import functional

from tinyscope.nn.blocks import convolve
from tinyscope.nn.standardized import StandardizedConvolution
from tinyscope.nn.switchable import SwitchableConvolution


def build(stride=1, **options):
    return SwitchableConvolution(4, 6, stride, **options)


def randomized(module, spread=0.3):
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -spread, spread)
    return module


@pytest.mark.parametrize("deformable", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(9, 12), (7, 6), (3, 3), (2, 5), (1, 1)])
def test_a_fresh_one_is_a_standardized_convolution(size, stride, deformable):
    ours, plain = build(stride, deformable=deformable), StandardizedConvolution(4, 6, 3, stride, 1)
    plain.load_state_dict({k: v for k, v in ours.state_dict().items() if k in plain.state_dict()})
    x = torch.rand(2, 4, *size)
    torch.testing.assert_close(ours(x), plain(x))


def test_taps_that_do_not_move_are_those_of_the_rigid_form():
    moving = randomized(build(2, deformable=True))
    for part in (moving.offset_s, moving.offset_l):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    rigid = build(2)
    rigid.load_state_dict({k: v for k, v in moving.state_dict().items() if "offset" not in k})
    x = torch.rand(2, 4, 9, 8)
    torch.testing.assert_close(moving(x), rigid(x))


@pytest.mark.parametrize(("step", "shift"), [((1, 0), (1, 0)), ((0, 2), (0, 2))])
def test_offsets_are_rows_then_columns(step, shift):
    ours, x = build(deformable=True), torch.rand(1, 4, 9, 9)
    with torch.no_grad():
        ours.offset_s.bias.copy_(torch.tensor(step, dtype=torch.float32).repeat(9))
    rows, columns = shift
    moved = functional.pad(x, [0, columns, 0, rows])[..., rows:, columns:]
    expected = functional.conv2d(moved, ours.standardized, padding=1)
    inside = (slice(None), slice(None), slice(1, 6), slice(1, 6))
    torch.testing.assert_close(ours(x)[inside], expected[inside])


def test_the_switch_is_not_squashed():
    ours, x = build(), torch.rand(1, 4, 9, 9)
    with torch.no_grad():
        ours.switch.bias.fill_(3)
    close = functional.conv2d(x, ours.standardized, padding=1)
    far = functional.conv2d(x, ours.standardized, padding=3, dilation=3)
    torch.testing.assert_close(ours(x), 3 * close - 2 * far)


def test_what_the_far_filters_have_more_is_not_standardized():
    ours, x = build(), torch.rand(1, 4, 9, 9)
    with torch.no_grad():
        ours.switch.bias.zero_()
        before = ours(x)
        ours.weight_diff.fill_(0.5)  # of no effect if it were in the mean
    ones = torch.full_like(ours.weight, 0.5)
    added = functional.conv2d(x, ones, padding=3, dilation=3)
    torch.testing.assert_close(ours(x), before + added)


def test_the_switch_sees_the_mean_of_5x5_cells_with_the_border_reflected():
    ours = build()
    x = torch.arange(36.0).reshape(1, 1, 6, 6).expand(1, 4, 6, 6)
    with torch.no_grad():
        ours.switch.weight.fill_(0.25)
        ours.switch.bias.zero_()
    seen = []
    ours.switch.register_forward_hook(lambda *io: seen.append(io[2]))
    ours(x)
    mirrored = functional.pad(x[:, :1], [2, 2, 2, 2], "reflect")
    torch.testing.assert_close(seen[0][0, 0, 0, 0], mirrored[0, 0, :5, :5].mean())
    torch.testing.assert_close(seen[0][0, 0, 3, 2], x[0, 0, 1:6, :5].mean())


def test_the_mean_of_the_map_is_added_before_and_after():
    ours, x = build(), torch.rand(2, 4, 7, 7)
    with torch.no_grad():
        ours.pre_context.weight.copy_(torch.eye(4)[:, :, None, None])
        ours.post_context.weight.copy_(2 * torch.eye(6)[:, :, None, None])
    mean = x.mean(dim=(2, 3), keepdim=True)
    y = functional.conv2d(x + mean, ours.standardized, padding=1)
    torch.testing.assert_close(ours(x), y + 2 * y.mean(dim=(2, 3), keepdim=True))


@pytest.mark.parametrize("deformable", [False, True])
def test_everything_learns(deformable):
    ours = randomized(build(2, deformable=deformable))
    ours(torch.rand(2, 4, 9, 12)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in ours.parameters())


def test_its_input_is_left_alone():
    x = torch.rand(1, 4, 5, 5)
    copy = x.clone()
    randomized(build(deformable=True))(x)
    assert torch.equal(x, copy)


def test_in_half_precision_taps_lie_where_they_should():
    ours = build(deformable=True)
    with torch.no_grad():
        ours.offset_s.bias.fill_(0.25)  # beside cell 500, no number of bfloat16
    x = (torch.arange(600) % 2).float().expand(1, 4, 3, 600).contiguous()
    expected = ours(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(x)
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.02)


def test_a_fixed_norm_behind_it_is_a_norm():
    ours, norm = randomized(build()), nn.BatchNorm2d(6)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    norm.eval()
    x = torch.rand(2, 4, 6, 6)
    torch.testing.assert_close(convolve(ours, norm, x), norm(ours(x)))
