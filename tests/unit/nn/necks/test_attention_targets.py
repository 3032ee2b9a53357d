import numpy as np
import pytest
import torch
from torch.nn import functional

from tinyscope.nn.necks import attention_targets as module
from tinyscope.nn.necks.attention_targets import attention_targets, covered, is_of_level

PAINTINGS = ("hard", "soft", "soft_asymmetric")
CANVAS = (96, 128)
SIZES = [(24, 32), (12, 16), (6, 8), (3, 4)]


def boxes_in(canvas, count, largest=60.0):
    corner = torch.rand(count, 2) * torch.tensor([canvas[1], canvas[0]])
    boxes = torch.cat([corner, corner + torch.rand(count, 2) ** 2 * largest], dim=1)
    return boxes.minimum(torch.tensor([canvas[1], canvas[0]] * 2))


def painted(boxes, canvas, sizes, painting):
    """The same the long way: a canvas of all pixels, box by box, then shrunk."""
    maps = []
    for level, size in enumerate(sizes):
        pixels = np.zeros(canvas)
        for x1, y1, x2, y2 in boxes.double().tolist():
            left, top = int(x1), int(y1)
            right = min(int(np.ceil(x2)), canvas[1] - 1)
            bottom = min(int(np.ceil(y2)), canvas[0] - 1)
            width, height = right - left, bottom - top
            if width <= 0 or height <= 0:
                continue
            side, low = (width * height) ** 0.5, 4 * 2**level
            high = float("inf") if level == len(sizes) - 1 else 8 * low
            good = low < side < high or (level == 0 and side < low)
            if painting == "hard":
                pixels[top:bottom, left:right] = 1 if good else -1
            elif good:
                add = 1 if painting == "soft" else 0
                k, m = np.arange(1, width + 1), np.arange(1, height + 1)
                across = np.minimum(k, width + add - k) / np.maximum(k, width + add - k)
                down = np.minimum(m, height + add - m) / np.maximum(m, height + add - m)
                pixels[top:bottom, left:right] = np.sqrt(down[:, None] * across)
        whole = torch.from_numpy(pixels)[None, None]
        maps.append(functional.interpolate(whole, size, mode="bilinear")[0, 0].float())
    return maps


@pytest.mark.parametrize("painting", PAINTINGS)
@pytest.mark.parametrize("sizes", [SIZES, [(24, 32), (11, 15), (7, 9), (1, 1)]])
def test_maps_are_those_of_a_canvas_that_is_painted_and_shrunk(painting, sizes):
    images = [boxes_in(CANVAS, n, largest) for n, largest in ((40, 30.0), (0, 1.0), (12, 120.0))]
    found = attention_targets(images, CANVAS, sizes, painting)
    for i, boxes in enumerate(images):
        for level, expected in enumerate(painted(boxes, CANVAS, sizes, painting)):
            tolerance = 1e-6 if sizes is SIZES else 1e-5
            torch.testing.assert_close(found[level][i], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("painting", PAINTINGS)
def test_many_boxes_are_painted_in_turns(painting, monkeypatch):
    images = [boxes_in(CANVAS, 30), boxes_in(CANVAS, 30)]
    at_once = attention_targets(images, CANVAS, SIZES, painting)
    monkeypatch.setattr(module, "PIXELS", 50)
    for one, other in zip(attention_targets(images, CANVAS, SIZES, painting), at_once, strict=True):
        assert torch.equal(one, other)


def test_later_boxes_are_painted_over_earlier_ones():
    large, small = [0.0, 0.0, 90.0, 90.0], [20.0, 20.0, 44.0, 44.0]
    under, over = (
        attention_targets([torch.tensor(order)], CANVAS, SIZES, "hard")[0][0]
        for order in ([large, small], [small, large])
    )
    assert under[7, 7] == 1
    assert over[7, 7] == -1
    assert under[1, 1] == over[1, 1] == -1


@pytest.mark.parametrize(
    ("side", "of"),
    [
        (1, (0,)),
        (3, (0,)),
        (4, ()),
        (5, (0,)),
        (8, (0,)),
        (9, (0, 1)),
        (16, (0, 1)),
        (17, (0, 1, 2)),
        (32, (1, 2)),
        (33, (1, 2, 3)),
        (64, (2, 3)),
        (128, (3,)),
        (1000, (3,)),
    ],
)
def test_a_size_is_of_these_levels(side, of):
    area = torch.tensor([side * side])
    assert tuple(level for level in range(4) if is_of_level(area, level)) == of


@pytest.mark.parametrize("painting", PAINTINGS)
def test_boxes_beyond_the_canvas_are_seen_as_far_as_they_reach_in(painting):
    beyond = torch.tensor([[-9.0, -9.0, 20.0, 20.0], [200.0, 5.0, 300.0, 9.0]])
    within = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
    for one, other in zip(
        attention_targets([beyond], CANVAS, SIZES, painting),
        attention_targets([within], CANVAS, SIZES, painting),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_soft_map_is_1_in_the_middle_and_falls_to_the_sides():
    row = attention_targets([torch.tensor([[0.0, 0.0, 30.0, 30.0]])], CANVAS, SIZES, "soft")[0][0]
    diagonal = row.diagonal()[:8]
    assert diagonal.argmax() in (3, 4)
    assert (diagonal.diff()[:3] > 0).all()
    assert (diagonal.diff()[4:] < 0).all()
    assert 0 < diagonal[0] < 0.1


def test_a_cell_is_covered_by_any_of_its_pixels():
    region = torch.tensor([[0.0, 0.0, 2.0, 2.0]])  # one of the four pixels of the first cell
    fine, *coarse = covered([region, region[:0]], CANVAS, SIZES)
    assert fine[0].nonzero().tolist() == [[0, 0]]
    assert not fine[1].any()
    assert not any(x.any() for x in coarse)
