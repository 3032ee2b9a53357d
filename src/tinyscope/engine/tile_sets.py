"""Data sets whose images are tiles of larger ones, and which tiles make up which image."""

import numpy as np
from numpy.typing import NDArray

from tinyscope.engine.file_names import FileNames
from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations
from tinyscope.tiling.cover import uncovered


def by_file(annotations: Annotations) -> list[NDArray[np.int64]]:
    """Positions of the images of each file, files in the order of their first image."""
    _, first, place = np.unique(annotations.files, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[place]
    order = np.argsort(rank, kind="stable")
    return np.split(order, np.cumsum(np.bincount(rank))[:-1])


def tiles_of_images(tiles: Annotations, whole: Annotations) -> list[NDArray[np.int64]]:
    """Positions of the tiles of every whole image, in the order of the file of tiles.

    A file of tiles is that whole image whose name is the same, or else the only one whose path
    ends as its own does: a data set that was converted names its files from another folder.

    Raises:
        DataError: `tiles` holds no tiles, or tiles of a file that is not among the whole images,
            or may be several of them, or the same as another file; a tile reaches out of its image
            or is listed twice; or the tiles of an image do not show all of it, so that what lies
            there could not be found.
    """
    windows = windows_of(tiles)
    if whole.windows is not None:
        raise DataError(
            f"{whole.place}: these are tiles of images as well; name the annotations of the whole "
            "images"
        )
    names = FileNames(whole.files.tolist())
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(whole)
    for part in by_file(tiles):
        file = str(tiles.files[part[0]])
        position = _position(names, file, tiles, whole)
        if len(found[position]):
            other = tiles.files[found[position][0]]
            raise DataError(
                f"{tiles.place}: tiles of {other} and of {file} would both be of the whole image "
                f"{whole.files[position]} of {whole.place}; leave out those of one of them"
            )
        found[position] = part
    for image, part in enumerate(found):
        _check(windows[part], tiles, tiles.image_ids[part], whole, image)
    return found


def _position(names: FileNames, file: str, tiles: Annotations, whole: Annotations) -> int:
    """Of the whole image that a file of tiles is."""
    fitting = names.matching(file)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        count = int((tiles.files == file).sum())
        raise DataError(
            f"{tiles.place}: {count} tiles are of {file}, which is not among the {len(whole)} "
            f"whole images of {whole.place}; name the images that the tiles were cut from, or "
            "leave these tiles out"
        )
    meant = ", ".join(str(whole.files[i]) for i in fitting[:3])
    raise DataError(
        f"{tiles.place}: tiles of {file} may be of any of {meant} of {whole.place}; name the file "
        "as there"
    )


def windows_of(tiles: Annotations) -> NDArray[np.int64]:
    """Windows (i, 4) x1 y1 x2 y2 of tiles in their images.

    Raises:
        DataError: The images are whole files.
    """
    if tiles.windows is None:
        raise DataError(
            f"{tiles.place}: the images are no tiles, as none has a corner [x1, y1, x2, y2]; name "
            "the file of tiles"
        )
    return tiles.windows


def _check(
    windows: NDArray[np.int64],
    tiles: Annotations,
    ids: NDArray[np.int64],
    whole: Annotations,
    image: int,
) -> None:
    """That the tiles of one image lie in it, differ from each other and show all of it."""
    name = f"{tiles.place}: image {whole.files[image]} (id {whole.image_ids[image]})"
    height, width = whole.sizes[image].tolist()
    if not (height and width):
        raise DataError(
            f"{name}: no width and height are stated, so that its tiles cannot be checked; add them"
        )
    outside = (windows[:, :2] < 0).any(axis=1) | (windows[:, 2:] > (width, height)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise DataError(
            f"{name}: tile {ids[row]} with the corner {windows[row].tolist()} reaches out of its "
            f"{width} x {height} pixels; it is of another version of the image"
        )
    unlike, first = np.unique(windows, axis=0, return_index=True)
    if len(unlike) < len(windows):
        again = np.ones(len(windows), dtype=np.bool_)
        again[first] = False
        row = int(again.argmax())
        raise DataError(
            f"{name}: tile {ids[row]} shows the same {windows[row].tolist()} as another one; "
            "leave one of them out"
        )
    if missing := uncovered(windows, (height, width)):
        raise DataError(
            f"{name}: none of its {len(windows)} tiles shows the part {list(missing)} (x1, y1, "
            "x2, y2), so that nothing could be found there; add the missing tiles"
        )
