"""Dots, lines and red boxes."""

import numpy as np
import torch
from PIL import ImageDraw

from tinyscope.analysis.assignment_picture import SHOWN, WIDE, Panel, assignment_picture
from tinyscope.analysis.pictures import MISSED, OF_CLASSES
from tinyscope.types import Target

IMAGE = torch.zeros(3, 400, 300, dtype=torch.uint8)


def panel_of(boxes, owners, centers, levels) -> Panel:
    count = len(boxes)
    target = Target(
        torch.tensor(boxes).reshape(-1, 4),
        torch.zeros(count, dtype=torch.int64),
        torch.zeros(count, dtype=torch.bool),
    )
    return Panel(
        "mine",
        (4, 8),
        target,
        torch.tensor(owners, dtype=torch.int64),
        torch.tensor(centers).reshape(-1, 2).float(),
        torch.tensor(levels, dtype=torch.int64),
    )


def colors(picture, height):
    """Those of the picture above its legend."""
    pixels = np.asarray(picture)[36 : 36 + height].reshape(-1, 3)
    return {tuple(color) for color in np.unique(pixels, axis=0).tolist()}


def test_an_object_without_priors_is_shown_in_red_rather_than_many_others():
    boxes = [[float(x), 10.0, x + 4.0, 14.0] for x in range(10, 60, 8)] + [[280.0, 380, 284, 384]]
    owners = list(range(len(boxes) - 1))
    panel = panel_of(boxes, owners, [[b[0] + 2, 12.0] for b in boxes[:-1]], [0] * len(owners))
    factor = WIDE // SHOWN
    assert panel.poor.tolist() == [False] * len(owners) + [True]
    assert MISSED in colors(assignment_picture(IMAGE, [panel], "one"), factor * SHOWN)


def test_dots_have_the_color_of_their_level():
    panel = panel_of([[40.0, 40, 48, 48]], [0, 0], [[42.0, 42], [60, 60]], [1, 1])
    drawn = colors(assignment_picture(IMAGE[:, :64, :64], [panel, panel], "two"), 640)
    assert OF_CLASSES[1] in drawn
    assert OF_CLASSES[0] not in drawn
    assert MISSED not in drawn


def test_priors_that_share_a_center_are_counted_beside_it(monkeypatch):
    texts = []
    write = ImageDraw.ImageDraw.text

    def noted(draw, place, text, *args, **options):
        texts.append(text)
        return write(draw, place, text, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    centers = [[42.0, 42], [42, 42], [42, 42], [50, 50], [60, 60], [60, 60]]
    panel = panel_of([[40.0, 40, 48, 48]], [0] * 6, centers, [0, 0, 0, 0, 0, 1])
    drawn = assignment_picture(IMAGE[:, :64, :64], [panel], "one")
    assert [text for text in texts if text.isdigit()] == ["3", "2"]
    # Dots of two levels at one place lie side by side, so that both are seen.
    assert set(OF_CLASSES[:2]) <= colors(drawn, 640)


def test_a_window_without_objects_can_be_painted():
    picture = assignment_picture(IMAGE[:, :32, :32], [panel_of([], [], [], [])], "none")
    assert picture.width >= WIDE
