"""Images to files: detections as COCO JSON and CSV, and pictures with boxes on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from tinyscope.analysis.pictures import (
    Layer,
    comparison_layers,
    detection_layers,
    paint,
)
from tinyscope.engine.detector import Detector, load_trained
from tinyscope.engine.evaluate_model import in_order_of
from tinyscope.engine.images import each_image, find_images
from tinyscope.engine.outputs import open_outputs, picture_paths, write_picture
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.formats.coco import read_annotations
from tinyscope.settings import Tile
from tinyscope.types import Detections

JPEG_FROM = 4_000_000
"""Pixels of a picture from which it is written as JPEG: a PNG would take seconds."""


@dataclass
class Prediction:
    """What came of it: written to `folder`, how much was found, which files could not be read.

    `counts` of objects found and missed and false detections, where there was truth; of those
    that pictures show. `without_truth` counts detections by class whose class the truth lacks.
    """

    folder: Path
    images: int = 0
    detections: int = 0
    failed: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    without_truth: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.images} images, {self.detections} detections -> {self.folder}"]
        if self.counts:
            lines.append(", ".join(f"{count} {name}" for name, count in self.counts.items()))
        if self.without_truth:
            shown = ", ".join(f"{count} {name}" for name, count in self.without_truth.items())
            lines.append(f"in detections.csv alone, as the truth has no such class: {shown}")
        if self.failed:
            lines.append(f"{len(self.failed)} images could not be read:")
            lines += [f"  {message}" for message in self.failed]
        return "\n".join(lines)


def predict(
    checkpoint: str | Path | Detector,
    paths: Sequence[str | Path],
    out: str | Path,
    tile: Tile | None = None,
    overlap: int | None = None,
    truth: str | Path | None = None,
    *,
    pictures: bool = True,
    show: float = 0.3,
    enlarge: int | None = None,
    keep_going: bool = False,
    **settings: Any,
) -> Prediction:
    """Finds objects in image files and writes what was found.

    `out` receives detections.json (a COCO results list), detections.csv, pictures/, and, without
    `truth`, images.json (the image ids and categories of the results, as COCO annotations without
    objects). Results are written as they come and get their names at the end.

    Args:
        checkpoint: Such as a run's best.ckpt; or a detector.
        paths: Images, folders, or patterns such as "a/*.png".
        out: Folder; made where it is missing.
        tile: Side, or (height, width), of the tiles that an image is cut into, pixels; 0 takes the
            whole at once, None does as the recipe says.
        overlap: Of neighboring tiles, pixels; the recipe's by default.
        truth: COCO annotations of the images; results get its ids, pictures show what was found
            (green), missed (red) and false (blue). Detections of classes that it lacks stand in
            detections.csv alone.
        pictures: Whether to paint pictures.
        show: Least score of what pictures show; the files hold all from `score_threshold` on.
        enlarge: Whole number that pictures are enlarged by; by default by the objects' sizes.
        keep_going: Go on past images that cannot be read, and report them.
        settings: Of the recipe's `predict`, in place of them.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: There are no images, one cannot be read, is not in `truth` or is of another
            size there, the results cannot be written, or a picture would replace an image.
        SettingsError: A setting is unknown or wrong.
    """
    detector = checkpoint if isinstance(checkpoint, Detector) else load_trained(checkpoint)
    predictor = detector.predictor(tile=tile, overlap=overlap, **settings)
    files = find_images(paths)
    of_files = None
    if truth is not None:
        stated = read_annotations(Path(truth))
        annotations = in_order_of(stated, detector.names, str(checkpoint))
        of_files = TruthOfFiles(annotations, files, stated.names)
    result = Prediction(Path(out))
    places = picture_paths(files, result.folder / "pictures") if pictures else {}
    with open_outputs(result.folder, detector.names, files, of_files) as outputs:
        images = each_image(
            files,
            "predict",
            check=None if of_files is None else of_files.check_size,
            failed=result.failed if keep_going else None,
        )
        for number, path, image in images:
            found = predictor(image)
            size = (int(image.shape[-2]), int(image.shape[-1]))
            outputs.add(number, found, size)
            result.images += 1
            result.detections += len(found)
            _count_without_truth(found, of_files, result)
            layers = _layers(found[found.scores >= show], number, of_files, result)
            if pictures:
                _paint(image, layers, places[path], enlarge)
    return result


def _layers(
    found: Detections, number: int, truth: TruthOfFiles | None, result: Prediction
) -> list[Layer]:
    """What a picture shows; with truth, the outcomes are counted."""
    if truth is None:
        return detection_layers(found)
    layers = comparison_layers(truth.comparable(found), truth.target(number))
    for layer in layers:
        result.counts[layer.name] = result.counts.get(layer.name, 0) + len(layer.boxes)
    return layers


def _count_without_truth(found: Detections, truth: TruthOfFiles | None, result: Prediction) -> None:
    if truth is None or len(truth.comparable(found)) == len(found):
        return
    counts = Counter(found.labels.tolist())
    counts.subtract(truth.comparable(found).labels.tolist())
    for label, count in sorted((+counts).items()):
        name = truth.annotations.names[label]
        result.without_truth[name] = result.without_truth.get(name, 0) + count


def _paint(image: Tensor, layers: list[Layer], path: Path, enlarge: int | None) -> None:
    picture = paint(image, layers, enlarge=enlarge)
    large = picture.width * picture.height > JPEG_FROM
    write_picture(picture, path, ".jpg" if large else ".png")
