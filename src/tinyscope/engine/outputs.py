"""The files that a prediction writes, filled image by image."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL.Image import Image

from tinyscope.analysis.pictures import save_picture
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.errors import DataError
from tinyscope.formats.atomic import atomic_text
from tinyscope.formats.coco import AddDetections, detection_writer
from tinyscope.types import Detections, Size

COLUMNS = ("file", "image_id", "label", "score", "x1", "y1", "x2", "y2")
"""Of detections.csv; boxes are in pixels."""
PICTURE_SUFFIXES = (".png", ".jpg")
"""Of what may be painted of an image."""


class Outputs:
    """Open files of a prediction; nothing is kept in memory.

    Args:
        names: Of the detector's classes.
        files: All images, in the order that they are numbered in.
        truth: Whose ids results get; else files count from 1, as do categories.
        add_detections: Writes to the COCO results list.
        table: The CSV file.
        images: The file that says which ids the files got; None where `truth` does.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        files: Sequence[Path],
        truth: TruthOfFiles | None,
        add_detections: AddDetections,
        table: TextIO,
        images: TextIO | None,
    ) -> None:
        self.names, self.files, self.truth = names, files, truth
        self.add_detections, self.images = add_detections, images
        self.rows = csv.writer(table, lineterminator="\n")
        self.rows.writerow(COLUMNS)
        ids = range(1, len(names) + 1) if truth is None else truth.annotations.category_ids
        self.category_ids = np.array(ids, dtype=np.int64)
        self.root = _common_folder(files)
        self.separator = ""

    def add(self, number: int, found: Detections, size: Size) -> None:
        """Writes what was found in the file of a number.

        The results list holds only what the truth has a category for.
        """
        image_id = number + 1 if self.truth is None else self.truth.image_id(number)
        listed = found if self.truth is None else self.truth.comparable(found)
        self.add_detections(
            np.full(len(listed), image_id, dtype=np.int64),
            listed.boxes.double().numpy(),
            listed.scores.double().numpy(),
            self.category_ids[listed.labels.numpy()],
        )
        file = str(self.files[number])
        columns = zip(
            found.labels.tolist(),
            found.scores.double().tolist(),
            found.boxes.double().tolist(),
            strict=True,
        )
        self.rows.writerows(
            (file, image_id, self.names[label], f"{score:.5f}", *(f"{x:.2f}" for x in box))
            for label, score, box in columns
        )
        if self.images:
            name = Path(os.path.relpath(self.files[number], self.root)).as_posix()
            row = {"id": image_id, "file_name": name, "width": size[1], "height": size[0]}
            self.images.write(self.separator + json.dumps(row))
            self.separator = ",\n"


@contextmanager
def open_outputs(
    folder: Path, names: tuple[str, ...], files: Sequence[Path], truth: TruthOfFiles | None
) -> Iterator[Outputs]:
    """Files in `folder` that get their names when all is written; after an error there are none.

    Raises:
        DataError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be made a folder of results ({error.strerror or error}); choose "
            "another --out"
        ) from error
    with ExitStack() as stack:
        images = None
        if truth is None:
            images = stack.enter_context(atomic_text(folder / "images.json"))
            categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
            images.write(f'{{"categories": {json.dumps(categories)},\n"images": [\n')
        table = stack.enter_context(atomic_text(folder / "detections.csv"))
        add = stack.enter_context(detection_writer(folder / "detections.json"))
        yield Outputs(names, files, truth, add, table, images)
        if images:
            images.write('\n],\n"annotations": []}\n')


def picture_paths(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where each file's picture goes, without a suffix: folders as they are among the files.

    Raises:
        DataError: A picture, PNG or JPEG, would replace one of the files.
    """
    root = _common_folder(files)
    relative = {file: Path(os.path.relpath(file, root)) for file in files}
    uses = Counter(path.with_suffix("") for path in relative.values())
    places = {
        file: folder / (path.with_suffix("") if uses[path.with_suffix("")] == 1 else path)
        for file, path in relative.items()
    }
    taken = {_identity(file) for file in files if file.exists()}  # links may lead nowhere
    for place in places.values():
        # Not with_suffix: a name may hold further dots.
        for picture in (place.with_name(place.name + suffix) for suffix in PICTURE_SUFFIXES):
            if picture.exists() and _identity(picture) in taken:
                raise DataError(
                    f"{picture}: is one of the images and would be replaced by a picture; choose "
                    "another --out, or name images that lie elsewhere"
                )
    return places


def write_picture(picture: Image, place: Path, suffix: str = PICTURE_SUFFIXES[0]) -> Path:
    """Writes a picture to one of the `picture_paths`, and says which file that is.

    Raises:
        DataError: It cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{place.parent}: cannot be made ({error.strerror or error}); choose another --out"
        ) from error
    path = place.with_name(place.name + suffix)
    save_picture(picture, path)
    return path


def _identity(file: Path) -> tuple[int, int]:
    """The same for all names of a file, also where these do not tell capitals apart."""
    found = file.stat()
    return found.st_dev, found.st_ino


def _common_folder(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
