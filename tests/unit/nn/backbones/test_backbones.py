from math import ceil

import pytest
import torch
from receptive_fields import field, seen
from torch import nn

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones import BACKBONES
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.blocks import Kernel

SMALL = {"block": "basic", "blocks": (3, 2, 1), "width": 8, "stem_width": 4}
OPTIONS = [
    *({"name": "resnet", "depth": depth} for depth in (18, 34, 50, 101)),
    {"name": "resnet", "depth": 50, "strides": [2, 4, 16], "norm": "group"},
    {"name": "resnet", "depth": 50, "strides": [1, 4, 8], "convolution": "switchable_deformable"},
    {"name": "resnet", "depth": 50, "dilations": [1, 1, 1, 2]},
    {"name": "resnet", "depth": 50, "dilations": [1, 1, 2, 4], "strides": [2, 8]},
    {"name": "bottom_heavy"},
    {"name": "bottom_heavy", **SMALL},
    {"name": "bottom_heavy", **SMALL, "strides": [2, 8], "norm": "group", "groups": 4},
    {"name": "resnet", "depth": 18, "strides": [2, 4, 8], "antialias": "pasa"},
    {"name": "hrnet", "width": 4},
    {"name": "bottom_heavy_hrnet", "width": 4, "blocks": [[1, 2], [1, 1, 1], [2, 1, 1, 1]]},
    {"name": "timm", "model": "resnet18", "strides": [4, 8]},
]


def test_every_row_is_built_here():
    assert {options["name"] for options in OPTIONS} == set(BACKBONES.names())


