import numpy as np
import pytest
import torch

from tinyscope.analysis.attention_picture import HEAT, attention_picture, heat, overlaid
from tinyscope.analysis.pictures import FOUND, Layer

TITLES = ("image", "one", "two")


def test_attention_covers_gray_the_more_the_stronger_it_is():
    image = torch.full((3, 2, 3), 100, dtype=torch.uint8)
    attention = torch.tensor([[0.0, 0.25, 1.0]]).expand(2, 3)
    found = overlaid(image, attention).permute(1, 2, 0)[0].float().numpy()
    np.testing.assert_allclose(found[0], 60)
    np.testing.assert_allclose(found[1], 0.5 * 60 + 0.5 * HEAT[1], atol=1)
    np.testing.assert_allclose(found[2], HEAT[-1])


def test_colors_run_from_the_first_to_the_last():
    np.testing.assert_allclose(heat(np.array([0, 0.5, 1], dtype=np.float32)), HEAT[[0, 2, 4]])


@pytest.mark.parametrize("size", [(400, 500), (10, 16), (50, 800)])
def test_levels_stand_beside_their_image(size):
    image = torch.zeros(3, *size, dtype=torch.uint8)
    image[:, : size[0] // 2] = 200
    picture = np.asarray(attention_picture(image, torch.zeros(2, *size), TITLES))
    factor = max(1, 320 // max(size))
    height, width = size[0] * factor, size[1] * factor
    wide = width > 3 * height
    assert picture.shape[1] == (1 if wide else 3) * (width + 4)
    np.testing.assert_array_equal(picture[18 : 18 + height // 2, :width], 200)
    next_one = (18 + height + 4 + 18, 0) if wide else (18, width + 4)
    y, x = next_one
    np.testing.assert_array_equal(picture[y : y + height // 2, x : x + width], 120)


def test_boxes_are_drawn_on_every_panel_and_counted():
    image = torch.zeros(3, 400, 400, dtype=torch.uint8)
    box = Layer("objects", torch.tensor([[100.0, 100.0, 200.0, 200.0]]), FOUND)
    plain = np.asarray(attention_picture(image, torch.zeros(2, 400, 400), TITLES))
    boxed = np.asarray(attention_picture(image, torch.zeros(2, 400, 400), TITLES, [box]))
    changed = (plain != boxed).any(axis=2)
    for panel in range(3):
        assert changed[18:418, panel * 404 : panel * 404 + 400].any()
    assert changed[-18:].any()
