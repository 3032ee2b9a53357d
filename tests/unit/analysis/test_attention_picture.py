import numpy as np
import pytest
import torch
from PIL import ImageDraw

from tinyscope.analysis.attention_picture import (
    HEAT,
    HIDING,
    WIDEST,
    attention_picture,
    heat,
    overlaid,
)
from tinyscope.analysis.pictures import FOUND, IGNORED, Layer

TITLES = ("image", "one", "two")


def test_attention_covers_gray_the_more_the_stronger_it_is():
    image = torch.full((3, 2, 3), 100, dtype=torch.uint8)
    attention = torch.tensor([[0.0, 0.25, 1.0]]).expand(2, 3)
    found = overlaid(image, attention).permute(1, 2, 0)[0].float().numpy()
    np.testing.assert_allclose(found[0], 60)
    for at, strength, color in ((1, 0.25, HEAT[1]), (2, 1.0, HEAT[-1])):
        share = HIDING * strength**0.5
        np.testing.assert_allclose(found[at], (1 - share) * 60 + share * color, atol=1)


def test_the_strongest_attention_leaves_the_image_to_be_seen():
    image = torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 2)
    dark, bright = overlaid(image, torch.ones(1, 2)).float().mean(dim=0)[0].tolist()
    assert bright - dark > 25


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
    assert boxed.shape[0] == plain.shape[0] + 18  # a line of the legend
    changed = (plain != boxed[:-18]).any(axis=2)
    for panel in range(3):
        assert changed[18:418, panel * 404 : panel * 404 + 400].any()
    assert not changed[-18:].any()  # the colors of attention
    assert boxed[-18:].any(axis=(0, 2)).sum() > 18


@pytest.mark.parametrize("size", [(301, 5), (5, 301), (1, 1), (301, 40)])
def test_titles_and_legend_are_whole_beside_small_images(size):
    titles = ("some image, 5 x 301", *(f"stride {s}, own size 0.123, outside 0.1" for s in (4, 8)))
    image, attention = torch.zeros(3, *size, dtype=torch.uint8), torch.zeros(2, *size)
    layers = [Layer(name, torch.zeros(999, 4), IGNORED) for name in ("ignored", "objects")]
    drawn = []

    class Recorded(ImageDraw.ImageDraw):
        def text(self, place, text, **options):
            drawn.append((self.im.size, place, text, options["font"].getlength(text)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageDraw, "Draw", Recorded)
        picture = attention_picture(image, attention, titles, layers)
    assert {*titles, "attention 0", "1", "ignored 999"} < {text for _, _, text, _ in drawn}
    for (width, height), (x, y), _, length in drawn:
        assert x + length <= width <= picture.width
        assert y + 9 <= height
    heads = [(x, y, x + length) for _, (x, y), text, length in drawn if text in titles]
    for x, y, _ in heads:
        assert not [1 for start, line, end in heads if line == y and start < x <= end]


def test_long_titles_and_wide_images_make_no_wider_pictures():
    image, attention = torch.zeros(3, 9, 9, dtype=torch.uint8), torch.zeros(1, 9, 9)
    assert attention_picture(image, attention, ("x" * 500 + ".png", "4")).width < 2 * 330
    image, attention = torch.zeros(3, 400, 800, dtype=torch.uint8), torch.zeros(4, 400, 800)
    picture = attention_picture(image, attention, ("a", "4", "8", "16", "32"))
    assert 2 * 800 < picture.width <= WIDEST
    assert picture.height > 2 * 400
