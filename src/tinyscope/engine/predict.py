"""Images and videos to files: detections as COCO JSON and CSV, and pictures with boxes on them."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from tinyscope.analysis.pictures import (
    Layer,
    comparison_layers,
    detection_layers,
    paint,
)
from tinyscope.data.video import Frame
from tinyscope.detectors.video import VideoDetector
from tinyscope.engine.detector import Detector, load_trained
from tinyscope.engine.evaluate_model import in_order_of
from tinyscope.engine.images import each_image, find_images
from tinyscope.engine.inputs import VIDEO_SUFFIXES, Video, is_video, sorted_out
from tinyscope.engine.outputs import Outputs, Shown, open_outputs, picture_paths, write_picture
from tinyscope.engine.predict_video import FindsInFrames, Place, class_layers, predict_video
from tinyscope.engine.prediction import Prediction
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.engine.video import VideoPredictor
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats.coco import read_annotations
from tinyscope.formats.files import IMAGE_SUFFIXES
from tinyscope.settings import Tile
from tinyscope.types import Detections, Size

JPEG_FROM = 4_000_000
"""Pixels of a picture from which it is written as JPEG: a PNG would take seconds."""
VIDEO_PICTURES = (".mp4", ".jsonl")
"""Endings of what is written of a video."""


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
    as_video: bool | None = None,
    rate: float = 10.0,
    **settings: Any,
) -> Prediction:
    """Finds objects in image and video files and writes what was found.

    `out` receives detections.json (a COCO results list), detections.csv, pictures/, videos/ and,
    without `truth`, images.json (the image ids and categories of the results, as COCO annotations
    without objects). Results are written as they come and get their names at the end.

    Args:
        checkpoint: Such as a run's best.ckpt; or a detector.
        paths: Images, videos, folders, or patterns such as "a/*.png".
        out: Folder; made where it is missing.
        tile: Side, or (height, width), of the tiles that an image is cut into, pixels; 0 takes the
            whole at once, None does as the recipe says.
        overlap: Of neighboring tiles, pixels; the recipe's by default.
        truth: COCO annotations of the images; results get its ids, pictures show what was found
            (green), missed (red) and false (blue). Detections of classes that it lacks stand in
            detections.csv alone.
        pictures: Whether to paint pictures and videos.
        show: Least score of what pictures show; the files hold all from `score_threshold` on.
        enlarge: Whole number that pictures are enlarged by; by default by the objects' sizes.
        keep_going: Go on past images and frames that cannot be read, and report them.
        as_video: Take the images of a folder as the frames of one video; by default if the
            detector looks at several frames.
        rate: Frames per second of painted videos whose frames were images.
        settings: Of the recipe's `predict`, in place of them.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: There are no images, one cannot be read, is not in `truth` or is of another
            size there, the results cannot be written, or a picture would replace an image.
        SettingsError: A setting is unknown or wrong, or PyAV is not there for a video.
    """
    if not 0 < rate < math.inf:
        raise SettingsError(f"rate {rate} must be a positive number of frames per second")
    detector = checkpoint if isinstance(checkpoint, Detector) else load_trained(checkpoint)
    predictor = detector.predictor(tile=tile, overlap=overlap, **settings)
    files = find_images(paths, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    images = [file for file in files if not is_video(file)]
    of_files = None
    if truth is not None:
        stated = read_annotations(Path(truth))
        annotations = in_order_of(stated, detector.names, str(checkpoint))
        of_files = TruthOfFiles(annotations, images, stated.names)
    as_video = looks_at_several(detector) if as_video is None else as_video
    stills, videos = sorted_out(files, as_video, of_files)
    result = Prediction(Path(out))
    places = _places(result.folder, stills if pictures else [], videos)
    work = _Work(images, of_files, result, places, pictures, show, enlarge, keep_going)
    looked_at = [*stills, *(video.path for video in videos)]
    names, folder = detector.names, result.folder
    with open_outputs(folder, names, looked_at, of_files, videos=bool(videos)) as outputs:
        work.look_at_images(predictor, stills, outputs)
        if videos:
            in_time = VideoPredictor(detector.model, names, predictor.settings)
            begin = time.perf_counter()
            for video in videos:
                work.look_at_video(in_time, video, rate, outputs)
            result.seconds = time.perf_counter() - begin
    return result


def looks_at_several(detector: Detector) -> bool:
    """Whether a detector is one that joins the frames of a video."""
    return isinstance(detector.model, VideoDetector)


def _places(folder: Path, stills: Sequence[Path], videos: Sequence[Video]) -> dict[Path, Path]:
    """Where pictures and what is written of videos go, without their endings."""
    places = picture_paths(stills, folder / "pictures") if stills else {}
    if videos:
        paths = [video.path for video in videos]
        places |= picture_paths(paths, folder / "videos", VIDEO_PICTURES)
    return places


@dataclass
class _Work:
    """What stays the same from image to image; `images` are numbered as the truth knows them."""

    images: Sequence[Path]
    truth: TruthOfFiles | None
    result: Prediction
    places: dict[Path, Path]
    pictures: bool
    show: float
    enlarge: int | None
    keep_going: bool
    last_id: int = 0

    @cached_property
    def numbers(self) -> dict[Path, int]:
        """Of the images, by file."""
        return {file: number for number, file in enumerate(self.images)}

    @property
    def failed(self) -> list[str] | None:
        return self.result.failed if self.keep_going else None

    def look_at_images(self, predictor: Predictor, files: Sequence[Path], outputs: Outputs) -> None:
        """Images of their own: all that are no videos, or none."""
        check = None if self.truth is None else self.truth.check_size
        for number, path, image in each_image(files, "predict", check=check, failed=self.failed):
            found = predictor(image)
            shown = Shown(path, self._image_id(number, number + 1), _size(image))
            layers = self._take(shown, found, number, outputs)
            self.result.images += 1
            if self.pictures:
                _paint(image, layers, self.places[path], self.enlarge)
        self.last_id = len(files)

    def look_at_video(
        self, predictor: FindsInFrames, video: Video, rate: float, outputs: Outputs
    ) -> None:
        """A video; where the work goes on past damage, one that cannot be opened is left out."""
        try:
            opened = video.open(rate, self.failed)
        except DataError as error:
            if self.failed is None:
                raise
            self.failed.append(str(error))
            return
        video_id = outputs.new_video(video.path)

        def take(frame: Frame, found: Detections) -> tuple[int, list[Layer]]:
            file = video.files[frame.number] if video.files else video.path
            number = self.numbers.get(file, 0)
            if self.truth is not None:
                self.truth.check_size(number, file, frame.image)
            self.last_id += 1
            image_id = self._image_id(number, self.last_id)
            at = (video_id, frame.number, frame.seconds)
            layers = self._take(
                Shown(file, image_id, _size(frame.image), *at), found, number, outputs
            )
            self.result.frames += 1
            return image_id, layers or class_layers(found[found.scores >= self.show])

        place = self.places[video.path]
        changes = predict_video(
            predictor,
            opened,
            Place(
                video.path.name,
                place.with_name(place.name + ".jsonl"),
                place.with_name(place.name + ".mp4") if self.pictures else None,
                self.enlarge,
            ),
            take,
        )
        self.result.videos += 1
        if changes:
            self.result.notes.append(
                f"{video.path}: the frames change their size {changes} times; no frame was joined "
                "with one of another size"
            )

    def _image_id(self, number: int, otherwise: int) -> int:
        return otherwise if self.truth is None else self.truth.image_id(number)

    def _take(self, shown: Shown, found: Detections, number: int, outputs: Outputs) -> list[Layer]:
        """Writes and counts; returns what a picture shows."""
        outputs.add(shown, found)
        self.result.detections += len(found)
        _count_without_truth(found, self.truth, self.result)
        return _layers(found[found.scores >= self.show], number, self.truth, self.result)


def _size(image: Tensor) -> Size:
    return int(image.shape[-2]), int(image.shape[-1])


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
