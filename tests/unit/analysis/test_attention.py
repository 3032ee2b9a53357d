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
    strength = found.strength
    # A ninth ignored pixel is an object's.
    assert strength.counts[:, 0].tolist() == [8, 0, 8 * 12 - 8 - 8]
    assert strength.own == [0.25]
    assert strength.other == [None]
    outside = (0.25 * (48 - 16) + 0.75 * 48) / 80
    assert strength.outside == [pytest.approx(outside)]
    assert found.picture[0, 0].tolist() == [0.25] * 6 + [0.75] * 6
    assert found.largest.tolist() == [0.75]


def test_objects_of_other_sizes_are_told_apart():
    # By rounded sides of 3, 15 and 10 px; the last shares two pixels with the first.
    boxes = torch.tensor([[1.5, 1.0, 4.0, 3.2], [0.0, 20.0, 15.0, 35.0], [3.0, 2.0, 13.0, 12.0]])
    found = AttentionOfImage((40, 40), boxes, NONE, 4)
    maps = [torch.full((1, 1), value) for value in (0.1, 0.2, 0.3, 0.4)]
    found.add((0, 0, 40, 40), *EVERYWHERE, [Glance(maps, (40,) * 4, (1.0, 1.0))])
    counts = found.strength.counts
    all_of_them = 9 + 225 + 100 - 2
    assert counts[0].tolist() == [all_of_them, 225 + 100, 0, 0]
    assert counts[1].tolist() == [0, 7, all_of_them, all_of_them]
    assert counts[2].tolist() == [1600 - all_of_them] * 4
    assert found.strength.own == [pytest.approx(0.1), pytest.approx(0.2), None, None]
    assert found.strength.other == [None, *(pytest.approx(x) for x in (0.2, 0.3, 0.4))]


def test_every_look_has_its_own_sizes():
    found = AttentionOfImage((20, 20), torch.tensor([[2.0, 2.0, 12.0, 12.0]]), NONE, 3)
    glances = [
        Glance([torch.full((1, 1), value)] * 3, (99,) * 3, (zoom, zoom))
        for value, zoom in ((0.2, 1.0), (0.6, 2.0))
    ]
    found.add((0, 0, 20, 20), *EVERYWHERE, glances)
    # 10 px are of the first two levels, and 20 px of all three.
    assert found.strength.counts[0].tolist() == [200, 200, 200 - 100]
    assert found.strength.own == [pytest.approx(x) for x in (0.4, 0.4, 0.6)]
    assert found.strength.other == [None, None, pytest.approx(0.2)]
    assert found.strength.outside == [pytest.approx(0.4)] * 3


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
    assert found.strength.counts.sum() == 0


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
    sums = torch.tensor([[2.0, 1.0], [1.0, 0.0], [4.0, 0.0]])
    strength = Strength(sums, torch.tensor([[4.0, 4.0], [5.0, 0.0], [40.0, 40.0]]))
    row = AttentionRow("a.png", "out/a.png", strength, [0.9, 0.5])
    return AttentionReport((4, 8), (row,), strength, truth, ("b.png: no image",))


def test_a_report_tells_levels_apart():
    lines = report(True).table.splitlines()
    titles = ["stride", "own", "size", "other", "size", "outside", "own/outside", "largest"]
    assert lines[2].split() == titles
    assert lines[3].split() == ["4", "0.500", "0.200", "0.100", "5.0", "0.900"]
    assert lines[4].split() == ["8", "0.250", "-", "0.000", "-", "0.500"]
    assert "b.png: no image" in report(True).table
    assert report(False).table.splitlines()[3].split() == ["4", "0.100", "0.900"]


def test_a_report_as_json_holds_every_image():
    values = json.loads(report(True).to_json())
    assert values["own_size"] == values["images"][0]["own_size"] == [0.5, 0.25]
    assert values["other_size"] == [0.2, None]
    alone = json.loads(report(False).to_json())
    assert alone["own_size"] is alone["images"][0]["other_size"] is None
    assert alone["outside"] == [0.1, 0.0]
