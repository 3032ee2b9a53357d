import json

import pytest
import torch

from tinyscope.analysis.attention import (
    AttentionOfImage,
    AttentionReport,
    AttentionRow,
    Glance,
    Strength,
    covered_pixels,
)

EVERYWHERE = (torch.tensor([-torch.inf] * 2), torch.tensor([torch.inf] * 2))
NONE = torch.zeros(0, 4)


def test_points_of_a_window_have_the_attention_of_their_cells():
    fine, coarse = torch.tensor([[0.1, 0.2], [0.3, 0.4]]), torch.tensor([[0.9]])
    glance = Glance([fine, coarse], (4, 8), (1.0, 1.0))
    found = glance.at(torch.tensor([0.5, 3.5, 4.5]), torch.tensor([3.5, 4.5]))
    assert found[0].tolist() == fine[[0, 0, 1]][:, [0, 1]].tolist()
    assert found[1].eq(0.9).all()


def test_an_enlarged_window_has_more_cells_of_its_pixels():
    glance = Glance([torch.tensor([[0.1, 0.2, 0.3, 0.4]])], (4,), (1.0, 2.0))
    found = glance.at(torch.tensor([1.0]), torch.tensor([0.5, 2.5, 4.5, 7.5]))
    torch.testing.assert_close(found[0, 0], torch.tensor([0.1, 0.2, 0.3, 0.4]))


def test_every_pixel_is_counted_once_in_or_outside_of_boxes():
    boxes, ignored = torch.tensor([[2.0, 2.0, 4.0, 6.0]]), torch.tensor([[0.0, 0.0, 3.0, 3.0]])
    found = AttentionOfImage((8, 12), boxes, ignored, 1)
    left = Glance([torch.full((2, 2), 0.25)], (4,), (1.0, 1.0))
    right = Glance([torch.full((2, 2), 0.75)], (4,), (1.0, 1.0))
    seam = torch.tensor([6.0, torch.inf])
    found.add((0, 0, 8, 8), EVERYWHERE[0], seam, [left])
    found.add((4, 0, 12, 8), torch.tensor([6.0, -torch.inf]), EVERYWHERE[1], [right])
    strength = found.sums
    assert strength.counts.tolist() == [8, 8 * 12 - 8 - 8]  # a ninth ignored pixel is an object's
    assert strength.inside == [0.25]
    outside = (0.25 * (48 - 16) + 0.75 * 48) / 80
    assert strength.outside == [pytest.approx(outside)]
    assert found.picture[0, 0].tolist() == [0.25] * 6 + [0.75] * 6
    assert found.largest.tolist() == [0.75]


def test_looks_at_one_window_are_averaged():
    found = AttentionOfImage((4, 4), NONE, NONE, 1)
    glances = [Glance([torch.full((1, 1), value)], (4,), (1.0, 1.0)) for value in (0.2, 0.4)]
    found.add((0, 0, 4, 4), *EVERYWHERE, glances)
    torch.testing.assert_close(found.picture, torch.full((1, 4, 4), 0.3))


def test_a_picture_is_no_larger_than_a_panel_and_keeps_the_strongest_cell():
    found = AttentionOfImage((400, 4000), NONE, NONE, 1)
    values = torch.zeros(100, 1000)
    values[50, 123] = 1.0
    found.add((0, 0, 4000, 400), *EVERYWHERE, [Glance([values], (4,), (1.0, 1.0))])
    assert found.picture.shape == (1, 80, 800)
    assert found.picture.max() == 1
    assert (found.picture > 0).sum() <= 4


def test_a_window_without_a_core_adds_nothing():
    found = AttentionOfImage((8, 8), NONE, NONE, 1)
    glance = Glance([torch.ones(1, 1)], (8,), (1.0, 1.0))
    found.add((0, 0, 8, 8), torch.tensor([8.0, 8.0]), EVERYWHERE[1], [glance])
    assert found.sums.counts.sum() == 0


def test_boxes_cover_the_pixels_that_they_touch():
    boxes = torch.tensor(
        [[1.5, 1.0, 3.0, 2.1], [2.0, 0.0, 3.0, 9.0], [-5.0, -5.0, -1.0, 9.0], [4.0, 4.0, 4.0, 4.0]]
    )
    whole = torch.zeros(6, 7, dtype=torch.bool)
    whole[1:3, 1:3] = True
    whole[:, 2] = True
    assert torch.equal(covered_pixels(boxes, (0, 6, 0, 7)), whole)
    assert torch.equal(covered_pixels(boxes, (1, 5, 2, 6)), whole[1:5, 2:6])
    assert not covered_pixels(NONE, (0, 2, 0, 2)).any()


def report(truth):
    strength = Strength(torch.tensor([[2.0, 1.0], [4.0, 0.0]]), torch.tensor([4.0, 40.0]))
    row = AttentionRow("a.png", "out/a.png", strength.inside, strength.outside, [0.9, 0.5])
    return AttentionReport((4, 8), (row,), strength, truth, ("b.png: no image",))


def test_a_report_tells_levels_apart():
    lines = report(True).table.splitlines()
    assert lines[2].split() == ["stride", "inside", "boxes", "outside", "ratio", "largest"]
    assert lines[3].split() == ["4", "0.500", "0.100", "5.0", "0.900"]
    assert lines[4].split() == ["8", "0.250", "0.000", "-", "0.500"]
    assert "b.png: no image" in report(True).table
    assert report(False).table.splitlines()[3].split() == ["4", "0.100", "0.900"]


def test_a_report_as_json_holds_every_image():
    values = json.loads(report(True).to_json())
    assert values["inside"] == values["images"][0]["inside"] == [0.5, 0.25]
    assert json.loads(report(False).to_json())["inside"] is None


def test_without_a_pixel_inside_there_is_no_mean():
    assert Strength(torch.zeros(2, 1), torch.tensor([0.0, 3.0])).inside == [None]
