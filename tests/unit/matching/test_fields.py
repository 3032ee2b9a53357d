import pytest
import torch

from tinyscope.errors import SettingsError
from tinyscope.matching.coders import DeltaCoder
from tinyscope.matching.fields import ReceptiveFields
from tinyscope.matching.taking_part import taking_part
from tinyscope.types import Priors

CPU = torch.device("cpu")


def test_priors_have_half_the_side_of_the_network_s_fields():
    priors = ReceptiveFields((4, 8), (35, 91))(((1, 2), (1, 1)), CPU)
    sides = priors.boxes[:, 2:] - priors.boxes[:, :2]
    assert sides.tolist() == [[17.5, 17.5]] * 2 + [[45.5, 45.5]]
    assert priors.centers.tolist() == [[2.0, 2.0], [6.0, 2.0], [4.0, 4.0]]


def test_shapes_keep_the_area_and_come_in_the_order_of_the_ratios():
    maker = ReceptiveFields((4,), (40,), ratios=(0.5, 1.0, 2.0), offset=0.0)
    priors = maker(((1, 2),), CPU)
    assert maker.per_cell == 3
    sides = priors.boxes[:, 2:] - priors.boxes[:, :2]
    torch.testing.assert_close(sides.prod(dim=1), torch.full((6,), 400.0))
    assert (sides[:3, 1] / sides[:3, 0]).tolist() == pytest.approx([0.5, 1.0, 2.0])
    assert priors.centers[:, 0].tolist() == pytest.approx([0, 0, 0, 4, 4, 4], abs=1e-5)


def test_a_level_may_have_a_field_of_its_own():
    maker = ReceptiveFields((4, 8), (35, 91), receptive_fields=(34.0, None), fraction=1 / 3)
    assert maker.fields == (34.0, 91.0)
    assert ReceptiveFields((8, 64), receptive_fields="published").fields == (91.0, 555.0)


def test_fields_that_do_not_fit_the_neck_are_refused():
    with pytest.raises(SettingsError, match="has 1 levels, the neck has 2, of strides"):
        ReceptiveFields((4, 8), (35, 91), receptive_fields=(34.0,))
    with pytest.raises(SettingsError, match=r"none for the strides \[2\] of the neck's \(2, 4\)"):
        ReceptiveFields((2, 4), receptive_fields="published")
    with pytest.raises(SettingsError, match=r"no field is known of the strides \[8\]"):
        ReceptiveFields((4, 8), receptive_fields=(34.0, None))


def test_priors_that_reach_out_of_the_image_may_be_left_out():
    boxes = torch.tensor([[0.0, 0, 8, 8], [-1, 0, 7, 8], [92, 40, 100, 48], [91, 40, 99, 48]])
    priors = Priors.of_boxes(boxes)
    # The right side itself does not count as inside, the left one does.
    assert taking_part(priors, (60, 100), overhang=0.0).tolist() == [True, False, False, True]
    assert taking_part(priors, (60, 100), overhang=1.0).all()
    assert taking_part(priors, (60, 100)).all()


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_cells_beyond_an_image_s_own_padding_may_be_left_out(offset):
    maker = ReceptiveFields((4, 64), receptive_fields=(31.3, 500.1), ratios=(0.7,), offset=offset)
    priors = maker(((16, 16), (1, 1)), CPU)
    chosen = taking_part(priors, (30, 33), divisor=32)  # padded to 32 x 64
    by_cell = chosen[:-1].view(16, 16)
    assert by_cell[:8].all()
    assert not by_cell[8:].any()
    assert chosen[-1]  # begins within it


def test_targets_may_be_encoded_against_smaller_priors_than_they_are_decoded_with():
    priors = Priors.of_boxes(torch.tensor([[0.0, 0.0, 20.0, 10.0]]))
    boxes = torch.tensor([[4.0, 2.0, 14.0, 12.0]])
    coder = DeltaCoder(encoding_shrink=0.9)
    decoded = coder.decode(priors, coder.encode(priors, boxes))
    # The center (9, 7) lies (-1, 2) from the prior's; shifts and sides grow by a ninth.
    half = 5 / 0.9
    center = torch.tensor([10 - 1 / 0.9, 5 + 2 / 0.9])
    expected = torch.cat([center - half, center + half])[None]
    torch.testing.assert_close(decoded, expected)
