"""ImageNet VID and DET as published to CocoVID files, by the published lists of videos and images.

The images stay where they are: there are a million of them, and the files name them from Data/VID
and Data/DET.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tinyscope.errors import DataError
from tinyscope.formats import imagenet_ilsvrc as ilsvrc
from tinyscope.formats.atomic import atomic_text
from tinyscope.formats.imagenet_ilsvrc import Converter, Row, Video
from tinyscope.formats.imagenet_vid import CLASSES, DET_FILE, VID_FILE

_FILES = {
    ilsvrc.TRAIN_LIST: VID_FILE.format(split="train"),
    ilsvrc.VAL_LIST: VID_FILE.format(split="val"),
    ilsvrc.DET_LIST: DET_FILE,
}
"""What is made of which list."""


@dataclass(frozen=True)
class FileCounts:
    """What one file holds."""

    videos: int
    images: int
    key_frames: int
    objects: int
    left_out: int  # objects of other classes


@dataclass(frozen=True)
class ImageNetConversion:
    """Where the files lie, and what each of them holds."""

    target: Path
    files: Mapping[str, FileCounts]

    def __str__(self) -> str:
        """A line per file."""
        lines = [
            f"{file}: {n.videos} videos, {n.images} images, {n.key_frames} key frames, "
            f"{n.objects} objects; {n.left_out} objects of other classes are left out"
            for file, n in self.files.items()
        ]
        return "\n".join([*lines, f"written to {self.target}"])


def convert_imagenet_vid(
    source: str | Path,
    target: str | Path,
    *,
    lists: str | Path | None = None,
    classes: str | Path | None = None,
    all_stills: bool = False,
) -> ImageNetConversion:
    """Writes CocoVID files of ILSVRC's XML files: of VID's training and validation set and of DET.

    Which of these are written follows from the lists that are there.

    Args:
        source: The folder that holds Annotations/VID and Annotations/DET.
        target: A folder, which may hold other files than those to be written.
        lists: Folder of the lists VID_train_15frames.txt, VID_val_videos.txt and
            DET_train_30classes.txt; the source's Lists/ when None.
        classes: A file with a line per class, its WordNet id and its name; the 30 of VID when None.
        all_stills: List DET's other training images as well, as the published file does; they are
            no key frames, so that nothing is trained on them.

    Raises:
        DataError: There are no lists, a list or an XML file is missing or malformed, or the target
            holds such a file or cannot be written.
    """
    source, target = Path(source), Path(target)
    place = source / "Lists" if lists is None else Path(lists)
    known = CLASSES if classes is None else ilsvrc.read_classes(Path(classes))
    there = {name: file for name, file in _FILES.items() if (place / name).is_file()}
    if not there:
        raise DataError(
            f"{place}: holds none of {', '.join(_FILES)}; name the folder of the lists "
            "(docs/datasets/imagenet_vid.md says where to get them)"
        )
    if held := [file for file in there.values() if (target / file).exists()]:
        raise DataError(
            f"{target}: holds {held[0]} already; remove it, or name another folder to convert into"
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be made: {error.strerror or error}; choose another place"
        ) from error
    done: dict[str, FileCounts] = {}
    for name, file in there.items():
        if name == ilsvrc.DET_LIST:
            annotations = source / "Annotations" / "DET"
            listed = ilsvrc.read_image_list(place / name)
            others = ilsvrc.other_images(annotations, listed) if all_stills else ()
            converter = Converter(annotations, known, other=True)
            rows = _stills(converter, listed, others)
            done[file] = _write(target / file, converter, rows)
            continue
        read = ilsvrc.read_train_list if name == ilsvrc.TRAIN_LIST else ilsvrc.read_val_list
        videos = read(place / name)
        converter = Converter(source / "Annotations" / "VID", known)
        rows = (row for video in videos for row in converter.video(video))
        done[file] = _write(target / file, converter, rows, videos)
    return ImageNetConversion(target, done)


def _stills(
    converter: Converter, listed: tuple[str, ...], others: tuple[str, ...]
) -> Iterator[tuple[Row, list[Row]]]:
    yield from (converter.still(name, key=True) for name in listed)
    yield from (converter.still(name, key=False) for name in others)


def _write(
    path: Path,
    converter: Converter,
    rows: Iterator[tuple[Row, list[Row]]],
    videos: tuple[Video, ...] = (),
) -> FileCounts:
    """Writes a file as its rows come; the annotations wait on disk until all images are written."""
    keys = 0
    with atomic_text(path) as file, tempfile.TemporaryFile("w+", dir=path.parent) as waiting:
        named = ilsvrc.categories(converter.classes, converter.other)
        file.write(f'{{"categories":{json.dumps(named)},\n')
        if videos:
            listed = [ilsvrc.video_row(video, i) for i, video in enumerate(videos, 1)]
            file.write(f'"videos":{json.dumps(listed)},\n')
        file.write('"images":[')
        for image, objects in rows:
            keys += image["is_vid_train_frame"]
            file.write(("" if image["id"] == 1 else ",\n") + json.dumps(image))
            for row in objects:
                waiting.write(("" if row["id"] == 1 else ",\n") + json.dumps(row))
        file.write('],\n"annotations":[')
        waiting.seek(0)
        while piece := waiting.read(1 << 20):
            file.write(piece)
        file.write("]}\n")
    return FileCounts(
        converter.videos, converter.images, keys, converter.objects, converter.left_out
    )
