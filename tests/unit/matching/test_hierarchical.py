import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.matching.assign.hierarchical import HierarchicalAssigner, shrunk
from tinyscope.matching.fields import ReceptiveFields
from tinyscope.ops.gaussians import Kind, similarity
from tinyscope.types import BACKGROUND, IGNORED, Priors

CPU = torch.device("cpu")


def fields(*sizes: tuple[int, int], offset: float = 0.5) -> Priors:
    strides = [4 * 2**i for i in range(len(sizes))]
    return ReceptiveFields(strides, [24 * 2**i for i in range(len(sizes))], offset=offset)(
        sizes, CPU
    )


def boxes_of(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def described(
    priors: torch.Tensor, boxes: torch.Tensor, assigner: HierarchicalAssigner
) -> list[int]:
    """The rule as the published code states it, object by object."""
    first = similarity(boxes, priors, assigner.distance)
    second = similarity(boxes, shrunk(priors, assigner.shrink), assigner.distance)
    assigned = [BACKGROUND] * len(priors)
    if assigner.ignore is not None and len(boxes):
        like = (second.amax(dim=0) >= assigner.ignore).tolist()
        assigned = [IGNORED if yes else BACKGROUND for yes in like]
    for scores, count in ((second, assigner.second), (first, assigner.first)):
        claimed: dict[int, int] = {}
        for row, of_object in enumerate(scores.tolist()):
            least = sorted(of_object, reverse=True)[:count]
            claimed |= {p: row for p, score in enumerate(of_object) if score in least}
        for prior, row in claimed.items():
            assigned[prior] = row
    return assigned


side = st.integers(1, 40)
place = st.integers(-4, 60)
box = st.tuples(place, place, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(
    st.lists(box, max_size=10),
    st.sampled_from(["kullback_leibler", "wasserstein", "kullback_leibler_exp"]),
    st.sampled_from([(3, 1, 0.9, 0.8), (1, 2, 0.5, None), (2, 0, 1.0, 0.3)]),
)
def test_the_assigner_equals_the_rule_stated_object_by_object(rows, distance: Kind, numbers):
    first, second, shrink, ignore = numbers
    assigner = HierarchicalAssigner(first, second, shrink, distance, ignore)
    priors, boxes = fields((16, 16), (8, 8), (4, 4)), boxes_of(*rows)
    assert assigner(priors, boxes).tolist() == described(priors.boxes, boxes, assigner)


def test_without_objects_everything_is_background():
    found = HierarchicalAssigner(ignore=0.8, inside="published")(fields((3, 3)), boxes_of())
    assert (found == BACKGROUND).all()


def test_an_object_smaller_than_a_cell_and_one_outside_get_as_many_priors_as_a_large_one():
    priors = fields((16, 16), (8, 8))
    boxes = boxes_of((9.6, 9.1, 10.7, 10.3), (20, 31, 45, 58.5), (-40, 20, -30, 28.5))
    found = HierarchicalAssigner()(priors, boxes)
    assert torch.bincount(found[found >= 0]).tolist() == [3, 3, 3]


def test_a_box_without_an_extent_gets_priors_too():
    found = HierarchicalAssigner()(fields((8, 8)), boxes_of((10, 10, 10, 10), (5, 3, 5, 9)))
    assert (found == 0).sum() >= 1
    assert (found == 1).sum() >= 3


def test_of_equal_objects_the_last_gets_the_priors():
    boxes = boxes_of((10, 10, 16, 16), (10, 10, 16, 16), (10, 10, 16, 16))
    found = HierarchicalAssigner()(fields((8, 8)), boxes)
    assert set(found.tolist()) == {BACKGROUND, 2}


def test_all_priors_that_tie_with_the_last_are_claimed():
    found = HierarchicalAssigner()(fields((8, 8)), boxes_of((8, 8, 16, 16)))
    assert (found == 0).sum() == 4  # the centers 10 and 14 on both axes are equally far from 12


def test_fewer_priors_than_an_object_may_claim_are_all_claimed():
    assert HierarchicalAssigner()(fields((1, 2)), boxes_of((0, 0, 3, 3))).tolist() == [0, 0]
    none = Priors.of_boxes(torch.zeros(0, 4))
    assert len(HierarchicalAssigner(ignore=0.8)(none, boxes_of((0, 0, 3, 3)))) == 0


def test_priors_like_an_object_that_others_claimed_are_ignored_only_by_choice():
    priors = fields((16, 16))
    big = boxes_of((10, 10, 22.5, 22.5))
    assert IGNORED not in HierarchicalAssigner(first=1, second=0)(priors, big)
    assert IGNORED in HierarchicalAssigner(first=1, second=0, ignore=0.8)(priors, big)


def test_a_positive_prior_may_be_asked_to_lie_inside_its_object():
    priors = fields((8, 8))
    boxes = boxes_of((9.0, 9.0, 11.0, 11.0))
    inside = HierarchicalAssigner(inside=True)(priors, boxes)
    assert priors.centers[inside == 0].tolist() == [[10.0, 10.0]]
    assert (HierarchicalAssigner()(priors, boxes) == 0).sum() >= 3


def test_published_ignoring_asks_ignored_priors_to_lie_inside_the_first_object():
    priors = fields((16, 16))
    boxes = boxes_of((0, 0, 2, 2), (10, 10, 22.5, 22.5))
    clean = HierarchicalAssigner(first=1, second=0, ignore=0.8, inside=True)(priors, boxes)
    published = HierarchicalAssigner(first=1, second=0, ignore=0.8, inside="published")(
        priors, boxes
    )
    assert IGNORED in clean
    assert IGNORED not in published


def test_the_arguments_stay_as_they_are():
    priors, boxes = fields((8, 8)), boxes_of((3, 3, 8, 8))
    before = priors.boxes.clone(), boxes.clone()
    HierarchicalAssigner(carry=True).batch(priors, [boxes, boxes])
    assert torch.equal(priors.boxes, before[0])
    assert torch.equal(boxes, before[1])


def test_a_batch_is_what_its_images_are():
    priors = fields((16, 16), (8, 8))
    corners = torch.rand(30, 2) * 50
    boxes = torch.cat([corners, corners + 1 + torch.rand(30, 2) * 20], dim=1)
    images = [boxes[:12], boxes[:0], boxes[12:]]
    assigner = HierarchicalAssigner(ignore=0.8, inside=True)
    for found, objects in zip(assigner.batch(priors, images), images, strict=True):
        assert torch.equal(found, assigner(priors, objects))


def test_carried_fields_shrink_with_every_image_that_has_objects():
    priors = fields((16, 16), (8, 8))
    boxes = boxes_of((20, 20, 36, 36), (3, 4, 12, 22))
    carried = HierarchicalAssigner(shrink=0.5, carry=True)
    alone = HierarchicalAssigner(shrink=0.5)
    found = carried.batch(priors, [boxes, boxes[:0], boxes])
    smaller = Priors(shrunk(priors.boxes, 0.5), priors.strides, priors.levels)
    assert torch.equal(found[0], alone(priors, boxes))
    assert torch.equal(found[2], alone(smaller, boxes))
    assert not torch.equal(found[2], found[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_precision_of_the_boxes_changes_nothing(dtype):
    priors, boxes = fields((16, 16), (8, 8)), boxes_of((20, 20, 36, 36), (3, 4, 12, 22))
    assigner = HierarchicalAssigner()
    assert torch.equal(assigner(priors, boxes.to(dtype)), assigner(priors, boxes))
