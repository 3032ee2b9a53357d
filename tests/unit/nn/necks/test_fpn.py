import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.resnet import ResNet
from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks import NECKS
from tinyscope.ops.receptive_field import receptive_field

CHANNELS, STRIDES = (5, 6, 7, 8), (4, 8, 16, 32)
SIZES = ((19, 23), (10, 12), (5, 6), (3, 3))


def levels(first=0):
    return [torch.rand(2, c, *s) for c, s in zip(CHANNELS[first:], SIZES[first:], strict=True)]


def build(in_channels=CHANNELS, in_strides=STRIDES, **options):
    return NECKS.build(
        {"name": "fpn", "channels": 8, **options}, in_channels=in_channels, in_strides=in_strides
    )


@pytest.mark.parametrize("norm", [None, "batch", "group"])
@pytest.mark.parametrize("extra", ["subsample", "conv_input", "conv_output"])
@pytest.mark.parametrize(
    ("finest", "coarsest", "strides"),
    [
        (None, None, (4, 8, 16, 32)),
        (None, 64, (4, 8, 16, 32, 64)),
        (8, 128, (8, 16, 32, 64, 128)),
        (8, None, (8, 16, 32)),
        (None, 8, (4, 8)),
        (32, 32, (32,)),
    ],
)
def test_a_pyramid_has_the_levels_that_were_asked_for(finest, coarsest, strides, extra, norm):
    neck = build(finest=finest, coarsest=coarsest, extra=extra, norm=norm, groups=4)
    pyramid = neck(levels())
    assert pyramid.strides == neck.strides == strides
    assert neck.channels == 8
    sizes = dict(zip((4, 8, 16, 32, 64, 128), (*SIZES, (2, 2), (1, 1)), strict=True))
    assert pyramid.sizes == tuple(sizes[s] for s in strides)
    assert all(level.shape[:2] == (2, 8) for level in pyramid.levels)
    sum(level.square().mean() for level in pyramid.levels).backward()
    assert all(p.grad is not None for p in neck.parameters())  # no weight without use


@pytest.mark.parametrize(
    ("extra", "coarsest", "theirs"),
    [
        ("subsample", 64, LastLevelMaxPool()),
        ("conv_input", 128, LastLevelP6P7(8, 9)),
        ("conv_output", 128, LastLevelP6P7(8, 8)),
    ],
)
def test_it_equals_torchvision(extra, coarsest, theirs):
    channels = 9 if extra == "conv_input" else 8  # P6P7 chooses its input by equal channels
    neck = build(extra=extra, coarsest=coarsest, channels=channels)
    other = FeaturePyramidNetwork([*CHANNELS], channels, extra_blocks=theirs)
    names = {"inner_blocks": "lateral", "layer_blocks": "smooth"}
    state = neck.state_dict()
    for name in other.state_dict():
        part, *rest = name.split(".")
        ours = (
            f"added.{int(rest[0][1]) - 6}.0.{rest[1]}"
            if part == "extra_blocks"
            else (".".join([names[part], *rest]))
        )
        other.state_dict()[name].copy_(state.pop(ours))
    assert not state
    inputs = levels()
    expected = other(dict(zip("0123", inputs, strict=True)))
    for found, level in zip(neck(inputs).levels, expected.values(), strict=True):
        torch.testing.assert_close(found, level)


def test_without_the_relu_negative_values_reach_the_last_level():
    neck = build(extra="conv_output", coarsest=128, extra_relu=False)
    with_relu = build(extra="conv_output", coarsest=128)
    with_relu.load_state_dict(neck.state_dict())
    inputs = levels()
    without, clipped = neck(inputs).levels, with_relu(inputs).levels
    torch.testing.assert_close(without[4], clipped[4])
    assert not torch.equal(without[5], clipped[5])


def test_coarse_levels_that_do_not_come_out_still_take_part():
    neck = build(coarsest=8)
    inputs = levels()
    before = neck(inputs).levels[0]
    inputs[3] = inputs[3] + 1
    assert not torch.equal(neck(inputs).levels[0], before)


def test_inputs_are_left_alone():
    inputs = levels()
    copies = [x.clone() for x in inputs]
    build(coarsest=64)(inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))


def test_it_starts_as_xavier_without_bias():
    neck = build(in_channels=(256,), in_strides=(4,))
    bound = (6 / (256 + 8)) ** 0.5
    weight = neck.lateral[0][0].weight
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not neck.lateral[0][0].bias.any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"finest": 2}, r"finest 2 is no stride of the backbone \(4, 8, 16, 32\)"),
        ({"coarsest": 48}, "coarsest 48 cannot be reached"),
        ({"finest": 8, "coarsest": 4}, "coarsest 4 cannot be reached"),
        ({"in_strides": (4, 16), "in_channels": (5, 6)}, r"strides that double, got \(4, 16\)"),
    ],
)
def test_levels_that_cannot_be_are_named(options, words):
    with pytest.raises(SettingsError, match=words):
        build(**options)


def test_a_factor_multiplies_what_is_added():
    plain = build()
    scaled = build(fusion=[0.5, 2.0, 0.25])
    scaled.load_state_dict(plain.state_dict())  # factors are no weights
    inputs = levels()
    lateral = [conv(x) for conv, x in zip(plain.lateral, inputs, strict=True)]
    merged = lateral[3]
    for i, factor in ((2, 0.25), (1, 2.0), (0, 0.5)):
        enlarged = torch.nn.functional.interpolate(merged, lateral[i].shape[-2:])
        merged = lateral[i] + factor * enlarged
        torch.testing.assert_close(scaled(inputs).levels[i], plain.smooth[i](merged))


def test_factors_of_1_change_nothing():
    neck = build(coarsest=64)
    same = build(coarsest=64, fusion=[1.0, 1.0, 1.0])
    same.load_state_dict(neck.state_dict())
    inputs = levels()
    for one, other in zip(neck(inputs).levels, same(inputs).levels, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fusion": [0.5, 0.5]}, "4 levels take part, so it must have 3 factors"),
        ({"fusion": [0.5, 0.5, 0.5], "finest": 8}, "3 levels take part, so it must have 2"),
        ({"fusion": [0.5, 0.0, 0.5]}, "must be greater than 0"),
    ],
)
def test_factors_that_cannot_be_are_named(options, words):
    with pytest.raises(SettingsError, match=words):
        build(**options)


@pytest.mark.parametrize(
    ("extra", "added"),
    [("subsample", (491, 491)), ("conv_input", (491, 619)), ("conv_output", (555, 683))],
)
def test_the_fields_of_levels_grow_along_their_own_way(extra, added):
    with torch.device("meta"):
        backbone = ResNet(50)
        neck = NECKS.build(
            {"name": "fpn", "extra": extra, "coarsest": 128},
            in_channels=backbone.channels,
            in_strides=backbone.strides,
        )
    found = [receptive_field(chain) for chain in neck.chains(backbone.convolutions)]
    # Two more cells of the level than the backbone's 35, 91, 267 and 427, then the added levels.
    assert found == [35 + 8, 91 + 16, 267 + 32, 427 + 64, *added]


def test_the_fields_of_a_pyramid_that_starts_late_and_ends_early_are_those_of_its_levels():
    chains = ((Kernel(3, 4),), (Kernel(3, 8),), (Kernel(3, 16),), (Kernel(3, 32),))
    found = [receptive_field(c) for c in build(finest=8, coarsest=16).chains(chains)]
    assert found == [3 + 2 * 8, 3 + 2 * 16]
