"""Image files to pictures of what a detector's attention sees in them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from tinyscope.analysis.attention import (
    AttentionOfImage,
    AttentionReport,
    AttentionRow,
    Glance,
    Strength,
)
from tinyscope.analysis.attention_picture import attention_picture
from tinyscope.analysis.pictures import FOUND, IGNORED, Layer
from tinyscope.detectors.video import image_detector
from tinyscope.engine.detector import Detector, load_trained
from tinyscope.engine.images import each_image, find_images
from tinyscope.engine.machine import autocast
from tinyscope.engine.outputs import picture_paths, write_picture
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.errors import SettingsError
from tinyscope.formats.coco import read_annotations
from tinyscope.nn.necks.sspnet import AttentionPyramid
from tinyscope.settings import Precision, Tile
from tinyscope.tiling import Tiling
from tinyscope.tiling.ownership import cores
from tinyscope.types import Target


def analyze_attention(
    checkpoint: str | Path | Detector,
    paths: Sequence[str | Path],
    out: str | Path,
    tile: Tile | None = None,
    overlap: int | None = None,
    truth: str | Path | None = None,
    *,
    tiling: Tiling | None = None,
    scale: float | None = None,
    zooms: Sequence[float] | None = None,
    batch: int | None = None,
    precision: Precision | None = None,
    keep_going: bool = False,
) -> AttentionReport:
    """Paints the attention of all levels over images, and says how strong it is.

    Images are looked through as `predict` does, but never mirrored: whole or in tiles, each of
    which answers for its core, and at all of `zooms`, whose mean is painted. Settings are those of
    the recipe's `predict`, unless given.

    Args:
        checkpoint: Such as a run's best.ckpt; or a detector. Its neck must make attention maps,
            as `sspnet` does.
        paths: Images, folders, or patterns such as "a/*.png".
        out: Folder that receives pictures/; made where it is missing.
        tile: Side, or (height, width), of the tiles that an image is cut into, pixels; 0 takes the
            whole at once, None does as the recipe says.
        overlap: Of neighboring tiles, pixels; the recipe's by default.
        truth: COCO annotations of the images; boxes are drawn, and attention is told apart in
            objects of a level's own size, in other ones, and outside. Ignored regions are none of
            these.
        tiling: What becomes of tiles that reach out of the image.
        scale: Images are enlarged by it first.
        zooms: Every tile is looked at enlarged by each of them.
        batch: Tiles at once.
        precision: Of the network.
        keep_going: Go on past images that cannot be read, and report them.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: There are no images, one cannot be read, is not in `truth` or is of another
            size there, or a picture cannot be written or would replace an image.
        SettingsError: The model's neck has no attention, or a setting is wrong.
    """
    detector = checkpoint if isinstance(checkpoint, Detector) else load_trained(checkpoint)
    predictor = detector.predictor(
        tile=tile,
        overlap=overlap,
        tiling=tiling,
        scale=scale,
        zooms=None if zooms is None else tuple(zooms),
        batch=batch,
        precision=precision,
    )
    strides = _attention_strides(predictor)
    if strides is None:
        neck = type(getattr(image_detector(detector.model), "neck", None)).__name__
        raise SettingsError(
            f"{checkpoint if isinstance(checkpoint, str | Path) else 'the detector'}: its neck "
            f"{neck} makes no attention maps; train a recipe with the neck sspnet"
        )
    files = find_images(paths)
    of_files = None
    if truth is not None:
        stated = read_annotations(Path(truth))
        of_files = TruthOfFiles(stated, files, stated.names)
    places = picture_paths(files, Path(out) / "pictures")
    rows: list[AttentionRow] = []
    failed: list[str] = []
    total = Strength.of_nothing(len(strides))
    images = each_image(
        files,
        "attention",
        check=None if of_files is None else of_files.check_size,
        failed=failed if keep_going else None,
    )
    for number, path, image in images:
        known = Target.empty() if of_files is None else of_files.target(number)
        seen, found = _look(predictor, image, known, len(strides))
        titles = _titles(path, found, strides, of_files is not None)
        picture = attention_picture(*_shrunk(seen, found), titles, _layers(found))
        place = write_picture(picture, places[path])
        total += found.strength
        rows.append(AttentionRow(str(path), str(place), found.strength, found.largest.tolist()))
    return AttentionReport(strides, tuple(rows), total, truth is not None, tuple(failed))


@torch.no_grad()
def _attention_strides(predictor: Predictor) -> tuple[int, ...] | None:
    """Those of the model's attention maps, by what it says of nothing; None if it makes none."""
    side = predictor.divisor
    blank = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    with autocast(predictor.precision, predictor.device):
        pyramid = getattr(next(predictor.looks(blank, (side, side))).outputs, "pyramid", None)
    return pyramid.attention_strides if isinstance(pyramid, AttentionPyramid) else None


