"""What is found in all images of a data set: whole ones, tiles of larger ones, frames of videos."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinyscope.data.pixels import tile_of_file
from tinyscope.engine.images import check_size, read_ahead
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.tile_sets import by_file, tiles_of_images, windows_of
from tinyscope.engine.video import VideoPredictor
from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations, DetectionTable, VideoFrames
from tinyscope.types import Detections


def find_all(predictor: Predictor, annotations: Annotations) -> DetectionTable:
    """What is found in each image. Tiles of larger images are looked at as images of their own.

    A detector of videos goes through them frame by frame; images of no video are videos of one
    frame. No frame is looked at beside one of another size.

    Raises:
        DataError: An image cannot be read, or is not of the annotated size; or the frames of a
            video are tiles, where they are to be joined.
    """
    if predictor.video is not None and annotations.video is not None:
        return _find_in_videos(predictor, annotations, annotations.video)
    tables = [as_table(predictor(pixels), i) for i, pixels in _images(annotations)]
    return DetectionTable.concatenate(tables)


def _find_in_videos(
    predictor: Predictor, annotations: Annotations, video: VideoFrames
) -> DetectionTable:
    """What is found in each frame, in the order of the images."""
    if annotations.windows is not None:
        raise _tiles_of_frames(annotations)
    if not len(annotations):
        return DetectionTable.concatenate([])
    order = video.order
    in_time = VideoPredictor(predictor.model, predictor.names, predictor.settings)
    frames = _frames(annotations, order)
    tables: dict[int, DetectionTable] = {}
    for first, last in _runs(video.videos[order]):
        positions = order[first:last].tolist()
        for position, found in zip(positions, _of_one(in_time, frames, positions), strict=True):
            tables[position] = as_table(found, position)
    return DetectionTable.concatenate([tables[position] for position in sorted(tables)])


def _tiles_of_frames(tiles: Annotations) -> DataError:
    return DataError(
        f"{tiles.place}: the frames are tiles of larger ones, which a detector of videos does not "
        "join; name the whole frames, and set predict.tile"
    )


def _of_one(
    predictor: VideoPredictor, frames: Iterator[Tensor], positions: list[int]
) -> Iterator[Detections]:
    """What is found in the frames of one video, which come next.

    Where their size changes, a new video begins, as where files are predicted.
    """
    coming = (next(frames) for _ in positions)
    for _, of_one_size in groupby(coming, lambda frame: tuple(frame.shape)):
        yield from predictor.run(of_one_size)


def _runs(videos: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where each video begins and ends; its frames follow each other."""
    ends = [*(np.flatnonzero(np.diff(videos)) + 1).tolist(), len(videos)]
    return zip([0, *ends[:-1]], ends, strict=True)


def _frames(annotations: Annotations, order: NDArray[np.int64]) -> Iterator[Tensor]:
    """Pixels of all images, in this order."""
    positions = order.tolist()
    paths = (annotations.path(position) for position in positions)
    for position, (path, pixels) in zip(positions, read_ahead(paths), strict=True):
        if isinstance(pixels, DataError):
            raise pixels
        check_size(path, pixels, annotations.sizes[position].tolist())
        yield pixels


def find_in_tiles(predictor: Predictor, tiles: Annotations, whole: Annotations) -> DetectionTable:
    """What is found in each whole image by looking at its tiles and merging.

    Args:
        predictor: Says how tiles are merged; it cuts none itself.
        tiles: Images that are parts of larger ones.
        whole: The larger ones, at whose positions the results are.

    Raises:
        DataError: Tiles and images do not fit each other (see `tiles_of_images`), an image
            cannot be read or is not of the annotated size, or it is a frame that a detector of
            videos would have to see beside others.
    """
    if predictor.video is not None and (tiles.video is not None or whole.video is not None):
        raise _tiles_of_frames(tiles)
    windows = windows_of(tiles)
    parts = tiles_of_images(tiles, whole)
    return DetectionTable.concatenate(
        [as_table(predictor(pixels, windows[parts[i]]), i) for i, pixels in _images(whole)]
    )


def as_table(found: Detections, position: int) -> DetectionTable:
    """Detections of the image at `position` of a data set, as columns."""
    return DetectionTable(
        np.full(len(found), position, dtype=np.int64),
        found.boxes.numpy().astype(np.float64),
        found.scores.numpy().astype(np.float64),
        found.labels.numpy(),
    )


def _images(annotations: Annotations) -> Iterator[tuple[int, Tensor]]:
    """Position and pixels of every image; a file is read once, whatever its tiles."""
    groups = by_file(annotations)
    paths = (annotations.path(int(group[0])) for group in groups)
    for group, (path, pixels) in zip(groups, read_ahead(paths), strict=True):
        if isinstance(pixels, DataError):
            raise pixels
        for position in group.tolist():
            if annotations.windows is None:
                check_size(path, pixels, annotations.sizes[position].tolist())
                yield position, pixels
                continue
            yield position, tile_of_file(annotations, position, pixels)
