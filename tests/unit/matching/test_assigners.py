import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.matching.assign.center import CenterAssigner
from tinyscope.matching.assign.max_iou import MaxIouAssigner
from tinyscope.matching.ignore import spare_ignored
from tinyscope.matching.priors import Anchors, Points
from tinyscope.ops.boxes import overlaps
from tinyscope.types import BACKGROUND, IGNORED, Priors

CPU = torch.device("cpu")


def boxes_of(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def described_max_iou(priors, boxes, positive, negative, rescue):
    """The rule as the papers' code states it, box by box."""
    assigned = [BACKGROUND] * len(priors)
    iou = overlaps(boxes, priors)
    for p in range(len(priors)):
        column = iou[:, p].tolist()
        best = max(column, default=0.0)
        if best >= positive:
            assigned[p] = column.index(best)
        elif best >= negative:
            assigned[p] = IGNORED
    for n in range(len(boxes)):
        most = iou[n].max().item()
        if most > 0 and most >= rescue:
            for p in range(len(priors)):
                if iou[n, p].item() == most:
                    assigned[p] = n
    return assigned


side = st.integers(1, 24)
place = st.integers(0, 60)
box = st.tuples(place, place, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(box, max_size=12))
def test_max_iou_equals_the_rule_stated_box_by_box(rows):
    boxes = boxes_of(*rows)
    priors = Anchors((4, 8), scale=2.0)(((12, 12), (6, 6)), CPU)
    assigned = MaxIouAssigner(positive=0.5, negative=0.4, rescue=0.2)(priors, boxes)
    assert assigned.tolist() == described_max_iou(priors.boxes, boxes, 0.5, 0.4, 0.2)


def test_max_iou_does_not_depend_on_how_many_pairs_are_held(monkeypatch):
    torch.manual_seed(0)
    corners = torch.rand(40, 2) * 50
    boxes = torch.cat([corners, corners + 2 + torch.rand(40, 2) * 12], dim=1)
    priors = Anchors((4,))(((16, 16),), CPU)
    whole = MaxIouAssigner()(priors, boxes)
    monkeypatch.setattr("tinyscope.matching.assign.max_iou.PAIRS", 7 * len(priors))
    torch.testing.assert_close(MaxIouAssigner()(priors, boxes), whole, rtol=0, atol=0)


def test_without_objects_everything_is_background():
    priors = Points((4,))(((3, 3),), CPU)
    for assigner in (MaxIouAssigner(), CenterAssigner((4,))):
        assert (assigner(priors, boxes_of()) == BACKGROUND).all()


def test_max_iou_refuses_crossed_thresholds():
    with pytest.raises(ValueError, match=r"negative 0.6 must not be above positive 0.5"):
        MaxIouAssigner(positive=0.5, negative=0.6)


def test_points_near_the_center_answer_for_the_object():
    priors = Points((4,))(((4, 4),), CPU)  # points at 2, 6, 10, 14
    assigned = CenterAssigner((4,), radius=1.0)(priors, boxes_of((0, 0, 12, 12)))
    near = {
        (x, y) for (x, y), row in zip(priors.centers.tolist(), assigned, strict=True) if row == 0
    }
    assert near == {(6.0, 6.0)}  # 2 and 10 lie exactly a radius away, which is too far


def test_of_two_objects_the_smaller_gets_the_point():
    priors = Points((4,))(((4, 4),), CPU)
    assigned = CenterAssigner((4,))(priors, boxes_of((1, 1, 11, 11), (4, 4, 8, 8)))
    at = priors.centers.eq(6.0).all(dim=1).nonzero().item()
    assert assigned[at] == 1


def test_levels_take_objects_of_their_size():
    priors = Points((4, 8))(((16, 16), (8, 8)), CPU)
    assigned = CenterAssigner((4, 8), range_factor=2.0)(
        priors, boxes_of((0, 0, 60, 60), (10, 10, 16, 16))
    )
    assert set(priors.levels[assigned == 0].tolist()) == {1}
    assert set(priors.levels[assigned == 1].tolist()) == {0}


@given(st.lists(box, min_size=1, max_size=20, unique=True))
def test_every_object_gets_a_point_while_points_are_free(rows):
    boxes = boxes_of(*rows)
    priors = Points((4, 8))(((24, 24), (12, 12)), CPU)
    assigned = CenterAssigner((4, 8))(priors, boxes)
    assert set(assigned[assigned >= 0].tolist()) == set(range(len(boxes)))


def test_objects_that_want_one_point_get_neighboring_ones():
    priors = Points((4,))(((4, 4),), CPU)
    tiny = boxes_of((5.0, 5.0, 5.8, 5.8), (5.2, 5.2, 5.6, 5.6), (5.1, 5.1, 5.7, 5.7))
    assigned = CenterAssigner((4,))(priors, tiny)
    assert sorted(assigned[assigned >= 0].tolist()) == [0, 1, 2]


def test_published_rule_leaves_an_object_between_points_without_any():
    priors = Points((4,))(((4, 4),), CPU)
    tiny = boxes_of((3.2, 3.2, 4.8, 4.8))  # between the points 2 and 6
    assert (CenterAssigner((4,), nearest=False)(priors, tiny) == BACKGROUND).all()
    assert (CenterAssigner((4,))(priors, tiny) == 0).sum() == 1


def test_background_under_an_ignored_region_is_spared():
    priors = Priors.of_boxes(boxes_of((0, 0, 4, 4), (2, 0, 6, 4), (10, 10, 14, 14), (0, 0, 4, 4)))
    assigned = torch.tensor([BACKGROUND, BACKGROUND, BACKGROUND, 0])
    spared = spare_ignored(assigned, priors, boxes_of((0, 0, 4, 4)), threshold=0.5)
    assert spared.tolist() == [IGNORED, BACKGROUND, BACKGROUND, 0]
    assert assigned[0] == BACKGROUND  # arguments are not changed
