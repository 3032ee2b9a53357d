import pytest
import torch
from torch.nn import functional

from tinyscope.errors import SettingsError
from tinyscope.nn.antialias import AdaptiveBlur, WaveletPool
from tinyscope.nn.backbones.bottom_heavy import BottomHeavyResNet
from tinyscope.nn.backbones.resnet import ResNet


@pytest.mark.parametrize("wavelet", ["haar", "bior3.3"])
def test_a_wavelet_doubles_a_constant_and_drops_a_checkerboard(wavelet):
    pool = WaveletPool(wavelet)
    inner = pool(torch.ones(1, 2, 12, 10))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 2.0))
    checkerboard = (-1.0) ** (torch.arange(12)[:, None] + torch.arange(10))
    inner = pool(checkerboard.expand(1, 2, -1, -1))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.zeros_like(inner), rtol=0, atol=1e-6)


def test_haar_is_twice_the_average():
    x = torch.rand(2, 3, 7, 10)
    torch.testing.assert_close(WaveletPool("haar")(x), 2 * functional.avg_pool2d(x, 2))


def test_a_wavelet_keeps_the_precision_and_has_no_weights():
    pool = WaveletPool("bior3.3")
    assert not pool.state_dict()
    assert pool(torch.rand(1, 1, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_map_of_one_cell_is_refused():
    with pytest.raises(ValueError, match="1x5 cells cannot be halved"):
        WaveletPool("haar")(torch.zeros(1, 1, 1, 5))


def test_adaptive_blur_is_an_average_of_the_neighborhood():
    blur = AdaptiveBlur(8, 2).eval()
    flat = blur(torch.ones(1, 8, 9, 11))
    assert flat.shape == (1, 8, 5, 6)
    inner = flat[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.ones_like(inner))
    x = torch.rand(2, 8, 9, 11)
    found = blur(x)
    assert (found <= functional.max_pool2d(x, 3, 2, 1) + 1e-6).all()


def test_joint_weights_of_all_groups_sum_to_one():
    blur = AdaptiveBlur(16, 1, joint=True).eval()
    inner = blur(torch.ones(1, 16, 6, 6))[:, ::2, 2:-2, 2:-2]  # a channel of every group
    torch.testing.assert_close(inner.sum(dim=1), torch.ones(1, 2, 2))


def test_channels_that_do_not_split_are_named():
    with pytest.raises(SettingsError, match="into 8 groups, got 12"):
        AdaptiveBlur(12)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("antialias", ["haar", "pasa_joint"])
def test_a_net_that_halves_so_learns_with_all_its_weights(block, antialias):
    net = BottomHeavyResNet(
        (1, 1), block=block, width=8, strides=(2, 4, 8), antialias=antialias
    ).train()
    levels = net(torch.rand(2, 3, 32, 48))
    assert [tuple(x.shape[-2:]) for x in levels] == [(16, 24), (8, 12), (4, 6)]
    sum(level.square().mean() for level in levels).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]


def test_a_frozen_stem_freezes_what_halves_its_map():
    net = ResNet(18, width=8, antialias="pasa", frozen_stages=0).train()
    assert not [p for p in net.pool.parameters() if p.requires_grad]
    assert not net.pool[1].bn.training


def test_a_projection_halved_before_is_one_halved_after():
    block = ResNet(50, width=4, strides=(8,), antialias="bior3.3").eval().layer2[0]
    convolution, pool, norm = block.downsample
    x = torch.rand(1, 16, 12, 14)
    y = x
    for module in (pool, convolution, norm):
        y = module(y)
    torch.testing.assert_close(norm(pool(convolution(x))), y)


@pytest.mark.parametrize("antialias", ["haar", "pasa"])
def test_the_stem_level_has_half_the_size(antialias):
    net = ResNet(18, width=8, strides=(2, 4), antialias=antialias).eval()
    stem, first = net(torch.rand(1, 3, 32, 48))
    assert stem.shape == (1, 8, 16, 24)
    assert first.shape == (1, 8, 8, 12)
    assert (stem >= 0).all()
