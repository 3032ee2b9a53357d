from math import prod

import pytest
import torch

from tinyscope.errors import SettingsError
from tinyscope.nn.blocks import Kernel
from tinyscope.nn.necks.hrfpn import HRFPN
from tinyscope.ops.receptive_field import receptive_field


def levels(side=16):
    return [torch.rand(2, 4 * 2**i, side // 2**i, side // 2**i) for i in range(4)]


@pytest.mark.parametrize(
    ("coarsest", "strides"),
    [(None, (4, 8, 16, 32)), (64, (4, 8, 16, 32, 64)), (8, (4, 8)), (4, (4,))],
)
def test_a_pyramid_has_the_levels_that_were_asked_for(coarsest, strides):
    neck = HRFPN((4, 8, 16, 32), (4, 8, 16, 32), channels=6, coarsest=coarsest)
    pyramid = neck(levels())
    assert pyramid.strides == neck.strides == strides
    assert neck.channels == 6
    assert pyramid.sizes == tuple((64 // s, 64 // s) for s in strides)
    sum(level.square().mean() for level in pyramid.levels).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_every_level_comes_from_the_average_of_the_finest():
    neck = HRFPN((4, 8), (4, 8), channels=3, coarsest=16)
    for smooth in neck.smooth:
        torch.nn.init.dirac_(smooth.weight)
    fine, middle, coarse = neck(levels()[:2]).levels
    torch.testing.assert_close(middle, torch.nn.functional.avg_pool2d(fine, 2))
    torch.testing.assert_close(coarse, torch.nn.functional.avg_pool2d(fine, 4))


def test_a_coarse_map_counts_as_much_as_a_fine_one():
    neck = HRFPN((4, 8), (4, 8), channels=3, coarsest=4)
    with torch.no_grad():
        neck.reduce.weight[:, :4] = 0
    fine, coarse = levels()[:2]
    changed = neck([fine + 1, coarse]).levels[0]
    torch.testing.assert_close(changed, neck([fine, coarse]).levels[0])
    assert not torch.equal(neck([fine, coarse + 1]).levels[0], changed)


def test_fresh_weights_keep_the_variance():
    weight = HRFPN((64, 128), (4, 8), channels=64).reduce.weight
    assert weight.std().item() == pytest.approx(192**-0.5, rel=0.05)


@pytest.mark.parametrize("strides", [(4, 16), (8, 4)])
def test_strides_that_do_not_double_are_refused(strides):
    with pytest.raises(SettingsError, match="strides that double"):
        HRFPN((4, 8), strides)


def test_every_level_sees_what_its_pixels_of_the_finest_see():
    neck = HRFPN((4, 8), (4, 8), channels=3, coarsest=16)
    chains = neck.chains([(Kernel(3, 4),), (Kernel(7, 8),)])
    assert [prod(kernel.stride for kernel in chain) for chain in chains] == [4, 8, 16]
    # 3 pixels; an average of 1, 2 or 4 cells of 4; two more cells of the level.
    assert [receptive_field(chain) for chain in chains] == [3 + 8, 3 + 4 + 16, 3 + 12 + 32]
