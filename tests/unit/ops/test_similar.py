"""What the screen leaves out must not be missed: against scoring all pairs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyscope.ops.gaussians import Kind, similarity
from tinyscope.ops.similar import Pairs, most_similar, similar

KINDS: tuple[Kind, ...] = (
    "kullback_leibler",
    "kullback_leibler_10",
    "wasserstein",
    "jensen_shannon",
    "center",
    "giou",
)


def grid(columns: int, rows: int, stride: float, *sides: tuple[float, float]) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centers = (torch.stack([x, y, x, y], dim=-1) * stride).reshape(-1, 1, 4)
    half = torch.tensor(sides) / 2
    return (centers + torch.cat([-half, half], dim=1)).reshape(-1, 4)


PRIORS = torch.cat(
    [
        grid(31, 17, 4.0, (8.0, 8.0), (12.0, 6.0)),
        grid(15, 9, 8.0, (32.0, 32.0), (45.25, 22.6)),
        grid(1, 1, 64.0, (200.0, 200.0)),
    ]
)


def as_mask(pairs: Pairs, boxes: int, priors: int) -> torch.Tensor:
    mask = torch.zeros(boxes, priors, dtype=torch.int64)
    mask.index_put_((pairs.boxes, pairs.priors), torch.ones_like(pairs.boxes), accumulate=True)
    return mask


def assert_those_of_all_pairs(
    boxes: torch.Tensor, priors: torch.Tensor, count: int, kind: Kind
) -> None:
    scores = similarity(boxes, priors, kind)
    pairs = most_similar(boxes, priors, count, kind)
    least = scores.topk(min(count, len(priors)), dim=1).values[:, -1:]
    assert torch.equal(as_mask(pairs, *scores.shape), (scores >= least).long())
    assert torch.equal(pairs.similarity, scores[pairs.boxes, pairs.priors])
    floor = float(scores.flatten().quantile(0.999))
    assert torch.equal(
        as_mask(similar(boxes, priors, floor, kind), *scores.shape), (scores >= floor).long()
    )


whole = st.integers(-8, 140)
number = st.one_of(whole.map(float), st.floats(-8, 140, width=32))
side = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, 8.0, 12.0, 32.0, 300.0]), st.floats(1, 40, width=32)
)
box = st.tuples(number, number, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(st.lists(box, min_size=1, max_size=8), st.sampled_from([1, 3, 50]))
def test_screened_pairs_are_those_of_scoring_all(kind, rows, count):
    if kind != "kullback_leibler":  # a flat box's tied priors are many, and slow to compare
        rows = [row for row in rows if row[2] > row[0] and row[3] > row[1]] or [
            (0.0, 0.0, 4.0, 4.0)
        ]
    assert_those_of_all_pairs(torch.tensor(rows), PRIORS, count, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_between_cells_gets_all_that_tie(kind):
    priors = grid(9, 9, 4.0, (8.0, 8.0))
    boxes = torch.tensor(
        [[14.0, 14.0, 22.0, 22.0], [10.0, 14.0, 18.0, 22.0], [12.0, 12.0, 20.0, 20.0]]
    )
    pairs = most_similar(boxes, priors, 3, kind)
    # Centers (18, 18) and (14, 18) lie between four cells; (16, 16) is a cell with four neighbors.
    assert torch.bincount(pairs.boxes).tolist() == [4, 4, 5]


def test_far_from_the_origin_as_near_to_it():
    boxes = torch.tensor([[3.0, 5.0, 9.0, 12.0], [60.0, 40.0, 62.0, 42.0]])
    near = most_similar(boxes, PRIORS, 3)
    far = most_similar(boxes + 8192.0, PRIORS + 8192.0, 3)
    assert torch.equal(near.priors, far.priors)
    assert_those_of_all_pairs(boxes + 8192.0, PRIORS + 8192.0, 3, "kullback_leibler")


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_does_not_depend_on_how_many_pairs_are_held(kind, monkeypatch):
    corners = torch.rand(50, 2) * 120
    boxes = torch.cat([corners, corners + 1 + torch.rand(50, 2) * 30], dim=1).round()
    whole = most_similar(boxes, PRIORS, 3, kind), similar(boxes, PRIORS, 0.3, kind)
    for pairs in (1, 7 * len(PRIORS), 20 * len(PRIORS)):
        monkeypatch.setattr("tinyscope.ops.similar.PAIRS", pairs)
        parts = most_similar(boxes, PRIORS, 3, kind), similar(boxes, PRIORS, 0.3, kind)
        for found, expected in zip(parts, whole, strict=True):
            for values, others in zip(found, expected, strict=True):
                assert torch.equal(values, others)


def test_fewer_priors_than_wanted_are_all_taken():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [50.0, 50.0, 60.0, 60.0]])
    pairs = most_similar(boxes, PRIORS[:2], 3)
    assert pairs.boxes.tolist() == [0, 0, 1, 1]
    for nothing in (most_similar(boxes, PRIORS[:0], 3), most_similar(boxes[:0], PRIORS, 3)):
        assert [len(part) for part in nothing] == [0, 0, 0]
    assert len(similar(boxes, PRIORS[:0], 0.8).boxes) == 0


def test_a_box_that_no_prior_overlaps_is_like_none_by_overlap():
    boxes = torch.tensor([[500.0, 500.0, 510.0, 510.0], [1.0, 1.0, 7.0, 7.0]])
    assert set(most_similar(boxes, PRIORS, 3, "iou").boxes.tolist()) == {1}


def test_matrix_products_of_few_digits_change_nothing():
    boxes = torch.tensor([[700.0, 401.0, 703.0, 405.0]])
    priors = grid(200, 120, 4.0, (17.5, 17.5))
    expected = most_similar(boxes, priors, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(most_similar(boxes, priors, 3).priors, expected.priors)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused_by_row_and_value(value):
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, value, 8.0, 8.0]])
    for kind in ("kullback_leibler", "giou"):
        with pytest.raises(ValueError, match=rf"box 1 is \[0\.0, {value}, 8\.0, 8\.0\]"):
            most_similar(boxes, PRIORS, 3, kind)
        with pytest.raises(ValueError, match=rf"prior 1 is \[0\.0, {value}"):
            similar(boxes[:1], boxes, 0.8, kind)


@pytest.mark.parametrize("kind", ["kullback_leibler_exp", "iou"])
def test_a_tiny_box_between_far_priors_has_none_where_similarities_end_at_0(kind):
    tiny = torch.tensor([[30.0, 30.0, 31.0, 31.0]])
    far = torch.tensor([[0.0, 0.0, 8.0, 8.0], [64.0, 64.0, 72.0, 72.0]])
    assert not len(most_similar(tiny, far, 1, kind).boxes)
    assert len(most_similar(tiny, far, 1, "kullback_leibler").boxes)
