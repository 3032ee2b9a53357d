import pytest
import timm
import torch
from receptive_fields import field, seen
from torch import nn

from tinyscope.errors import CheckpointError, SettingsError
from tinyscope.nn.backbones.bottom_heavy_hrnet import BLOCKS, BottomHeavyHRNet
from tinyscope.nn.backbones.branched import BranchedNetwork
from tinyscope.nn.backbones.hrnet import HRNet
from tinyscope.nn.blocks import Kernel

FEW = ((1, 1), (1, 1, 1), (1, 1, 1, 1))


def small(**options):
    return BottomHeavyHRNet(4, blocks=FEW, **options)


@pytest.mark.parametrize(
    ("make", "width", "channels", "millions"),
    [
        (HRNet, 18, (18, 36, 72, 144), 9.562260),
        (BottomHeavyHRNet, 32, (32, 64, 128, 256), 12.361664),
    ],
)
def test_the_published_nets_have_their_parameters(make, width, channels, millions):
    with torch.device("meta"):
        net = make(width)
    assert net.channels == channels
    assert net.strides == (4, 8, 16, 32)
    assert sum(p.numel() for p in net.parameters()) == round(millions * 1e6)


def test_the_first_stage_of_the_bottom_heavy_net_works_at_stride_2():
    sizes = {}

    def watch(module, inputs, output):
        sizes[module] = (tuple(inputs[0].shape[-2:]), tuple(output.shape[-2:]))

    for net, expected in ((small(), (32, 48)), (HRNet(4), (16, 24))):
        net.layer1[0].register_forward_hook(watch)
        net.layer1.register_forward_hook(watch)
        with torch.no_grad():
            net(torch.zeros(1, 3, 64, 96))
        assert sizes[net.layer1[0]] == (expected, expected)
        assert sizes[net.layer1] == (expected, (16, 24))


def test_a_chain_follows_its_branch():
    chains = HRNet(18).convolutions
    assert [len([k for k in chain if k.size == 3]) for chain in chains] == [71, 71, 72, 73]
    assert [field(chain)[1] for chain in chains] == [4, 8, 16, 32]
    bottom_heavy = BottomHeavyHRNet(32)
    assert bottom_heavy.convolutions[0][:2] == (Kernel(3, 1), Kernel(3, 2))
    # 4 blocks of stage 2, 4 x 2 of stage 3 and 3 x 1 of stage 4, each with two 3x3.
    assert bottom_heavy.convolutions[3][-7:] == (Kernel(3, 2), *[Kernel(3, 1)] * 6)
    assert [field(chain)[1] for chain in bottom_heavy.convolutions] == [4, 8, 16, 32]


@pytest.mark.parametrize(("level", "side"), [(0, 256), (1, 384)])
def test_without_what_coarser_branches_give_back_a_level_sees_what_its_chain_says(level, side):
    net = small().eval()
    for module in net.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Upsample):
            nn.init.zeros_(module[1].weight)
    size, jump = field(net.convolutions[level])
    assert size < side
    assert size - 4 * jump < seen(net, level, side) <= size


def test_every_branch_hears_of_every_other():
    net = small().train()
    net(torch.rand(2, 3, 64, 64))[0].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.stage3.parameters())


def test_all_weights_take_part():
    net = small().train()
    sum(level.square().mean() for level in net(torch.rand(2, 3, 64, 64))).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]


@pytest.mark.parametrize("size", [(48, 64), (64, 47)])
def test_sides_that_do_not_divide_are_refused(size):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} pixels.* multiples of 32"):
        small()(torch.zeros(1, 3, *size))


def test_norms_in_eval_mode_stay_so_but_learn():
    net = small(norm_eval=True).train()
    before = {name: value.clone() for name, value in net.named_buffers()}
    sum(level.square().mean() for level in net(torch.rand(2, 3, 32, 32))).backward()
    assert net.bn1.weight.grad is not None
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())


def test_norms_without_affine_do_not_learn():
    net = small(norm_affine=False)
    fixed = {name for name, p in net.named_parameters() if not p.requires_grad}
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(fixed) == 2 * len(norms)


def test_one_step_in_bfloat16_and_channels_last_with_group_norm():
    net = small(norm="group", groups=2).train().to(memory_format=torch.channels_last)
    images = torch.rand(1, 3, 32, 64).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        levels = net(images)
    sum(level.float().mean() for level in levels).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_weights_of_a_classifier_load_and_those_of_another_width_do_not(tmp_path):
    net = small()
    state = {f"backbone.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state | {"head.fc.weight": torch.zeros(2, 2)}}, tmp_path / "a.pth")
    loaded = small(weights=tmp_path / "a.pth")
    assert all(torch.equal(v, net.state_dict()[n]) for n, v in loaded.state_dict().items())
    with pytest.raises(CheckpointError, match="another model"):
        BottomHeavyHRNet(8, blocks=FEW, weights=tmp_path / "a.pth")


def test_published_classifiers_have_these_names():
    with torch.device("meta"):
        theirs = timm.create_model("hrnet_w18", pretrained=False).state_dict()
        ours = HRNet(18).state_dict()
    shapes = {name: tuple(value.shape) for name, value in theirs.items()}
    assert {name: tuple(value.shape) for name, value in ours.items()}.items() <= shapes.items()
    assert all(name.startswith(BranchedNetwork.unused) for name in shapes.keys() - ours.keys())


def test_a_width_that_the_paper_lacks_needs_blocks():
    with pytest.raises(SettingsError, match="width 24: the paper has blocks for 18 and 32 only"):
        BottomHeavyHRNet(24)
    assert BottomHeavyHRNet(6, blocks=BLOCKS[32]).channels == (6, 12, 24, 48)


@pytest.mark.parametrize("blocks", [(), ((1, 1), (1, 1, 1)), ((1, 1), (1, 1), (1, 1)), None])
def test_blocks_that_are_no_three_stages_are_named(blocks):
    blocks = blocks if blocks is not None else ((1, 1), (1, 0, 1), (1, 1, 1, 1))
    with pytest.raises(SettingsError, match="must be a list of 2, one of 3 and one of 4 numbers"):
        BottomHeavyHRNet(4, blocks=blocks)


def test_the_pooling_after_the_first_stage_is_padded_and_not_dilated():
    pool = small().layer1[-1]
    assert (pool.kernel_size, pool.stride, pool.padding, pool.dilation) == (3, 2, 1, 1)