def _look(
    predictor: Predictor, image: Tensor, known: Target, levels: int
) -> tuple[Tensor, AttentionOfImage]:
    """The image as it is shown, and its attention."""
    seen, factors = predictor.scaled(image)
    boxes = known.boxes * torch.from_numpy(factors).float()
    size = (int(seen.shape[-2]), int(seen.shape[-1]))
    found = AttentionOfImage(size, boxes[~known.ignore], boxes[known.ignore], levels)
    windows = predictor.grid(size)
    low, high = cores(torch.from_numpy(windows), size)
    for rows, tiles in predictor.batches(seen, windows):
        shown = windows[rows[0]]
        looks = _glances(predictor, tiles, (int(shown[3] - shown[1]), int(shown[2] - shown[0])))
        for row, glances in zip(rows.tolist(), zip(*looks, strict=True), strict=True):
            found.add(windows[row].tolist(), low[row], high[row], glances)
    return seen, found


@torch.no_grad()
def _glances(predictor: Predictor, tiles: Tensor, size: tuple[int, int]) -> list[list[Glance]]:
    """For every enlargement, that of each tile of `size` before padding."""
    found = []
    with autocast(predictor.precision, predictor.device):
        for look in predictor.looks(tiles, size):
            pyramid = look.outputs.pyramid
            assert isinstance(pyramid, AttentionPyramid)
            maps = [x[:, 0].float().cpu() for x in pyramid.attention]
            zoom = (look.sizes[0][0] / size[0], look.sizes[0][1] / size[1])
            strides = pyramid.attention_strides
            found.append([Glance([x[i] for x in maps], strides, zoom) for i in range(len(tiles))])
    return found


def _shrunk(seen: Tensor, found: AttentionOfImage) -> tuple[Tensor, Tensor]:
    """Image and attention at the size of the picture."""
    if found.shown != found.size:
        seen = resize(seen, list(found.shown), antialias=True)
    return seen, found.picture


def _layers(found: AttentionOfImage) -> list[Layer]:
    """Boxes in the picture, as far as there are any."""
    factors = torch.tensor([found.shown[1] / found.size[1], found.shown[0] / found.size[0]] * 2)
    layers = [
        Layer("ignored", found.ignored * factors, IGNORED),
        Layer("objects", found.boxes * factors, FOUND),
    ]
    return [layer for layer in layers if len(layer.boxes)]


def _titles(path: Path, found: AttentionOfImage, strides: Sequence[int], truth: bool) -> list[str]:
    """Of the image and of every level, with its means."""
    strength, titles = found.strength, [f"{path.name}, {found.size[1]} x {found.size[0]}"]
    for i, stride in enumerate(strides):
        means = {"mean": strength.outside[i]}
        if truth:
            means = {
                "own size": strength.own[i],
                "other": strength.other[i],
                "outside": strength.outside[i],
            }
        shown = (f"{name} {'-' if x is None else f'{x:.3f}'}" for name, x in means.items())
        titles.append(", ".join([f"stride {stride}", *shown]))
    return titles
