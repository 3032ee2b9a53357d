"""`tinyscope analyze attention`, from Python and from the terminal."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import nn
from torch.nn import functional

from tinyscope.cli.main import main
from tinyscope.detectors.build import build
from tinyscope.engine.analyze_attention import analyze_attention
from tinyscope.engine.detector import Detector
from tinyscope.errors import DataError, SettingsError
from tinyscope.nn.necks.sspnet import STRIDES, AttentionPyramid, SSPNet
from tinyscope.settings import load_recipe

SMALL = [
    "model.backbone={name: resnet, depth: 18, width: 8}",
    "model.neck={name: sspnet, channels: 8, coarsest: 64}",
]
BOX = (64, 32, 96, 96)  # x1 y1 x2 y2, whole cells of every level


class Mirror(nn.Module):
    """A model whose attention is how bright an image is."""

    def __init__(self):
        super().__init__()
        self.neck = SSPNet([4] * 4, STRIDES, channels=4, coarsest=64)
        self.shapes = []

    def forward(self, images):
        self.shapes.append(tuple(images.shape))
        gray = images[:, :1].float() / 255
        maps = tuple(functional.avg_pool2d(gray, stride) for stride in STRIDES)
        return SimpleNamespace(pyramid=AttentionPyramid((), (), maps, maps))

    def decode_looks(self, looks, sizes, score_threshold=None):
        raise AssertionError("nothing is to be decoded")


def mirror():
    recipe = load_recipe("quick/small", ["predict.precision='32'"])
    return Detector(Mirror(), recipe, ("object",))


def fresh(overrides):
    recipe = load_recipe("quick/faster_rcnn", overrides)
    return Detector(build(recipe.model, 1), recipe, ("object",))


@pytest.fixture
def image(tmp_path):
    """A picture with one bright box, and its truth."""
    pixels = np.zeros((160, 192, 3), dtype=np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 204
    path = tmp_path / "images" / "bright.png"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path)
    content = {
        "images": [{"id": 1, "file_name": "bright.png", "width": 192, "height": 160}],
        "categories": [{"id": 1, "name": "lamp"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0}],
    }
    sides = [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]
    content["annotations"][0] |= {"bbox": sides, "area": sides[2] * sides[3]}
    (path.parent / "truth.json").write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {"tile": 0},
        {"tile": 96, "overlap": 32},
        {"tile": (64, 128), "overlap": 0, "batch": 3},
        {"tile": 128, "overlap": 64, "tiling": "clipped"},
        {"tile": 0, "zooms": (1.0, 2.0)},
        {"tile": 0, "scale": 2.0},
    ],
)
def test_attention_lies_where_the_model_puts_it_however_it_looks(image, tmp_path, settings):
    truth = image.parent / "truth.json"
    report = analyze_attention(mirror(), [image], tmp_path / "out", truth=truth, **settings)
    # Enlarging softens the borders of the box.
    exact = settings.get("scale", 1) == 1 and "zooms" not in settings
    tolerance = 1e-4 if exact else 0.05
    factor = settings.get("scale", 1)
    # 32 x 64 px is of all levels but the first, 64 x 128 of the last two.
    looks = [factor * zoom for zoom in settings.get("zooms", (1.0,))]
    own = [0, looks.count(1), len(looks), len(looks)]
    other = [len(looks) - n for n in own]
    for means, counts in ((report.total.own, own), (report.total.other, other)):
        assert means == [pytest.approx(0.8, abs=tolerance) if n else None for n in counts]
    assert report.total.outside == pytest.approx([0.0] * 4, abs=tolerance)  # nor in the padding
    assert report.rows[0].largest == pytest.approx([0.8] * 4, abs=tolerance)
    area = 2048 * factor**2
    assert report.total.counts[0].tolist() == [area * n for n in own]
    assert report.total.counts[2].tolist() == [(160 * 192 * factor**2 - area) * len(looks)] * 4
    assert (tmp_path / "out" / "pictures" / "bright.png").is_file()


def test_memory_is_that_of_tiles(image, tmp_path):
    detector = mirror()
    analyze_attention(detector, [image], tmp_path, tile=64, overlap=0, batch=2)
    assert {shape[-2:] for shape in detector.model.shapes} == {(64, 64)}
    assert max(shape[0] for shape in detector.model.shapes) <= 2


def test_images_are_not_replaced_by_their_pictures(image, tmp_path):
    before = image.read_bytes()
    analyze_attention(mirror(), [image.parent], image.parent, tile=0)
    picture = image.parent / "pictures" / "bright.png"
    assert image.read_bytes() == before != picture.read_bytes()
    before = picture.read_bytes()
    for paths in ([image.parent], [picture]):  # the first holds pictures/ as well
        with pytest.raises(DataError, match=r"bright\.png: is one of the images and would be repl"):
            analyze_attention(mirror(), paths, image.parent, tile=0)
        assert picture.read_bytes() == before


@pytest.mark.parametrize("name", ["views", "merge", "limit", "score_threshold"])
def test_settings_of_what_is_found_are_unknown(image, tmp_path, name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        analyze_attention(mirror(), [image], tmp_path, **{name: None})


def test_the_neck_is_asked_for_attention_and_not_for_its_name(image, tmp_path):
    class Other(Mirror):
        def forward(self, images):
            gray = images[:, :1].float() / 255
            maps = tuple(functional.avg_pool2d(gray, stride) for stride in (8, 16))
            pyramid = AttentionPyramid((), (), maps, maps, attention_strides=(8, 16))
            return SimpleNamespace(pyramid=pyramid)

    model = Other()
    model.neck = nn.Identity()
    model.strides = (8, 16)
    detector = Detector(model, load_recipe("quick/small", ["predict.precision='32'"]), ("object",))
    report = analyze_attention(detector, [image], tmp_path, tile=0)
    assert report.strides == (8, 16)
    assert report.rows[0].largest == pytest.approx([0.8] * 2, abs=1e-4)


def test_without_truth_all_is_outside(image, tmp_path):
    report = analyze_attention(mirror(), [image], tmp_path / "out", tile=0)
    assert report.total.own == report.total.other == [None] * 4
    share = 2048 / (160 * 192)
    assert report.total.outside == pytest.approx([0.8 * share] * 4, rel=1e-4)


def test_the_command_paints_a_checkpoint(image, tmp_path, capsys):
    fresh(SMALL).save(tmp_path / "a.ckpt")
    arguments = ["analyze", "attention", str(tmp_path / "a.ckpt"), str(image.parent)]
    arguments += ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "a.json")]
    arguments += ["--tile", "96", "--overlap", "32", "--truth", str(image.parent / "truth.json")]
    arguments += ["--tiling", "trimmed"]
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code in (0, None)
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["strides"] == [4, 8, 16, 32]
    assert all(0 < value < 1 for value in written["outside"])
    assert [value is None for value in written["own_size"]] == [True, False, False, False]
    assert (tmp_path / "out" / "pictures" / "bright.png").is_file()
    shown = capsys.readouterr().out
    assert "own/outside" in shown
    assert f"pictures -> {tmp_path / 'out' / 'pictures'}" in shown


def test_a_neck_without_attention_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="its neck FPN makes no attention maps; train a recipe"):
        analyze_attention(fresh(SMALL[:1]), ["nothing.png"], tmp_path)


def test_images_that_cannot_be_read_are_reported(image, tmp_path):
    broken = image.parent / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        analyze_attention(mirror(), [image.parent], tmp_path, tile=0)
    report = analyze_attention(mirror(), [image.parent], tmp_path, tile=0, keep_going=True)
    assert len(report.rows) == len(report.failed) == 1
    assert "broken.png" in report.table
