import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.ops.gaussians import Kind, paired_distance, paired_similarity, similarity

KINDS: tuple[Kind, ...] = (
    "kullback_leibler",
    "kullback_leibler_10",
    "kullback_leibler_exp",
    "wasserstein",
    "jensen_shannon",
    "center",
    "iou",
    "giou",
)

place = st.floats(-50, 50, width=32)
side = st.floats(1, 64, width=32)
box = st.tuples(place, place, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


def gaussian(boxes: torch.Tensor) -> torch.distributions.MultivariateNormal:
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return torch.distributions.MultivariateNormal(centers, torch.diag_embed(sides.square() / 4))


@given(box, box)
def test_the_divergence_is_that_of_the_prior_s_gaussian_from_the_object_s(first, second):
    boxes, priors = torch.tensor([first]), torch.tensor([second])
    expected = torch.distributions.kl_divergence(
        gaussian(priors.double()), gaussian(boxes.double())
    )
    found = paired_distance(boxes, priors, "kullback_leibler")
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


@given(box, box)
def test_the_jensen_shannon_distance_is_the_published_form(first, second):
    boxes, priors = torch.tensor([first]), torch.tensor([second])
    one, other = gaussian(boxes.double()), gaussian(priors.double())
    own, its = one.precision_matrix[0], other.precision_matrix[0]
    mean, its_mean = one.loc[0], other.loc[0]
    both = (own + its) / 2
    middle = both.inverse() @ (own @ mean + its @ its_mean) / 2
    squares = (mean @ own @ mean + its_mean @ its @ its_mean) / 2 - middle @ both @ middle
    volume = (own.det() * its.det()).rsqrt() * both.det()
    expected = (squares + volume.log()) / 2
    found = paired_distance(boxes, priors, "jensen_shannon")[0]
    assert float(found) == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


def test_the_wasserstein_distance_counts_square_pixels():
    boxes, priors = torch.tensor([[0.0, 0.0, 4.0, 6.0]]), torch.tensor([[3.0, 4.0, 11.0, 12.0]])
    # Centers 5 and 5 apart, sides 4 and 2.
    found = paired_distance(boxes, priors, "wasserstein").item()
    assert found == pytest.approx(25 + 25 + (16 + 4) / 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_is_most_like_itself(kind):
    boxes = torch.tensor([[0.0, 0.0, 4.0, 6.0], [3.0, 4.0, 11.0, 12.0], [100.0, 5.0, 101.0, 7.0]])
    scores = similarity(boxes, boxes, kind)
    assert scores.argmax(dim=1).tolist() == [0, 1, 2]
    most = 0.1 if kind == "kullback_leibler_10" else 1.0
    torch.testing.assert_close(scores.diagonal(), torch.full((3,), most), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_similarities_are_finite_for_boxes_without_an_extent_and_in_half_precision(kind):
    boxes = torch.tensor(
        [[5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 900.0], [700.0, 700.0, 702.0, 702.0]]
    )
    priors = torch.tensor([[0.0, 0.0, 16.0, 16.0], [640.0, 640.0, 1280.0, 1280.0]])
    scores = similarity(boxes, priors, kind)
    assert scores.isfinite().all()
    half = similarity(boxes.half(), priors.half(), kind)  # squares of these sides overflow in it
    torch.testing.assert_close(half, scores)
    assert half.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_similarities_have_gradients_to_learn_boxes_by(kind):
    boxes = torch.tensor([[0.0, 0.0, 4.0, 6.0], [0.0, 0.0, 8.0, 8.0]])
    priors = torch.tensor([[1.0, 1.0, 7.0, 7.0], [0.0, 0.0, 8.0, 8.0]], requires_grad=True)
    paired_similarity(boxes, priors, kind).sum().backward()
    assert priors.grad is not None
    assert priors.grad.isfinite().all()
    assert priors.grad[0].abs().sum() > 0


def test_no_boxes_have_no_similarities():
    assert similarity(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    assert similarity(torch.zeros(2, 4), torch.zeros(0, 4)).shape == (2, 0)


def test_similarity_by_divergence_falls_as_its_formula_says():
    boxes, priors = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[2.0, 0.0, 6.0, 4.0]])
    distance = 4 * 2**2 / 4**2 / 2
    found = {kind: similarity(boxes, priors, kind).item() for kind in KINDS[:3]}
    assert found["kullback_leibler"] == pytest.approx(1 / (1 + distance), rel=1e-5)
    assert found["kullback_leibler_10"] == pytest.approx(1 / (10 + distance), rel=1e-5)
    assert found["kullback_leibler_exp"] == pytest.approx(math.exp(-distance / 10), rel=1e-5)
