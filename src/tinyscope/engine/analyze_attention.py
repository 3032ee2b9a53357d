"""Image files to pictures of what a detector's attention sees in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from tinyscope.analysis.pictures import FOUND, IGNORED, Layer, save_picture
from tinyscope.data.images import read_image
from tinyscope.engine.detector import Detector, load_trained
from tinyscope.engine.images import find_images, read_ahead
from tinyscope.engine.machine import autocast
from tinyscope.engine.outputs import picture_paths
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.coco import read_annotations
from tinyscope.nn.necks.sspnet import STRIDES, AttentionPyramid, SSPNet
from tinyscope.settings import Tile
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
    keep_going: bool = False,
    **settings: Any,
) -> AttentionReport:
    """Paints the attention of all levels over images, and says how strong it is.

    Images are looked through as `predict` does, but for `flip`: whole or in tiles, each of which
    answers for its core, and at all of `zooms`, whose mean is taken.

    Args:
        checkpoint: Such as a run's best.ckpt; or a detector. Its neck must be `sspnet`.
        paths: Images, folders, or patterns such as "a/*.png".
        out: Folder for the pictures; made where it is missing.
        tile: Side, or (height, width), of the tiles that an image is cut into, pixels; 0 takes the
            whole at once, None does as the recipe says.
        overlap: Of neighboring tiles, pixels; the recipe's by default.
        truth: COCO annotations of the images; boxes are drawn, and attention is told apart in and
            outside of them. Ignored ones count as neither.
        keep_going: Go on past images that cannot be read, and report them.
        settings: Of the recipe's `predict`, in place of them.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: There are no images, one cannot be read, is not in `truth` or is of another
            size there, or a picture cannot be written.
        SettingsError: The model's neck has no attention, or a setting is unknown or wrong.
    """
    detector = checkpoint if isinstance(checkpoint, Detector) else load_trained(checkpoint)
    neck = getattr(detector.model, "neck", None)
    if not isinstance(neck, SSPNet):
        raise SettingsError(
            f"{checkpoint if isinstance(checkpoint, str | Path) else 'the detector'}: its neck "
            f"{type(neck).__name__} makes no attention maps; train a recipe with the neck sspnet"
        )
    predictor = detector.predictor(tile=tile, overlap=overlap, **settings)
    files = find_images(paths)
    of_files = None
    if truth is not None:
        stated = read_annotations(Path(truth))
        of_files = TruthOfFiles(stated, files, stated.names)
    places = picture_paths(files, Path(out))
    rows: list[AttentionRow] = []
    failed: list[str] = []
    total = Strength(
        torch.zeros(2, len(STRIDES), dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    )
    for number, (path, image) in enumerate(read_ahead(files, read_image)):
        if isinstance(image, DataError):
            if not keep_going:
                raise image
            failed.append(str(image))
            continue
        target = None
        if of_files is not None:
            of_files.check_size(number, path, image)
            target = of_files.target(number)
        place = places[path].with_name(places[path].name + ".png")
        found = _look(predictor, image, target, place)
        total += found.sums
        strength = found.sums
        rows.append(
            AttentionRow(
                str(path), str(place), strength.inside, strength.outside, found.largest.tolist()
            )
        )
    return AttentionReport(STRIDES, tuple(rows), total, truth is not None, tuple(failed))


def _look(
    predictor: Predictor, image: Tensor, target: Target | None, place: Path
) -> AttentionOfImage:
    """The attention of one image, painted to `place`."""
    seen, factors = predictor.scaled(image)
    known = Target.empty() if target is None else target
    boxes = known.boxes * torch.from_numpy(factors).float()
    size = (int(seen.shape[-2]), int(seen.shape[-1]))
    found = AttentionOfImage(size, boxes[~known.ignore], boxes[known.ignore], len(STRIDES))
    windows = predictor.grid(size)
    low, high = cores(torch.from_numpy(windows), size)
    for rows, tiles in predictor.batches(seen, windows):
        shown = windows[rows[0]]
        looks = _glances(predictor, tiles, (int(shown[3] - shown[1]), int(shown[2] - shown[0])))
        for row, glances in zip(rows.tolist(), zip(*looks, strict=True), strict=True):
            found.add(windows[row].tolist(), low[row], high[row], glances)
    _paint(found, seen, target is not None, place)
    return found


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
            found.append([Glance([x[i] for x in maps], STRIDES, zoom) for i in range(len(tiles))])
    return found


def _paint(found: AttentionOfImage, seen: Tensor, truth: bool, place: Path) -> None:
    small = seen
    if found.shown != found.size:
        small = resize(seen, list(found.shown), antialias=True)
    factors = torch.tensor([found.shown[1] / found.size[1], found.shown[0] / found.size[0]] * 2)
    layers = []
    if truth:
        layers = [
            Layer("ignored", found.ignored * factors, IGNORED),
            Layer("objects", found.boxes * factors, FOUND),
        ]
    strength = found.sums
    titles = [f"{place.stem}, {found.size[1]} x {found.size[0]}"]
    for i, stride in enumerate(STRIDES):
        inside, outside = strength.inside[i], strength.outside[i]
        means = [f"{outside:.3f}" if outside is not None else "-"]
        if truth:
            means = [f"inside {'-' if inside is None else f'{inside:.3f}'}", f"outside {means[0]}"]
        else:
            means = [f"mean {means[0]}"]
        titles.append(", ".join([f"stride {stride}", *means]))
    picture = attention_picture(small, found.picture, titles, layers)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{place.parent}: cannot be made ({error.strerror or error}); choose another --out"
        ) from error
    save_picture(picture, place)
