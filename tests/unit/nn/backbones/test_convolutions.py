import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.nn.backbones import BACKBONES
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.backbones.convolutions import change_convolutions
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.standardized import StandardizedConvolution
from tinyscope.nn.switchable import SwitchableConvolution

KINDS = ("standardized", "switchable", "switchable_deformable")


def small(kind, **options):
    return ResNet(50, width=4, convolution=kind, zero_init_residual=False, **options)


def of(network, kind):
    return {name for name, module in network.named_modules() if type(module) is kind}


@pytest.mark.parametrize("kind", KINDS)
def test_every_convolution_is_of_the_kind_that_was_asked_for(kind):
    net, plain = small(kind), small("plain")
    switchable = of(net, SwitchableConvolution)
    blocks = {f"layer{i + 2}.{j}.conv2" for i, count in enumerate((4, 6, 3)) for j in range(count)}
    assert switchable == (set() if kind == "standardized" else blocks)
    assert of(net, StandardizedConvolution) == of(plain, nn.Conv2d) - switchable
    deformable = [net.get_submodule(name).deformable for name in switchable]
    assert all(flag == kind.endswith("deformable") for flag in deformable)


@pytest.mark.parametrize(
    ("block", "kind"), [("basic", "standardized"), *(("bottleneck", kind) for kind in KINDS)]
)
def test_bottom_heavy_networks_have_them_too(kind, block):
    net = BottomHeavyResNet((2, 1), block=block, width=4, convolution=kind).eval()
    assert [x.shape[-2:] for x in net(torch.rand(1, 3, 40, 24))] == [(10, 6), (5, 3)]
    assert net.layer1[0].conv1.stride == ((2, 2) if block == "basic" else (1, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_plain_weights_make_it_begin_as_the_plain_network(kind, tmp_path):
    plain = small("plain").eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    net = small(kind, weights=tmp_path / "plain.safetensors").eval()
    images = torch.rand(1, 3, 96, 64)
    for ours, level in zip(net(images), plain(images), strict=True):
        torch.testing.assert_close(ours, level, rtol=1e-3, atol=1e-4)


def test_weights_of_its_own_kind_come_back(tmp_path):
    trained = small("switchable_deformable")
    for tensor in trained.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 1)
    state = {f"backbone.{name}": value for name, value in trained.state_dict().items()}
    save_file(state, tmp_path / "own.safetensors")
    net = small("switchable_deformable", weights=tmp_path / "own.safetensors")
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[f"backbone.{name}"]), name
    with pytest.raises(CheckpointError, match="tensors too many"):
        small("plain", weights=tmp_path / "own.safetensors")
    del state["backbone.layer3.0.conv2.switch.bias"]
    save_file(state, tmp_path / "poorer.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks 1 of .* layer3.0.conv2.switch.bias"):
        small("switchable_deformable", weights=tmp_path / "poorer.safetensors")


def test_the_images_come_out_in_front_where_stride_1_is_asked_for():
    net = small("switchable", strides=(1, 4, 8)).eval()
    images = torch.rand(1, 3, 40, 24)
    found = net(images)
    assert found[0] is images
    assert net.strides == (1, 4, 8)
    assert net.channels == (3, 16, 32)
    assert net.convolutions[0] == ()
    rest = small("switchable", strides=(4, 8)).eval()
    rest.load_state_dict(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(found[1:], rest(images), strict=True))
    (alone,) = small("plain", strides=(1,))(images)
    assert alone is images


@pytest.mark.parametrize("depth", [18, 50])
def test_feedback_joins_the_sum_of_the_first_block_of_its_stage(depth):
    net = ResNet(depth, width=4, zero_init_residual=False).eval()
    images = torch.rand(1, 3, 64, 64)
    plain = net(images)
    added, much = torch.rand_like(plain[1]), torch.full_like(plain[1], 100)
    ends = []
    net.layer2[0].register_forward_hook(lambda *io: ends.append(io[2].clone()))
    fed = net(images, {8: much + added})
    net(images, {8: much})
    torch.testing.assert_close(ends[0] - ends[1], added, atol=1e-4, rtol=0)
    net(images, {8: -much})
    assert not ends[2].any()  # the ReLU comes after it
    assert torch.equal(fed[0], plain[0])
    assert not torch.equal(fed[3], plain[3])


def test_without_feedback_stages_are_called_as_ever():
    net, called = small("plain").eval(), []
    net.layer2.register_forward_hook(lambda *_: called.append("layer2"))
    net(torch.rand(1, 3, 64, 64))
    assert called == ["layer2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 18, "convolution": "switchable"}, "these are basic blocks; choose depth 50"),
        ({"convolution": "standardized", "antialias": "haar"}, "leave antialias out"),
        ({"convolution": "switch"}, "did you mean switchable"),
    ],
)
def test_kinds_that_do_not_go_with_a_network_are_named(options, words):
    with pytest.raises(SettingsError, match=words):
        BACKBONES.build({"name": "resnet", **options})


def test_a_small_image_goes_through_a_deep_network():
    levels = small("switchable_deformable").eval()(torch.rand(1, 3, 20, 33))
    assert levels[-1].shape[-2:] == (1, 2)


def test_frozen_stages_stay_frozen():
    net = small("switchable_deformable", frozen_stages=1).train()
    names = {n for n, p in net.named_parameters() if not p.requires_grad}
    assert names
    assert all(n.startswith(("conv1.", "bn1.", "layer1.")) for n in names)


@pytest.mark.parametrize("option", ["groups", "dilation"])
def test_what_the_other_kinds_do_not_have_is_not_dropped(option):
    net = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False, **{option: 2}))
    with pytest.raises(AssertionError, match="groups or dilation lost"):
        change_convolutions(net, [], "standardized")
