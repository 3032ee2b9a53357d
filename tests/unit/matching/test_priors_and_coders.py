import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.matching.coders import DeltaCoder, DistanceCoder
from tinyscope.matching.priors import Anchors, Points
from tinyscope.matching.sample.all import TakeAll
from tinyscope.matching.sample.random import RandomSampler
from tinyscope.types import BACKGROUND, IGNORED, Priors, Target

CPU = torch.device("cpu")


def test_anchors_stand_at_every_cell_with_constant_area():
    priors = Anchors((4, 8), scale=2.0, ratios=(0.5, 1.0, 2.0))(((2, 3), (1, 2)), CPU)
    assert len(priors) == 3 * (6 + 2)
    sides = priors.boxes[:, 2:] - priors.boxes[:, :2]
    torch.testing.assert_close(sides.prod(dim=1), (2 * priors.strides) ** 2)
    # location-major: all ratios of a cell, then the next cell to the right
    torch.testing.assert_close(priors.centers[3], torch.tensor([4.0, 0.0]))
    assert (sides[:3, 1] / sides[:3, 0]).tolist() == pytest.approx([0.5, 1.0, 2.0])
    assert priors.levels.tolist() == [0] * 18 + [1] * 6


def test_points_stand_in_the_middle_of_cells():
    priors = Points((4,))(((1, 2),), CPU)
    assert priors.centers.tolist() == [[2.0, 2.0], [6.0, 2.0]]


def test_anchors_want_sides_for_every_level():
    with pytest.raises(ValueError, match="sides has 1 levels, the neck has 2"):
        Anchors((4, 8), sides=((8.0,),))


def test_whole_shapes_are_enlarged_from_whole_pixels_at_the_stride():
    sides = ((8.31,), (12.5,))
    anchors = Anchors((4, 8), sides=sides, ratios=(0.5, 2.0), whole_shapes=True, offset=0.5)
    priors = anchors(((1, 1), (1, 1)), CPU)
    found = (priors.boxes[:, 2:] - priors.boxes[:, :2]).tolist()
    # 4 px: 6 x 3 and 3 x 6; 8 px: 11 x 6 (5.5 goes to the even number) and 6 x 12
    shapes = [(6, 3, 8.31 / 4), (3, 6, 8.31 / 4), (11, 6, 12.5 / 8), (6, 12, 12.5 / 8)]
    for sides_found, (width, height, factor) in zip(found, shapes, strict=True):
        assert sides_found == pytest.approx([factor * width, factor * height])
    assert priors.centers.tolist() == [[2.0, 2.0]] * 2 + [[4.0, 4.0]] * 2


coordinate = st.floats(0, 4000, width=32)
side = st.floats(1, 64, width=32)


@given(coordinate, coordinate, side, side, st.sampled_from(["delta", "none", "relu"]))
def test_decoding_what_was_encoded_gives_the_box(x, y, width, height, kind):
    boxes = torch.tensor([[x, y, x + width, y + height]])
    center = boxes[:, :2] + torch.tensor([[width, height]]) / 2
    priors = Priors(
        torch.cat([center - 4, center + 4], dim=1), torch.tensor([8.0]), torch.tensor([0])
    )
    coder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2)) if kind == "delta" else DistanceCoder(kind)
    decoded = coder.decode(priors, coder.encode(priors, boxes))
    torch.testing.assert_close(decoded, boxes, rtol=0, atol=4e-3)


def test_extreme_deltas_stay_finite():
    priors = Points((8,))(((1, 1),), CPU)
    deltas = torch.full((1, 4), 1e4)
    for coder in (DeltaCoder(), DistanceCoder("exp"), DistanceCoder("relu")):
        assert coder.decode(priors, deltas).isfinite().all()


TARGET = Target(
    torch.tensor([[0.0, 0, 4, 4], [8, 8, 12, 12]]),
    torch.tensor([3, 5]),
    torch.zeros(2, dtype=torch.bool),
)


PRIORS = Priors.of_boxes(torch.zeros(100, 4))


def test_taking_all_leaves_out_only_what_is_ignored():
    matches = TakeAll()(torch.tensor([1, BACKGROUND, IGNORED, 0]), TARGET, PRIORS)
    assert matches.positive.tolist() == [0, 3]
    assert matches.negative.tolist() == [1]
    assert matches.labels.tolist() == [5, 3]
    torch.testing.assert_close(matches.boxes, TARGET.boxes[[1, 0]])


def test_random_sampling_fills_up_with_background():
    torch.manual_seed(1)
    assigned = torch.full((100,), BACKGROUND)
    assigned[:30] = 1
    assigned[30:40] = IGNORED
    matches = RandomSampler(count=32, positive_fraction=0.25)(assigned, TARGET, PRIORS)
    assert (len(matches.positive), len(matches.negative)) == (8, 24)
    assert (assigned[matches.positive] == 1).all()
    assert (assigned[matches.negative] == BACKGROUND).all()
    assert len(set(matches.negative.tolist())) == 24


def test_random_sampling_takes_what_there_is():
    matches = RandomSampler(count=32)(torch.tensor([0, BACKGROUND, IGNORED]), TARGET, PRIORS)
    assert (matches.positive.tolist(), matches.negative.tolist()) == ([0], [1])
