import io
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data.images import BACKDROP, ImageCache, image_size, read_image
from tinyscope.data.locate import locate
from tinyscope.errors import DataError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GRAY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def planes(image):
    return image.permute(1, 2, 0).numpy()


def test_rgb_pixels_come_as_they_stand(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    assert np.array_equal(planes(image), RGB)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_gray_fills_three_equal_planes(tmp_path, suffix):
    Image.fromarray(GRAY).save(tmp_path / f"a{suffix}")
    assert np.array_equal(planes(read_image(tmp_path / f"a{suffix}")), np.dstack([GRAY] * 3))


def test_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(GRAY > 100).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png")[0].numpy(), (GRAY > 100) * 255)


def test_a_palette_gives_its_colors(tmp_path):
    picture = Image.fromarray((GRAY // 10).astype(np.uint8), mode=None).convert("P")
    picture.putpalette([channel for i in range(24) for channel in (i, 2 * i, 255 - i)])
    picture.save(tmp_path / "a.png")
    index = planes(read_image(tmp_path / "a.png"))[..., 0]
    assert np.array_equal(planes(read_image(tmp_path / "a.png"))[..., 2], 255 - index)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_the_backdrop(tmp_path, mode):
    alpha = np.where(np.arange(24).reshape(4, 6) < 12, 0, 255).astype(np.uint8)
    if mode == "RGBA":
        Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / "a.png")
        solid = RGB
    elif mode == "LA":
        Image.fromarray(np.dstack([GRAY, alpha])).save(tmp_path / "a.png")
        solid = np.dstack([GRAY] * 3)
    else:
        solid = np.where(alpha[..., None] == 255, [10, 20, 30], 0).astype(np.uint8)
        picture = Image.fromarray((alpha == 255).astype(np.uint8)).convert("P")
        picture.putpalette([0, 0, 0, 10, 20, 30])
        picture.save(tmp_path / "a.png", transparency=0)
    image = planes(read_image(tmp_path / "a.png"))
    assert np.array_equal(image[:2], np.broadcast_to(BACKDROP, (2, 6, 3)))
    assert np.array_equal(image[2:], solid[2:])


def test_half_transparent_pixels_are_blended_and_rounded(tmp_path):
    Image.fromarray(np.full((2, 2, 4), (255, 0, 100, 128), np.uint8)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", backdrop=(0, 255, 100))
    assert image[:, 0, 0].tolist() == [128, 127, 100]


def test_a_color_key_is_transparent(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", transparency=tuple(RGB[1, 1].tolist()))
    image = read_image(tmp_path / "a.png", backdrop=(1, 2, 3))
    assert image[:, 1, 1].tolist() == [1, 2, 3]
    assert image[:, 2, 2].tolist() == RGB[2, 2].tolist()


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (5, 3), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[:, 0, 0].tolist() == [255, 0, 0]


DEEP = (7000 + np.arange(64 * 64) // 16).astype(np.uint16).reshape(64, 64)


@pytest.mark.parametrize(("mode", "suffix"), [("<u2", ".png"), ("<u2", ".tif"), (">u2", ".tif")])
def test_sixteen_bits_are_stretched_between_percentiles(tmp_path, mode, suffix):
    Image.fromarray(DEEP.astype(mode)).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")[0].int()
    assert image.min() == 0
    assert image.max() == 255
    assert len(image.unique()) > 200
    assert (image.flatten().diff() >= 0).all()


def test_a_hot_pixel_does_not_darken_a_stretched_frame(tmp_path):
    hot = DEEP.copy()
    hot[5, 5] = 65535
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    Image.fromarray(hot).save(tmp_path / "b.png")
    plain, marked = read_image(tmp_path / "a.png")[0], read_image(tmp_path / "b.png")[0]
    assert marked[5, 5] == 255
    assert (plain.int() - marked.int()).abs().float().median() <= 1


def test_full_range_divides_by_257(tmp_path):
    Image.fromarray(np.array([[0, 257, 25700, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", sixteen_bit="full")[0].tolist() == [[0, 1, 100, 255]]


def test_a_constant_deep_image_is_black(tmp_path):
    Image.fromarray(np.full((3, 3), 9000, np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").unique().tolist() == [0]


def test_one_bright_target_on_a_constant_sky_is_seen(tmp_path):
    sky = np.full((200, 200), 9000, np.uint16)
    sky[70, 80] = 9010
    Image.fromarray(sky).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0].nonzero().tolist() == [[70, 80]]


def test_temperatures_with_holes_are_stretched(tmp_path):
    values = np.linspace(-20, 40, 100, dtype=np.float32).reshape(10, 10)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")[0]
    assert image[0, 0] == 0
    assert image.max() == 255
    with pytest.raises(DataError, match=r'beyond the 16 bits.*use "stretch"'):
        read_image(tmp_path / "a.tif", sixteen_bit="full")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_undone_and_the_header_agrees(tmp_path, suffix, turn):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # only the top left corner is white
    back = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[turn]
    stored = Image.fromarray(upright)
    for method in back:
        stored = stored.transpose(Image.Transpose(method))
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"a{suffix}"
    stored.save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    image = read_image(path)
    assert image_size(path) == (16, 32) == tuple(image.shape[-2:])
    assert image[:, :7, :7].min() > 200
    assert image[:, 9:].max() < 50
    assert image[:, :, 9:].max() < 50


def test_an_orientation_behind_the_pixels_of_a_png_is_found(tmp_path):
    plain, turned = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(plain, "PNG")
    Image.fromarray(RGB).save(turned, "PNG", exif=exif)
    start = turned.getvalue().index(b"eXIf") - 4
    length = struct.unpack(">I", turned.getvalue()[start : start + 4])[0]
    chunk = turned.getvalue()[start : start + 12 + length]
    assert struct.pack(">I", zlib.crc32(chunk[4:-4])) == chunk[-4:]
    path = tmp_path / "a.png"
    path.write_bytes(plain.getvalue()[:-12] + chunk + plain.getvalue()[-12:])
    assert image_size(path) == tuple(read_image(path).shape[-2:]) == (6, 4)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_does_not_lose_the_picture(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert image_size(tmp_path / "a.jpg") == tuple(read_image(tmp_path / "a.jpg").shape[-2:])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"part{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"part{suffix} is .*(truncated|format).*"):
        read_image(path)


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    for call in (read_image, image_size):
        with pytest.raises(DataError, match=r"none\.png: no such file; check the file names"):
            call(tmp_path / "none.png")
        with pytest.raises(DataError, match=r"empty\.png is empty \(0 bytes\); copy"):
            call(tmp_path / "empty.png")
        with pytest.raises(DataError, match=r"text\.png is not in a format"):
            call(tmp_path / "text.png")
        with pytest.raises(DataError, match=r"is a folder"):
            call(tmp_path)


def test_a_large_raster_is_read_in_silence_and_a_larger_one_refused(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "a.png").shape == (3, 4, 6)
    assert Image.MAX_IMAGE_PIXELS == 20
    with pytest.raises(DataError, match=r"6 x 4 pixels, more than the limit of 23;.*pixel_limit"):
        read_image(tmp_path / "a.png", pixel_limit=23)


def files(folder, count):
    for i in range(count):
        Image.fromarray(np.full((10, 10, 3), i, np.uint8)).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(count)]


def test_the_cache_keeps_the_latest_and_stays_within_its_limit(tmp_path):
    paths = files(tmp_path, 5)
    cache = ImageCache(limit_bytes=650)  # two images of 300 bytes
    kept = [cache(path) for path in paths[:2]]
    assert cache(paths[0]) is kept[0]
    cache(paths[2])  # pushes out 1, which was used longer ago
    assert (len(cache), cache.bytes) == (2, 600)
    assert cache(paths[0]) is kept[0]
    assert cache(paths[1]) is not kept[1]


def test_an_image_beyond_the_limit_is_read_but_not_kept(tmp_path):
    cache = ImageCache(limit_bytes=200)
    assert cache(files(tmp_path, 1)[0]).shape == (3, 10, 10)
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_gray_image_counts_once_in_the_cache(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    cache = ImageCache()
    cache(tmp_path / "a.png")
    assert cache.bytes == GRAY.size


def test_a_copy_for_another_process_starts_empty(tmp_path):
    cache = ImageCache(limit_bytes=1000)
    cache(files(tmp_path, 1)[0])
    other = pickle.loads(pickle.dumps(cache))
    assert (len(other), other.bytes, other.limit_bytes) == (0, 0, 1000)


def test_another_size_than_stated_is_an_error(tmp_path):
    cache = ImageCache()
    path = files(tmp_path, 1)[0]
    assert cache(path, (10, 10)).shape == (3, 10, 10)
    with pytest.raises(DataError, match=r"0\.png is 10 x 10 pixels.*annotations say 12 x 10"):
        cache(path, (10, 12))


def test_real_images_of_all_modes_have_the_stated_sizes(real_data):
    table = locate(real_data / "sirst_v2", "train")
    cache, modes = ImageCache(), set()
    for i in range(0, len(table), 5):
        path, size = table.path(i), tuple(int(n) for n in table.sizes[i])
        assert image_size(path) == tuple(cache(path, size).shape[-2:]) == size
        with Image.open(path) as image:
            modes.add(image.mode)
    assert modes >= {"L", "RGB"}
