from itertools import pairwise

import pytest
import torch
from torch import nn

from tinyscope.errors import SettingsError
from tinyscope.nn.necks import NECKS
from tinyscope.types import Target

CHANNELS, STRIDES = (5, 6, 7, 9), (4, 8, 16, 32)


def build(in_channels=CHANNELS, in_strides=STRIDES, **options):
    settings = {"name": "sspnet", "channels": 8, **options}
    return NECKS.build(settings, in_channels=in_channels, in_strides=in_strides)


def levels(height=64, width=96, images=2):
    """Maps of a backbone that rounds up when it halves."""
    maps = []
    for channels, stride in zip(CHANNELS, STRIDES, strict=True):
        maps.append(torch.randn(images, channels, -(-height // stride), -(-width // stride)))
    return maps


def target(boxes=(), ignored=()):
    joined = torch.tensor([*boxes, *ignored], dtype=torch.float32).reshape(-1, 4)
    flags = torch.tensor([False] * len(boxes) + [True] * len(ignored))
    return Target(joined, torch.zeros(len(joined), dtype=torch.int64), flags.bool())


PERSON, CROWD = (10.0, 12.0, 18.0, 30.0), (40.0, 20.0, 70.0, 50.0)


@pytest.mark.parametrize(
    ("coarsest", "strides"),
    [(None, STRIDES), (64, (*STRIDES, 64)), (128, (*STRIDES, 64, 128)), (8, (4, 8))],
)
@pytest.mark.parametrize("size", [(64, 96), (67, 101), (32, 32)])
def test_a_pyramid_has_its_levels_and_always_four_of_attention(coarsest, strides, size):
    neck = build(coarsest=coarsest).eval()
    pyramid = neck(levels(*size))
    assert pyramid.strides == neck.strides == strides
    assert pyramid.sizes == tuple((-(-size[0] // s), -(-size[1] // s)) for s in strides)
    assert all(level.shape[:2] == (2, 8) for level in pyramid.levels)
    for stride, attention, logits in zip(STRIDES, pyramid.attention, pyramid.logits, strict=True):
        assert attention.shape == (2, 1, -(-size[0] // stride), -(-size[1] // stride))
        assert torch.equal(attention, logits.sigmoid())


def test_no_weight_is_without_use():
    neck = build(coarsest=64)
    sum(level.square().mean() for level in neck(levels()).levels).backward()
    assert all(p.grad is not None and p.grad.any() for p in neck.parameters())


def test_where_attention_is_nothing_levels_stay_apart():
    neck = build().eval()
    for convolution in neck.context.attend:
        nn.init.zeros_(convolution.weight)
        nn.init.constant_(convolution.bias, -1e4)
    inputs = levels()
    found = neck(inputs).levels
    for lateral, smooth, x, level in zip(neck.lateral, neck.smooth, inputs, found, strict=True):
        torch.testing.assert_close(level, smooth(lateral(x)))


def test_where_attention_is_full_levels_are_summed_and_doubled_twice():
    neck = build().eval()
    for convolution in neck.context.attend:
        nn.init.zeros_(convolution.weight)
        nn.init.constant_(convolution.bias, 1e4)
    inputs = levels()
    merged = [2 * lateral(x) for lateral, x in zip(neck.lateral, inputs, strict=True)]
    for fine, coarse in reversed([*pairwise(merged)]):
        fine += nn.functional.interpolate(coarse, fine.shape[-2:])
    found = neck(inputs).levels
    for smooth, x, level in zip(neck.smooth, merged, found, strict=True):
        torch.testing.assert_close(level, 2 * smooth(x))


def test_inputs_are_left_alone():
    inputs = levels()
    copies = [x.clone() for x in inputs]
    build(coarsest=64)(inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))


def test_it_starts_as_xavier_without_bias():
    neck = build(in_channels=(64, 64, 64, 64), channels=32)
    tensors = dict(neck.named_parameters())
    assert tensors["context.norm.weight"].eq(1).all()
    for name, tensor in tensors.items():
        if name.endswith("bias"):
            assert not tensor.any(), name
        elif tensor.dim() == 4:
            area = tensor[0, 0].numel()
            bound = (6 / (area * sum(tensor.shape[:2]))) ** 0.5
            assert tensor.abs().max() <= bound, name
            assert tensor.abs().max() > 0.9 * bound, name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 6}, "channels 6 of a neck sspnet: .* divisible by 4, such as 8"),
        ({"in_strides": (8, 16, 32, 64)}, r"the backbone's are \(8, 16, 32, 64\); choose"),
        ({"in_strides": (4, 8, 16), "in_channels": (5, 6, 7)}, "exactly four levels of strides"),
        ({"coarsest": 48}, "coarsest 48 cannot be reached"),
        ({"target": "sharp"}, "neck.target: got 'sharp'; must be 'hard', .*did you mean hard"),
        ({"weight": -1.0}, "neck.weight: got -1.0; must be .*0"),
    ],
)
def test_what_cannot_be_is_named(options, words):
    with pytest.raises(SettingsError, match=words):
        build(**options)


@pytest.mark.parametrize("painting", ["hard", "soft", "soft_asymmetric"])
@pytest.mark.parametrize("size", [(64, 96), (67, 101), (20, 20)])
def test_any_batch_of_any_size_has_losses(painting, size):
    neck = build(target=painting)
    whole = (0.0, 0.0, float(size[1]), float(size[0]))
    targets = [target([PERSON, CROWD]), target(), target([whole]), target([PERSON], [CROWD])]
    targets += [target(ignored=[whole]), target([PERSON] * 200)]
    losses = neck.loss(neck(levels(*size, images=6)), targets)
    assert losses.keys() == {"attention", "attention_dice"}
    total = sum(losses.values())
    assert total.isfinite()
    total.backward()
    assert all(p.grad.isfinite().all() for p in neck.context.parameters())


def test_an_image_without_objects_has_no_dice_and_is_taught_background():
    neck = build()
    pyramid = neck(levels(images=1))
    for x in pyramid.logits:
        x.retain_grad()
    losses = neck.loss(pyramid, [target()])
    assert losses["attention_dice"] == 0
    losses["attention"].backward()
    for x in pyramid.logits:
        assert (x.grad >= 0).all()
        assert x.grad.any()


def test_the_weight_is_that_of_the_cross_entropy():
    neck = build(weight=0.5)
    pyramid, targets = neck(levels()), [target([PERSON]), target([CROWD])]
    losses = neck.loss(pyramid, targets)
    neck.weight = 0.25
    halved = neck.loss(pyramid, targets)
    torch.testing.assert_close(halved["attention"], losses["attention"] / 2)
    assert halved["attention_dice"] == losses["attention_dice"]


@pytest.mark.parametrize(
    ("target", "weight"), [("hard", 0.01), ("soft", 0.0001), ("soft_asymmetric", 0.0001)]
)
def test_the_weight_is_by_default_that_published_with_the_maps(target, weight):
    assert build(target=target).weight == weight
    assert build(target=target, weight=0.0).weight == 0


@pytest.mark.parametrize("ignored", ["left_out", "background"])
def test_ignored_regions_are_left_out_unless_they_are_to_be_background(ignored):
    neck = build(ignored=ignored)
    pyramid = neck(levels(images=1))
    coarse = pyramid.logits[2]
    coarse.data[..., 2, 3] = 9.0  # within the crowd, and the first to be mined
    coarse.retain_grad()
    neck.loss(pyramid, [target([PERSON], [CROWD])])["attention"].backward()
    assert bool(coarse.grad[0, 0, 2, 3]) == (ignored == "background")


def test_ignored_regions_as_background_are_as_if_there_were_none():
    neck = build(ignored="background")
    pyramid = neck(levels(images=1))
    with_region = neck.loss(pyramid, [target([PERSON], [CROWD])])
    without = neck.loss(pyramid, [target([PERSON])])
    assert with_region == without


def test_losses_of_half_precision_are_those_of_the_same_logits_in_single():
    neck = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pyramid = neck(levels())
        targets = [target([PERSON]), target([CROWD])]
        losses = neck.loss(pyramid, targets)
    assert pyramid.logits[0].dtype == torch.bfloat16
    assert all(value.dtype == torch.float32 for value in losses.values())
    single = type(pyramid)(
        pyramid.levels, pyramid.strides, pyramid.attention, tuple(x.float() for x in pyramid.logits)
    )
    for name, value in neck.loss(single, targets).items():
        torch.testing.assert_close(losses[name], value)


def test_attention_that_is_sure_and_wrong_still_learns():
    neck = build()
    pyramid = neck(levels(images=1))
    sure = [torch.full_like(x, 60.0).requires_grad_() for x in pyramid.logits]
    pyramid = type(pyramid)(pyramid.levels, pyramid.strides, pyramid.attention, tuple(sure))
    neck.loss(pyramid, [target()])["attention"].backward()
    assert all(x.grad.any() for x in sure)