@pytest.mark.parametrize("size", [(64, 96), (47, 61), (33, 32), (1, 1)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_levels_have_the_sizes_and_channels_that_a_backbone_says(options, size):
    with torch.device("meta"):
        backbone = BACKBONES.build(options)
        divisor = getattr(backbone, "divisor", 1)
        size = tuple(ceil(side / divisor) * divisor for side in size)
        levels = backbone.eval()(torch.zeros(2, 3, *size))
    assert len(levels) == len(backbone.strides) == len(backbone.channels)
    for level, stride, channels in zip(levels, backbone.strides, backbone.channels, strict=True):
        assert level.shape == (2, channels, ceil(size[0] / stride), ceil(size[1] / stride))


@pytest.mark.parametrize("make", [lambda: ResNet(18), BottomHeavyResNet])
def test_a_level_asked_for_alone_is_the_same(make):
    whole = make().eval()
    images = torch.rand(1, 3, 40, 56)
    levels = dict(zip(whole.strides, whole(images), strict=True))
    for strides in ((8,), (2, 16)):
        part = type(whole)(**({"depth": 18} if isinstance(whole, ResNet) else {}), strides=strides)
        part.load_state_dict(
            {k: v for k, v in whole.state_dict().items() if k in part.state_dict()}
        )
        for stride, level in zip(strides, part.eval()(images), strict=True):
            if stride in levels:
                torch.testing.assert_close(level, levels[stride], rtol=0, atol=0)


def test_stages_that_nothing_wants_are_not_built():
    names = ResNet(18, strides=(4, 8)).state_dict()
    assert not [name for name in names if name.startswith(("layer3", "layer4"))]


@pytest.mark.parametrize("net", ["resnet", "bottom_heavy"])
def test_the_stem_level_is_what_the_first_stage_or_the_pool_sees(net):
    backbone = BACKBONES.build({"name": net, "width": 8, "strides": [2, 4]}).eval()
    stem = backbone(torch.rand(1, 3, 32, 32))[0]
    assert stem.shape == (1, 8, 16, 16)
    assert (stem >= 0).all()


def test_the_chains_give_the_known_receptive_fields():
    fields = [field(chain) for chain in ResNet(50).convolutions]
    assert fields == [(35, 4), (91, 8), (267, 16), (427, 32)]  # arXiv:2208.08738
    bottom_heavy = BottomHeavyResNet((3, 1), block="basic", width=8, strides=(2, 4, 8))
    assert bottom_heavy.convolutions[0] == (Kernel(3, 1), Kernel(3, 2))
    assert [field(chain) for chain in bottom_heavy.convolutions] == [(5, 2), (49, 4), (73, 8)]


@pytest.mark.parametrize("antialias", [None, "haar", "bior3.3", "pasa"])
@pytest.mark.parametrize("level", range(3))
def test_a_pixel_reaches_no_farther_than_the_chain_says(level, antialias):
    net = BottomHeavyResNet(
        (2, 1, 1), block="basic", width=8, antialias=antialias, zero_init_residual=False
    ).eval()
    size, jump = field(net.convolutions[level])
    columns = seen(net, level, 192)
    assert columns <= size
    assert columns > size - 2 * jump


def trained(net):
    """Names of the parameters that a step moves; runs it in train mode."""
    sum(level.square().mean() for level in net(torch.rand(2, 3, 64, 64))).backward()
    return {n for n, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize("frozen", [-1, 0, 1, 2])
def test_frozen_stages_neither_learn_nor_count(frozen):
    net = ResNet(18, width=8, frozen_stages=frozen, zero_init_residual=False).train()
    before = {name: value.clone() for name, value in net.named_buffers()}
    moved = trained(net)
    stem = ("conv1.", "bn1.")
    still = (*stem, *(f"layer{n}." for n in range(1, frozen + 1))) if frozen >= 0 else ()
    assert not [name for name in moved if name.startswith(still)] or not still
    assert {name.split(".")[0] for name in moved} == {
        part.rstrip(".")
        for part in (*stem, "layer1.", "layer2.", "layer3.", "layer4.")
        if part not in still
    }
    for name, value in net.named_buffers():
        assert torch.equal(value, before[name]) == name.startswith(still or ("none",))


def test_norms_in_eval_mode_stay_so_but_learn():
    net = ResNet(18, width=8, norm_eval=True, zero_init_residual=False).train()
    before = {name: value.clone() for name, value in net.named_buffers()}
    moved = trained(net)
    assert "bn1.weight" in moved
    assert "layer4.1.bn2.bias" in moved
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())


def test_norms_without_affine_do_not_learn():
    moved = trained(ResNet(18, width=8, norm_affine=False, zero_init_residual=False).train())
    assert moved
    assert not [name for name in moved if "bn" in name or "downsample.1" in name]


def test_a_fresh_block_is_its_shortcut():
    net = BottomHeavyResNet((2,), block="basic", width=4).eval()
    x = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(net.layer1[1](x), x)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_one_step_from_scratch_in_bfloat16_and_channels_last(norm):
    net = (
        BottomHeavyResNet(**SMALL, norm=norm, groups=2)
        .train()
        .to(memory_format=torch.channels_last)
    )
    images = torch.rand(2, 3, 47, 33).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        levels = net(images)
    sum(level.float().mean() for level in levels).backward()
    gradients = [p.grad for p in net.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("strides", [(3,), (), (8, 4), (4, 64)])
def test_strides_that_a_net_lacks_are_named(strides):
    with pytest.raises(SettingsError, match=r"must be some of \(1, 2, 4, 8, 16, 32\), fine"):
        ResNet(18, strides=strides)


@pytest.mark.parametrize("blocks", [(), (3, 0, 1)])
def test_stages_without_blocks_are_named(blocks):
    with pytest.raises(SettingsError, match="must be 1 or more in every stage"):
        BottomHeavyResNet(blocks)


def test_more_stages_frozen_than_built_are_named():
    with pytest.raises(SettingsError, match="frozen_stages 3 must be from -1 to 2"):
        ResNet(18, strides=(4, 8), frozen_stages=3)


def test_group_norm_keeps_the_names():
    batch, group = ResNet(18).state_dict(), ResNet(18, norm="group").state_dict()
    assert set(group) == {name for name in batch if "running" not in name and "num_" not in name}


def test_a_norm_layer_is_never_left_out_of_eval():
    net = ResNet(50, norm_eval=True)
    assert not [m for m in net.train().modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    assert [m for m in ResNet(50).train().modules() if isinstance(m, nn.BatchNorm2d) and m.training]


def test_a_stride_in_the_first_convolution_keeps_names_and_shapes():
    options = {"width": 8, "zero_init_residual": False}
    usual = ResNet(50, **options).eval()
    caffe = ResNet(50, **options, stride_first=True).eval()
    caffe.load_state_dict(usual.state_dict())
    images = torch.rand(1, 3, 64, 64)
    pairs = list(zip(usual(images), caffe(images), strict=True))
    assert [x.shape for x, _ in pairs] == [y.shape for _, y in pairs]
    assert torch.equal(*pairs[0])  # the first stage has no stride
    assert not any(torch.equal(x, y) for x, y in pairs[1:])


def test_behind_a_stride_the_kernels_reach_farther():
    usual, caffe = (ResNet(50, width=8, stride_first=first).convolutions for first in (False, True))
    assert [field(chain) for chain in usual] == [(35, 4), (91, 8), (267, 16), (427, 32)]
    assert [field(chain) for chain in caffe] == [(35, 4), (99, 8), (291, 16), (483, 32)]


@pytest.mark.parametrize("options", [{"depth": 18}, {"depth": 50, "antialias": "haar"}])
def test_a_stride_that_no_first_convolution_has_is_named(options):
    with pytest.raises(SettingsError, match="stride_first: only bottlenecks with strides"):
        ResNet(**options, stride_first=True)
