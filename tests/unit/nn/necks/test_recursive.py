from math import prod

import pytest
import torch
from torch import nn

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.hrnet import HRNet
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.necks.fpn import FPN
from tinyscope.nn.necks.recursive import RecursivePyramid
from tinyscope.nn.necks.sspnet import SSPNet

STRIDES = (4, 8, 16)


def network(strides=STRIDES, depth=18):
    return ResNet(depth, width=4, strides=strides, zero_init_residual=False)


def build(first=None, second=None, coarsest=32, channels=8, finest=None, **options):
    first = network((1, *STRIDES)) if first is None else first
    second = network(first.strides[1:]) if second is None else second
    inner = FPN(
        second.channels, second.strides, channels=channels, finest=finest, coarsest=coarsest
    )
    return first, RecursivePyramid(first.channels, first.strides, second, inner, **options)


def test_a_pyramid_has_the_levels_of_the_neck_inside():
    first, neck = build()
    pyramid = neck(first(torch.rand(2, 3, 63, 96)))
    assert pyramid.strides == neck.strides == (4, 8, 16, 32)
    assert neck.channels == 8
    assert pyramid.sizes == ((16, 24), (8, 12), (4, 6), (2, 3))
    assert all(level.shape[:2] == (2, 8) for level in pyramid.levels)


def test_a_fresh_one_with_equal_backbones_is_the_pyramid_of_one_look():
    first, neck = build()
    neck.backbone.load_state_dict(first.state_dict())
    first.eval(), neck.eval()
    levels = first(torch.rand(1, 3, 64, 64))
    for found, once in zip(neck(levels).levels, neck.neck(levels[1:]).levels, strict=True):
        torch.testing.assert_close(found, once)


@pytest.mark.parametrize("gate", [-100.0, 0.0, 100.0])
def test_the_gate_chooses_between_the_looks(gate):
    first, neck = build(zero_init_feedback=False)
    first.eval(), neck.eval()
    nn.init.constant_(neck.gate.bias, gate)
    images = torch.rand(1, 3, 64, 64)
    levels = first(images)
    before = neck.neck(levels[1:])
    fed = {
        stride: feed(neck.views(before.levels[before.strides.index(stride)]))
        for stride, feed in zip((8, 16), neck.feedback, strict=True)
    }
    after = neck.neck(neck.backbone(images, fed))
    share = torch.tensor(gate).sigmoid()
    for found, old, new in zip(neck(levels).levels, before.levels, after.levels, strict=True):
        torch.testing.assert_close(found, share * new + (1 - share) * old)


def test_the_gate_is_decided_by_the_second_look_at_every_cell():
    first, neck = build(zero_init_feedback=False)
    first.eval(), neck.eval()
    seen = []
    neck.gate.register_forward_hook(lambda *io: seen.append(io[1][0]))
    twice = []
    neck.neck.register_forward_hook(lambda *io: twice.append(io[2]))
    neck(first(torch.rand(1, 3, 64, 64)))
    assert len(twice) == 2
    assert all(a is b for a, b in zip(seen, twice[1].levels, strict=True))


def test_every_stage_but_the_finest_is_fed_where_the_pyramid_has_its_level():
    _, neck = build(zero_init_feedback=False)
    assert neck.fed == (8, 16)
    assert [feed.out_channels for feed in neck.feedback] == [8, 16]
    _, neck = build(finest=8)
    assert neck.fed == (8, 16)
    _, neck = build(coarsest=8)
    assert neck.fed == (8,)


@pytest.mark.parametrize("zero", [True, False])
def test_weights_without_use_there_are_none(zero):
    first, neck = build(zero_init_feedback=zero)
    nn.init.ones_(neck.gate.weight)
    pyramid = neck(first(torch.rand(2, 3, 64, 64)))
    sum(level.square().mean() for level in pyramid.levels).backward()
    assert all(p.grad is not None for p in [*first.parameters(), *neck.parameters()])
    assert bool(neck.feedback[0].weight.any()) is not zero


def test_views_may_have_any_width():
    _, neck = build(channels=6, view_channels=5)
    assert neck.feedback[0].in_channels == 20
    with pytest.raises(SettingsError, match="channels 6 of the neck: its four views share them"):
        build(channels=6)


def test_chains_are_those_of_the_first_look():
    first, neck = build()
    chains = neck.chains(first.convolutions)
    assert chains == neck.neck.chains(first.convolutions[1:])
    assert [prod(kernel.stride for kernel in chain) for chain in chains] == [4, 8, 16, 32]


def test_frozen_parts_of_the_second_backbone_stay_so():
    _, neck = build(second=ResNet(18, width=4, strides=STRIDES, norm_eval=True, frozen_stages=1))
    neck.train()
    assert not [m for m in neck.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    assert not neck.backbone.conv1.weight.requires_grad


def test_one_step_in_bfloat16_and_channels_last():
    first, neck = build(zero_init_feedback=False)
    images = torch.rand(2, 3, 64, 48).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        pyramid = neck(first(images))
    sum(level.float().mean() for level in pyramid.levels).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in neck.parameters())


def test_backbones_that_do_not_fit_are_named():
    with pytest.raises(SettingsError, match=r"give it strides \[1, 4, 8, 16\], not \[4, 8, 16\]"):
        build(first=network(), second=network())
    with pytest.raises(SettingsError, match=r"channels \(16, 32, 64\) are not those of the first"):
        build(second=network(depth=50))
    with pytest.raises(SettingsError, match=r"strides \(4, 8\) and .* are not those of the first"):
        build(second=network((4, 8)))
    with pytest.raises(SettingsError, match=r"a HRNet has no stages .* choose resnet"):
        build(first=network((1, 4, 8, 16, 32)), second=HRNet(4))


def test_necks_that_do_not_fit_are_named():
    with pytest.raises(SettingsError, match="so nothing would be fed back"):
        build(coarsest=4)
    first, second = network((1, 4, 8, 16, 32)), network((4, 8, 16, 32))
    inner = SSPNet(second.channels, second.strides, channels=8)
    with pytest.raises(SettingsError, match="the loss of a SSPNet would be dropped"):
        RecursivePyramid(first.channels, first.strides, second, inner)
