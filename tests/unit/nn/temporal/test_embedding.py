import math

import pytest
import torch

from tinyscope.errors import SettingsError
from tinyscope.nn.temporal import AGGREGATORS
from tinyscope.nn.temporal.embedding import EmbeddingAggregator


def maps(*shape):
    return torch.randn(*shape)


def test_first_weights_are_those_of_published_code():
    made = EmbeddingAggregator(64)
    deviation = math.sqrt(2 / (64 * 9))
    assert made.convolutions[0].weight.detach().std() == pytest.approx(deviation, rel=0.02)
    assert (made.convolutions[0].bias == 0).all()


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_weights_are_shares_of_the_frames(convolutions):
    made = AGGREGATORS.build(
        {"name": "embedding", "convolutions": convolutions, "kernel": 1}, channels=6
    )
    weights = made.weights(made.embed(maps(2, 6, 4, 5)), maps(2, 3, 6, 4, 5))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 4, 5))
    assert weights.max() / weights.min() <= math.e**2 + 1e-4


def test_a_frame_like_the_key_weighs_most_and_length_does_not_matter():
    made = EmbeddingAggregator(6)
    key = maps(1, 6, 4, 5)
    others = torch.stack([3 * key, maps(1, 6, 4, 5), -key], dim=1)
    weights = made.weights(key, others)
    assert (weights[:, 0] >= weights[:, 1]).all()
    torch.testing.assert_close(weights[:, 0] / weights[:, 2], torch.full((1, 4, 5), math.e**2))


def test_counted_frames_are_frames_standing_there_so_often():
    made = EmbeddingAggregator(5)
    key, others = maps(2, 5, 3, 4), maps(2, 3, 5, 3, 4)
    counts = torch.tensor([[2.0, 1.0, 3.0], [1.0, 2.0, 3.0]])
    found = made(key, others, counts)
    for i in range(2):
        repeated = others[i].repeat_interleave(counts[i].long(), dim=0)
        torch.testing.assert_close(found[i : i + 1], made(key[i : i + 1], repeated[None]))


def test_frames_that_fill_up_a_list_change_nothing():
    made = EmbeddingAggregator(5)
    key, others = maps(1, 5, 3, 4), maps(1, 3, 5, 3, 4)
    found = made(key, others, torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(found, made(key, others[:, :2]))


def test_the_key_frame_only_steers():
    made = EmbeddingAggregator(5)
    key, other = maps(1, 5, 3, 4), maps(1, 1, 5, 3, 4)
    torch.testing.assert_close(made(key, other), other[:, 0])


def test_empty_maps_give_numbers_and_gradients():
    made = EmbeddingAggregator(5)
    key, others = torch.zeros(1, 5, 6, 6), torch.zeros(1, 2, 5, 6, 6)
    others[0, 1, :, :2] = torch.randn(5, 2, 6)
    key.requires_grad_()
    found = made(key, others)
    assert found.isfinite().all()
    torch.testing.assert_close(found[..., 4:, :], torch.zeros(1, 5, 2, 6))
    found.square().sum().backward()
    assert key.grad.isfinite().all()
    for parameter in made.parameters():
        assert parameter.grad.abs().max() < 1e3


def test_half_precision_is_kept_and_weighed_in_float32():
    made = EmbeddingAggregator(5).bfloat16()
    key, others = maps(1, 5, 3, 4).bfloat16(), maps(1, 2, 5, 3, 4).bfloat16()
    assert made(key, others).dtype == torch.bfloat16
    assert made.weights(key, others).dtype == torch.float32


def test_an_even_kernel_is_refused():
    with pytest.raises(SettingsError, match="kernel 2 must be odd"):
        EmbeddingAggregator(4, kernel=2)
