"""The files that a prediction writes, filled image by image and frame by frame."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL.Image import Image

from tinyscope.analysis.pictures import save_picture
from tinyscope.engine.inputs import is_video
from tinyscope.engine.truth import TruthOfFiles
from tinyscope.errors import DataError
from tinyscope.formats.atomic import atomic_text
from tinyscope.formats.coco import AddDetections, detection_writer
from tinyscope.types import Detections, Size

COLUMNS = ("file", "image_id", "label", "score", "x1", "y1", "x2", "y2")
"""Of detections.csv; boxes are in pixels."""
OF_VIDEOS = ("video_id", "frame", "seconds")
"""Further columns where there are videos."""
PICTURE_SUFFIXES = (".png", ".jpg")
"""Of what may be painted of an image."""


@dataclass(frozen=True)
class Shown:
    """An image that was looked at: its file and size, and which frame of which video it is.

    Args:
        file: The image; or the video, if that is one file.
        image_id: In all results.
        size: (height, width).
        video_id: From 1; None for an image of its own.
        frame: Number within its video, from 0.
        seconds: When the frame is shown.
    """

    file: Path
    image_id: int
    size: Size
    video_id: int | None = None
    frame: int = 0
    seconds: float = 0.0


class Outputs:
    """Open files of a prediction; nothing but the list of videos is kept in memory.

    Args:
        names: Of the detector's classes.
        root: Folder that the file names in images.json begin below.
        videos: Whether there are any; the tables then speak of them.
        truth: Whose categories results get; else they count from 1.
        add_detections: Writes to the COCO results list.
        table: The CSV file.
        images: The file that says which ids the files got; None where `truth` does.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        root: Path,
        videos: bool,
        truth: TruthOfFiles | None,
        add_detections: AddDetections,
        table: TextIO,
        images: TextIO | None,
    ) -> None:
        self.names, self.root, self.has_videos = names, root, videos
        self.truth, self.add_detections, self.images = truth, add_detections, images
        self.rows = csv.writer(table, lineterminator="\n")
        self.rows.writerow(COLUMNS + OF_VIDEOS if videos else COLUMNS)
        ids = range(1, len(names) + 1) if truth is None else truth.annotations.category_ids
        self.category_ids = np.array(ids, dtype=np.int64)
        self.separator = ""
        self.videos: list[dict[str, Any]] = []

    def add(self, shown: Shown, found: Detections) -> None:
        """Writes what was found in an image.

        The results list holds only what the truth has a category for.
        """
        listed = found if self.truth is None else self.truth.comparable(found)
        self.add_detections(
            np.full(len(listed), shown.image_id, dtype=np.int64),
            listed.boxes.double().numpy(),
            listed.scores.double().numpy(),
            self.category_ids[listed.labels.numpy()],
        )
        file = str(shown.file)
        of_video = self._of_video(shown)
        columns = zip(
            found.labels.tolist(),
            found.scores.double().tolist(),
            found.boxes.double().tolist(),
            strict=True,
        )
        self.rows.writerows(
            (
                *(file, shown.image_id, self.names[label], f"{score:.5f}"),
                *(f"{x:.2f}" for x in box),
                *of_video,
            )
            for label, score, box in columns
        )
        if self.images:
            self.images.write(self.separator + json.dumps(self._listed(shown)))
            self.separator = ",\n"

    def new_video(self, path: Path) -> int:
        """The id of a video, which gets a row in images.json."""
        self.videos.append({"id": len(self.videos) + 1, "name": self._relative(path)})
        return len(self.videos)

    def _of_video(self, shown: Shown) -> tuple[Any, ...]:
        if not self.has_videos:
            return ()
        if shown.video_id is None:
            return ("", "", "")
        return (shown.video_id, shown.frame, f"{shown.seconds:.3f}")

    def _listed(self, shown: Shown) -> dict[str, Any]:
        """As annotations of images or, where there are videos, of videos (CocoVID) list it."""
        row: dict[str, Any] = {"id": shown.image_id, "file_name": self._relative(shown.file)}
        row |= {"width": shown.size[1], "height": shown.size[0]}
        if not self.has_videos:
            return row
        if shown.video_id is None:  # a still is a video of one frame
            return row | {"video_id": self.new_video(shown.file), "frame_id": 0}
        if is_video(shown.file):  # as if the frames lay in a folder of its name
            row["file_name"] += f"/{shown.frame:06}.png"
        seconds = round(shown.seconds, 6)
        return row | {"video_id": shown.video_id, "frame_id": shown.frame, "seconds": seconds}

    def _relative(self, file: Path) -> str:
        return Path(os.path.relpath(file, self.root)).as_posix()


@contextmanager
def open_outputs(
    folder: Path,
    names: tuple[str, ...],
    files: Sequence[Path],
    truth: TruthOfFiles | None,
    *,
    videos: bool = False,
) -> Iterator[Outputs]:
    """Files in `folder` that get their names when all is written; after an error there are none.

    Args:
        folder: Made where it is missing.
        names: Of the detector's classes.
        files: All that is looked at, which lie below one folder.
        truth: Whose ids and categories results get.
        videos: Whether some are videos.

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
        outputs = Outputs(names, _common_folder(files), videos, truth, add, table, images)
        yield outputs
        if images:
            listed = f'"videos": {json.dumps(outputs.videos)},\n' if videos else ""
            images.write(f'\n],\n{listed}"annotations": []}}\n')


def picture_paths(
    files: Sequence[Path], folder: Path, suffixes: Sequence[str] = PICTURE_SUFFIXES
) -> dict[Path, Path]:
    """Where each file's picture goes, without a suffix: folders as they are among the files.

    Args:
        files: Images; or videos, which may be folders of frames.
        folder: Of the pictures.
        suffixes: That a picture may get.

    Raises:
        DataError: A picture would replace one of the files.
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
        for picture in (place.with_name(place.name + suffix) for suffix in suffixes):
            if picture.exists() and _identity(picture) in taken:
                raise DataError(
                    f"{picture}: is one of the images and would be replaced by a picture; choose "
                    "another --out, or name files that lie elsewhere"
                )
    return places


def write_picture(picture: Image, place: Path, suffix: str = PICTURE_SUFFIXES[0]) -> Path:
    """Writes a picture to one of the `picture_paths`, and says which file that is.

    Raises:
        DataError: It cannot be written.
    """
    path = with_folder(place.with_name(place.name + suffix))
    save_picture(picture, path)
    return path


def with_folder(path: Path) -> Path:
    """The path, after making the folder that it lies in.

    Raises:
        DataError: It cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot be made ({error.strerror or error}); choose another --out"
        ) from error
    return path


def _identity(file: Path) -> tuple[int, int]:
    """The same for all names of a file, also where these do not tell capitals apart."""
    found = file.stat()
    return found.st_dev, found.st_ino


def _common_folder(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
