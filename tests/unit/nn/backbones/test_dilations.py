import pytest
import torch
import torchvision
from receptive_fields import field, seen
from torch import nn

from tinyscope.errors import SettingsError
from tinyscope.nn.backbones.resnet import ResNet

DC5 = (1, 1, 1, 2)


def test_a_dilated_stage_takes_the_place_of_the_one_before():
    with torch.device("meta"):
        net = ResNet(50, width=8, dilations=DC5)
        levels = net(torch.zeros(1, 3, 64, 96))
    assert net.strides == (4, 8, 16)
    assert net.channels == (32, 64, 256)
    assert [tuple(x.shape[2:]) for x in levels] == [(16, 24), (8, 12), (4, 6)]
    assert net.stage_name(16) == "layer4"


def test_names_and_shapes_are_those_of_the_plain_network():
    with torch.device("meta"):
        dilated, plain = (ResNet(50, dilations=d).state_dict() for d in (DC5, None))
    assert {k: v.shape for k, v in dilated.items()} == {k: v.shape for k, v in plain.items()}


def test_its_first_block_is_dilated_too_other_than_torchvisions():
    ours = ResNet(50, dilations=DC5, strides=(16,), zero_init_residual=False).eval()
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=[False, False, True]).eval()
    theirs.fc = nn.Identity()
    theirs.avgpool = nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(1, 3, 64, 96)
    found = ours(images)[0]
    assert not torch.allclose(theirs(images).view_as(found), found)
    assert ours.layer4[0].conv2.dilation == (2, 2)
    theirs.layer4[0].conv2.dilation = theirs.layer4[0].conv2.padding = (2, 2)
    torch.testing.assert_close(theirs(images).view_as(found), found, rtol=1e-4, atol=1e-3)


def test_chains_say_how_far_it_sees():
    options = {"dilations": (1, 2, 1, 1), "strides": (4,), "zero_init_residual": False}
    net = ResNet(50, width=4, **options).eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.1, 1)
    side, jump = field(net.convolutions[0])
    assert jump == 4
    assert seen(net, 0, 2 * side) == side


def test_the_last_stage_of_a_stride_is_fed():
    net = ResNet(50, width=4, dilations=DC5, zero_init_residual=False).eval()
    images = torch.rand(1, 3, 32, 32)
    before = net(images)
    after = net(images, {16: torch.ones(1, net.channels[-1], 2, 2)})
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[2], after[2])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dilations": (1, 1, 2)}, "one number of 1 or more for each of 4 stages"),
        ({"dilations": (2, 1, 1, 1)}, "and 1 for the first"),
        ({"dilations": DC5, "depth": 18}, "choose depth 50 or 101"),
        ({"dilations": DC5, "convolution": "standardized"}, "these are standardized ones"),
        (
            {"dilations": DC5, "strides": (32,)},
            r"strides \(32,\) must be some of \(1, 2, 4, 8, 16\)",
        ),
    ],
)
def test_what_cannot_be_dilated_is_refused(options, said):
    with pytest.raises(SettingsError, match=said):
        ResNet(**{"depth": 50, "width": 4, **options})
