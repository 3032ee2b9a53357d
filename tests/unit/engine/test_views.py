import pytest
import torch

from tinyscope.engine.views import JOINS, VIEWS
from tinyscope.types import Detections

SIZE, PADDED = (7, 11), (16, 24)


def tile():
    pixels = torch.zeros(1, 3, *PADDED)
    pixels[..., : SIZE[0], : SIZE[1]] = torch.arange(1.0, 78).reshape(SIZE)
    return pixels


def found(*rows):
    numbers = torch.tensor(rows).reshape(-1, 5)
    return Detections(numbers[:, :4], numbers[:, 4], torch.zeros(len(numbers)).long())


def test_views_are_all_different_and_stand_in_the_order_that_is_said():
    shown = [view.show(tile(), SIZE)[0] for view in VIEWS]
    inside = [tuple(x[x > 0].tolist()) for x in shown]
    assert len(set(inside)) == 8
    plain = tile()[..., : SIZE[0], : SIZE[1]]
    for pixels, axes in zip(shown[:4], [(), (-1,), (-2,), (-1, -2)], strict=True):
        assert torch.equal(pixels[..., : SIZE[0], : SIZE[1]], plain.flip(axes))


@pytest.mark.parametrize("view", VIEWS)
def test_padding_stays_and_boxes_come_back_to_their_pixels(view):
    pixels, (height, width) = view.show(tile(), SIZE)
    assert (height, width) == (SIZE[::-1] if view.turned else SIZE)
    assert tuple(pixels.shape[-2:]) == (PADDED[::-1] if view.turned else PADDED)
    assert bool((pixels[..., :height, :width] > 0).all())
    assert int((pixels > 0).sum()) == 3 * height * width
    for value in (1, 11, 38, 67, 77):  # corners and within
        ((y, x),) = (pixels[0, 0] == value).nonzero().tolist()
        back = view.back(found((x, y, x + 1, y + 1, 0.5)), SIZE).boxes
        row, column = divmod(value - 1, SIZE[1])
        assert back.tolist() == [[column, row, column + 1, row + 1]]
    assert view.back(Detections.empty(), SIZE).boxes.shape == (0, 4)


@pytest.mark.parametrize("join", JOINS.values())
def test_views_that_show_nothing_and_equal_scores_are_joined(join):
    nothing, one, beside = found(), found((2.0, 2, 6, 6, 0.5)), found((3.0, 2, 7, 6, 0.5))
    assert len(join([nothing, nothing])) == 0
    assert join([nothing, one]).boxes.tolist() == [[2, 2, 6, 6]]
    assert len(join([one, beside])) == 1


def test_a_score_of_zero_has_no_part_in_a_mean():
    mean = JOINS["mean"]
    assert len(mean([found((2.0, 2, 6, 6, 0.0)), found()])) == 0
    joined = mean([found((2.0, 2, 6, 6, 0.0)), found((2.0, 2, 6, 5, 0.5))])
    assert (joined.boxes.tolist(), joined.scores.tolist()) == ([[2, 2, 6, 5]], [0.25])
