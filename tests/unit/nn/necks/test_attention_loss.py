import pytest
import torch

from tinyscope.nn.necks.attention_loss import attention_loss, dice_loss, mined_weights


def weights(attention, target, ignored=()):
    target = torch.tensor([target], dtype=torch.float32).view(1, 1, -1)
    left_out = torch.zeros_like(target, dtype=torch.bool)
    left_out[..., list(ignored)] = True
    attention = torch.as_tensor(attention, dtype=torch.float32).view(1, 1, -1)
    return mined_weights(attention, target, left_out).flatten().tolist()


def test_three_background_cells_are_mined_for_a_positive_one():
    attention = [0.1, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert weights(attention, [0.3, 0, 0, 0, 0, 0]) == [1, 1, 1, 1, 0, 0]


def test_equals_of_the_least_mined_cell_are_mined_too():
    attention = [0.1, 0.9, 0.8, 0.7, 0.7, 0.5]
    assert weights(attention, [1, 0, 0, 0, 0, 0]) == [1, 1, 1, 1, 1, 0]


def test_objects_of_a_wrong_size_weigh_3_and_ask_for_no_background():
    attention = torch.linspace(0, 1, 40)
    assert weights(attention, [-1, -0.25, *[0] * 38]) == [3, 3, *[0] * 36, 1, 1]


def test_without_positive_cells_a_twentieth_is_mined():
    found = weights(torch.linspace(0, 1, 65), [0] * 65)
    assert found == [0] * 62 + [1] * 3


def test_of_fewer_than_twenty_cells_all_background_is_taken():
    assert weights(torch.linspace(0, 1, 19), [-1, *[0] * 18]) == [3, *[1] * 18]
    assert weights(torch.linspace(0, 1, 19), [-1, *[0] * 18], ignored=[5])[5] == 0


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([1, 1, 1], [1, 1, 1]),
        ([1, 1, -1], [1, 1, 3]),
        ([-1, -1, -1], [3, 3, 3]),
        ([1, 1, 0], [1, 1, 1]),
    ],
)
def test_levels_without_enough_background_take_what_there_is(target, expected):
    assert weights([0.5, 0.5, 0.5], target) == expected


def test_more_objects_of_a_wrong_size_than_cells_left_take_all_background():
    assert weights(torch.linspace(0, 1, 40), [-1] * 39 + [0]) == [3] * 39 + [1]


def test_ignored_background_is_not_mined_and_objects_in_it_stay():
    attention = [0.1, 0.9, 0.8, 0.7, 0.6, 0.5]
    found = weights(attention, [1, 0, 0, 0, -1, 0], ignored=[0, 1, 4])
    assert found == [1, 0, 1, 1, 3, 1]
    assert weights([0.5] * 30, [0] * 30, ignored=range(30)) == [0] * 30


def test_images_of_a_batch_are_mined_by_themselves():
    attention, target = torch.rand(5, 6, 8), (torch.rand(5, 6, 8) < 0.05).float()
    target[3] = 0
    ignored = torch.rand(5, 6, 8) < 0.1
    together = mined_weights(attention, target, ignored)
    for i in range(5):
        alone = mined_weights(attention[i : i + 1], target[i : i + 1], ignored[i : i + 1])
        assert torch.equal(together[i], alone[0])


def test_cross_entropy_keeps_fractions_and_takes_wrong_sizes_for_background():
    logits, target = torch.tensor([0.3, -0.2, 2.0]), torch.tensor([0.25, -0.5, 0.0])
    found = attention_loss(*(x.view(1, 1, 3) for x in (logits, target, torch.tensor([1.0, 3, 0]))))
    p = logits.sigmoid()
    expected = -(0.25 * p[0].log() + 0.75 * (1 - p[0]).log()) - 3 * (1 - p[1]).log()
    torch.testing.assert_close(found, expected)


def test_dice_looks_at_positive_cells_alone():
    target = torch.tensor([[[0.2, 1.0, 0.0, -1.0]], [[0.0, 0.0, -1.0, 0.0]]])
    attention = torch.tensor([[[0.5, 0.9, 0.3, 0.3]], [[0.1, 0.2, 0.3, 0.4]]])
    expected = 1 - 2 * (1.4 + 1) / ((0.25 + 0.81 + 1) + (2 + 1))
    torch.testing.assert_close(dice_loss(attention, target), torch.tensor([expected, 0.0]))
    assert dice_loss(torch.ones(1, 1, 4), target[:1]).item() == 0
