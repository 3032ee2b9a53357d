"""What is found in all images of a data set, whole ones or tiles of larger ones."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from tinyscope.data.pixels import tile_of_file
from tinyscope.engine.images import check_size, read_ahead
from tinyscope.engine.predictor import Predictor
from tinyscope.engine.tile_sets import by_file, tiles_of_images, windows_of
from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations, DetectionTable
from tinyscope.types import Detections


def find_all(predictor: Predictor, annotations: Annotations) -> DetectionTable:
    """What is found in each image. Tiles of larger images are looked at as images of their own.

    Raises:
        DataError: An image cannot be read, or is not of the annotated size.
    """
    tables = [as_table(predictor(pixels), i) for i, pixels in _images(annotations)]
    return DetectionTable.concatenate(tables)


def find_in_tiles(predictor: Predictor, tiles: Annotations, whole: Annotations) -> DetectionTable:
    """What is found in each whole image by looking at its tiles and merging.

    Args:
        predictor: Says how tiles are merged; it cuts none itself.
        tiles: Images that are parts of larger ones.
        whole: The larger ones, at whose positions the results are.

    Raises:
        DataError: Tiles and images do not fit each other (see `tiles_of_images`), or an image
            cannot be read or is not of the annotated size.
    """
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
