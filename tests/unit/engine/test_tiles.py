import pytest
import torch
from torchvision.transforms.v2.functional import resize

from tinyscope.data.images import BACKDROP
from tinyscope.engine.tiles import TileBatches, enlarged
from tinyscope.tiling.cut import grid_windows

LAYOUTS = {
    "planes": lambda image: image,
    "interleaved": lambda image: image.permute(1, 2, 0).contiguous().permute(2, 0, 1),
    "gray": lambda image: image[:1].expand(3, -1, -1),
    "part of a larger one": lambda image: torch.cat([image, image], dim=2)[:, :, 31:171],
}


@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("tile", "batch"), [(32, 1), (32, 3), (32, 100), (30, 4), (200, 4)])
def test_batches_hold_the_pixels_of_the_windows_in_order(views, layout, tile, batch, turned):
    rng = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 100, 140), dtype=torch.uint8, generator=rng)
    image = layout(image)
    windows = grid_windows((100, 140), (tile, tile), 10)[:: -1 if turned else 1]
    batches = TileBatches(batch, 8, views=views)
    for _ in range(2):  # the buffer is used again
        done = 0
        for tiles in batches(image, windows):
            assert 1 <= len(tiles) <= batch
            assert tiles.shape[2] % 8 == tiles.shape[3] % 8 == 0
            for pixels in tiles:
                x1, y1, x2, y2 = windows[done].tolist()
                assert torch.equal(pixels[:, : y2 - y1, : x2 - x1], image[:, y1:y2, x1:x2])
                fill = torch.tensor(BACKDROP, dtype=torch.uint8)[:, None, None]
                assert (pixels[:, y2 - y1 :] == fill).all()
                assert (pixels[:, :, x2 - x1 :] == fill).all()
                done += 1
        assert done == len(windows)


def test_even_windows_are_views_and_take_no_memory():
    image = torch.zeros(3, 64, 640, dtype=torch.uint8)
    tiles = next(TileBatches(8, 32, views=True)(image, grid_windows((64, 640), (64, 64), 32)))
    assert len(tiles) == 8
    assert tiles.untyped_storage().data_ptr() == image.untyped_storage().data_ptr()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_enlarged_tiles_are_of_rounded_size_and_padded_at_the_right_and_bottom(layout):
    rng = torch.Generator().manual_seed(0)
    image = layout(torch.randint(0, 256, (3, 40, 56), dtype=torch.uint8, generator=rng))
    tiles = image[None]
    size = (int(image.shape[1]) - 3, int(image.shape[2]) - 4)  # the rest was padded
    shown, seen = enlarged(tiles, size, 1.5, 16)
    assert seen == (round(size[0] * 1.5), round(size[1] * 1.5))
    assert all(
        side % 16 == 0 and side - 16 < of for side, of in zip(shown.shape[2:], seen, strict=True)
    )
    expected = resize(tiles[..., : size[0], : size[1]], list(seen))
    assert torch.equal(shown[..., : seen[0], : seen[1]], expected)
    fill = torch.tensor(BACKDROP, dtype=torch.uint8)[:, None, None]
    assert (shown[..., seen[0] :, :] == fill).all()
    assert (shown[..., seen[1] :] == fill).all()


def test_tiles_that_need_neither_are_handed_on():
    tiles = torch.zeros(2, 3, 32, 48, dtype=torch.uint8)
    shown, seen = enlarged(tiles, (30, 47), 1.0, 16)
    assert shown is tiles
    assert seen == (30, 47)


@pytest.mark.parametrize(("size", "zoom", "small"), [((2, 9), 0.1, (1, 1)), ((3, 1), 0.5, (2, 1))])
def test_a_sliver_shrinks_to_a_pixel_at_least(size, zoom, small):
    shown, seen = enlarged(torch.full((1, 3, *size), 90, dtype=torch.uint8), size, zoom, 1)
    assert seen == small
    assert shown.dtype == torch.uint8
    assert shown.tolist() == torch.full((1, 3, *small), 90).tolist()
