import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.errors import SettingsError
from tinyscope.matching.assign.fovea import FoveaAssigner
from tinyscope.matching.coders import FoveaCoder
from tinyscope.matching.priors import Points
from tinyscope.types import BACKGROUND

CPU = torch.device("cpu")
STRIDES = (4, 8)
SIZES = ((12, 14), (6, 7))
RANGES = ((1.0, 12.0), (8.0, 40.0))


def boxes_of(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def painted(boxes: torch.Tensor, sigma: float) -> list[int]:
    """The rule as the paper's code states it: large objects first, cell by cell."""
    assigned = []
    for stride, (height, width), (low, high) in zip(STRIDES, SIZES, RANGES, strict=True):
        cells = [[BACKGROUND] * width for _ in range(height)]
        sides = [math.sqrt((b[2] - b[0]) * (b[3] - b[1])) for b in boxes.tolist()]
        order = sorted((-s, row) for row, s in enumerate(sides) if low <= s <= high)
        for _, row in order:
            spans = []
            for axis, last in ((0, width - 1), (1, height - 1)):
                near, far = (float(boxes[row, axis + i]) / stride for i in (0, 2))
                half = (far - near) / 2
                start = math.ceil(near + (1 - sigma) * half - 0.5)
                end = math.floor(near + (1 + sigma) * half - 0.5)
                spans.append((min(max(start, 0), last), min(max(end, 0), last)))
            for y in range(spans[1][0], spans[1][1] + 1):
                for x in range(spans[0][0], spans[0][1] + 1):
                    cells[y][x] = row
        assigned += [row for line in cells for row in line]
    return assigned


# Sides by which the middle's borders are exact in binary, with sigma 0.5.
side = st.integers(1, 40)
place = st.integers(-4, 56)
box = st.tuples(place, place, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(box, max_size=12))
def test_points_are_given_as_cells_are_painted(rows):
    boxes = boxes_of(*rows)
    priors = Points(STRIDES)(SIZES, CPU)
    assigner = FoveaAssigner(STRIDES, sigma=0.5, ranges=RANGES, nearest=False)
    assert assigner(priors, boxes).tolist() == painted(boxes, 0.5)


def test_assignment_does_not_depend_on_how_many_pairs_are_held(monkeypatch):
    torch.manual_seed(0)
    corners = torch.rand(60, 2) * 50
    boxes = torch.cat([corners, corners + 2 + torch.rand(60, 2) * 14], dim=1)
    priors = Points(STRIDES)(SIZES, CPU)
    whole = FoveaAssigner(STRIDES, nearest=False)(priors, boxes)
    monkeypatch.setattr("tinyscope.matching.assign.fovea.PAIRS", 7 * len(priors))
    assert torch.equal(FoveaAssigner(STRIDES, nearest=False)(priors, boxes), whole)


def test_without_objects_all_is_background():
    priors = Points(STRIDES)(SIZES, CPU)
    assert (FoveaAssigner(STRIDES)(priors, boxes_of()) == BACKGROUND).all()
    assert len(FoveaAssigner(STRIDES)(priors[torch.arange(0)], boxes_of((0, 0, 4, 4)))) == 0


def test_an_object_between_points_takes_the_nearest_one():
    priors = Points(STRIDES)(SIZES, CPU)
    tiny = boxes_of((6.5, 6.5, 9.5, 9.5))  # its middle, 7.4 to 8.6, holds no point of 6, 10
    assert (FoveaAssigner(STRIDES, nearest=False)(priors, tiny) == BACKGROUND).all()
    assigned = FoveaAssigner(STRIDES)(priors, tiny)
    assert priors.levels[assigned == 0].tolist() == [0]
    assert (priors.centers[assigned == 0] - 8).abs().max() == 2


def test_the_outer_levels_take_what_lies_beyond_their_ranges():
    priors = Points(STRIDES)(SIZES, CPU)
    boxes = boxes_of((1.5, 1.5, 2.5, 2.5), (0, 0, 56, 48), (8, 8, 32, 32))
    assigned = FoveaAssigner(STRIDES)(priors, boxes)
    assert [set(priors.levels[assigned == row].tolist()) for row in range(3)] == [{0}, {1}, {0, 1}]


def test_ranges_must_fit_the_levels():
    with pytest.raises(SettingsError, match=r"ranges has 1 pairs, but the neck has 2 levels"):
        FoveaAssigner(STRIDES, ranges=((1.0, 8.0),))
    with pytest.raises(SettingsError, match=r"ranges has \(8.0, 4.0\)"):
        FoveaAssigner(STRIDES, ranges=((8.0, 4.0), (1.0, 2.0)))


@given(st.tuples(*[st.floats(0.25, 60)] * 4))
def test_distances_come_back(distances):
    priors = Points((4,))(((1, 1),), CPU)  # a point at 2, 2
    left, top, right, bottom = distances
    boxes = boxes_of((2 - left, 2 - top, 2 + right, 2 + bottom))
    coder = FoveaCoder(edge=1.0)
    decoded = coder.decode(priors, coder.encode(priors, boxes))
    torch.testing.assert_close(decoded, boxes, rtol=1e-5, atol=1e-4)


def test_targets_are_bound_and_predictions_are_finite():
    priors = Points((4,))(((1, 1),), CPU)
    outside = boxes_of((3.0, 3.0, 3.5, 900.0))  # holds no point
    coder = FoveaCoder()
    deltas = coder.encode(priors, outside)
    expected = torch.tensor([[1 / 16, 1 / 16, 1.5 / 8, 16.0]]).log()
    torch.testing.assert_close(deltas, expected)
    assert coder.decode(priors, torch.full((1, 4), 1e4)).isfinite().all()
