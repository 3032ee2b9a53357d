"""COCO JSON: images with annotations, and lists of detections (https://cocodataset.org/#format-data).

The keys that CocoVID adds for the frames of videos are read and written as well (`coco_video`).
A box that lies partly outside its image is kept as it stands: what it covers outside counts in
its area and IoU, as in pycocotools. A box wholly outside is an error, as is one without area.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats import coco_video
from tinyscope.formats.atomic import atomic_text
from tinyscope.formats.boxes import corners, widths_and_heights
from tinyscope.formats.columns import (
    check_boxes,
    class_names,
    image_files,
    image_sizes,
    image_windows,
    positions,
    rows_of,
    stated_areas,
    unique_ids,
)
from tinyscope.formats.rows import Rows, read_object, read_rows
from tinyscope.formats.tables import Annotations, DetectionTable

MARKS = ("uncertain", "logo", "in_dense_image")
"""Flags beyond COCO's that files of TinyPerson hold."""
IGNORED_CROWD = "ignored_crowd"
"""Mark of crowds that the file flags `ignore` as well, which some protocols tell from others."""
MEASURES = ("size", "vis_ratio", "height", "motion_iou")
"""Numbers beyond COCO's that files of TinyPerson and CityPersons hold, and how fast an object of a
video moves (`evaluation.motion`)."""

_ROWS_AT_ONCE = 10_000  # rows that are Python objects at a time while writing

AddDetections = Callable[
    [
        NDArray[np.integer[Any]],
        NDArray[np.floating[Any]],
        NDArray[np.floating[Any]],
        NDArray[np.integer[Any]],
    ],
    None,
]
"""Takes image ids (d,), boxes x1 y1 x2 y2 (d, 4), scores (d,) and category ids (d,)."""


def read_annotations(path: Path, images: Path | None = None) -> Annotations:
    """Images and objects of a COCO file.

    `iscrowd` rows and rows with an optional `ignore` flag count neither for nor against.

    Args:
        path: The JSON file.
        images: Folder that `file_name` starts from; the file's own folder when None.

    Raises:
        DataError: The file is missing or malformed, has no images, an id twice, a reference to
            nothing, an image outside of the folder, or a box that cannot be right.
    """
    return annotations_of(read_object(path), path, images)


def annotations_of(content: dict[str, Any], path: Path, images: Path | None = None) -> Annotations:
    """What the content of a COCO file says; `path` is the file's, else as `read_annotations`."""
    pictures = rows_of(content, "images", "image", path)
    objects = rows_of(content, "annotations", "annotation", path)
    categories = rows_of(content, "categories", "category", path)
    if not len(pictures):
        raise DataError(f"{path}: the data set is empty: no images are listed; add some")
    if not len(categories):
        raise DataError(f"{path}: no categories are listed; name at least one class")
    category_ids = unique_ids(categories)
    image_ids = unique_ids(pictures)
    annotation_ids = unique_ids(objects)
    sizes = image_sizes(pictures)
    if (windows := image_windows(pictures, sizes)) is not None:
        sizes = (windows[:, [3, 2]] - windows[:, [1, 0]]).astype(np.int32)  # stated or not
    position = positions(objects, "image_id", image_ids, "image")
    label = positions(objects, "category_id", category_ids, "category")
    stated = objects.boxes()
    check_boxes(objects, stated, sizes[position])
    crowd = objects.flags("iscrowd")
    flagged = objects.flags("ignore")
    marks = {key: objects.flags(key) for key in MARKS if objects.mentions(key)}
    if (both := crowd & flagged).any():
        marks[IGNORED_CROWD] = both
    areas = stated_areas(objects, stated)
    files = image_files(pictures)
    video = coco_video.read(content, pictures, objects, files, path)
    order = np.argsort(position, kind="stable")
    return Annotations(
        root=path.parent if images is None else images,
        names=class_names(categories),
        category_ids=tuple(int(i) for i in category_ids),
        image_ids=image_ids,
        files=files,
        sizes=sizes,
        offsets=np.searchsorted(position[order], np.arange(len(image_ids) + 1)).astype(np.int64),
        boxes=corners(stated)[order],
        labels=label[order],
        areas=areas[order],
        ignore=(crowd | flagged)[order],
        crowd=crowd[order],
        annotation_ids=annotation_ids[order],
        marks={key: column[order] for key, column in marks.items()},
        measures={
            key: objects.numbers_or_nan(key)[order] for key in MEASURES if objects.mentions(key)
        },
        windows=windows,
        source=path,
        video=video and replace(video, instances=video.instances[order]),
    )


def read_detections(path: Path, truth: Annotations) -> DetectionTable:
    """Detections of a COCO results list, in the order of the file.

    Raises:
        DataError: The file is missing or malformed, a row lacks a key or names an image or a
            category that `truth` does not have, or a box or a score is no number.
    """
    return DetectionTable.concatenate(list(read_detection_pieces(path, truth)))


def read_detection_pieces(path: Path, truth: Annotations) -> Iterator[DetectionTable]:
    """The same, some thousand rows at a time."""
    categories = np.array(truth.category_ids, dtype=np.int64)
    before = 0
    for piece in read_rows(path):
        rows = Rows(piece, f"{path}: detection", before)
        boxes = rows.boxes()
        if (wrong := (boxes[:, 2:] < 0).any(axis=1)).any():
            row = int(wrong.argmax())
            rows.refuse(
                row,
                f"box {boxes[row].tolist()} (x, y, width, height) has a negative side; "
                "remove the row or correct the box",
            )
        yield DetectionTable(
            images=positions(rows, "image_id", truth.image_ids, "image"),
            boxes=corners(boxes),
            scores=rows.numbers("score"),
            labels=positions(rows, "category_id", categories, "category"),
        )
        before += len(rows)


def write_annotations(
    annotations: Annotations,
    path: Path,
    *,
    whole: Annotations | None = None,
    booleans: bool = False,
) -> None:
    """Writes the images and objects as a COCO file, which `read_annotations` reads back equal.

    Args:
        annotations: What is written.
        path: Of the file.
        whole: The images that the annotated ones are tiles of; listed as `old_images`.
        booleans: Write flags as true and false, as TinyPerson's files do, not as 1 and 0.

    Raises:
        DataError: The file cannot be written.
    """
    a = annotations
    categories = zip(a.category_ids, a.names, strict=True)
    with atomic_text(path) as file:
        file.write('{"categories":')
        json.dump([{"id": i, "name": name} for i, name in categories], file)
        if whole is not None:
            _write_list(file, "old_images", _image_texts(whole))
        if a.video is not None:
            _write_list(file, "videos", map(json.dumps, coco_video.video_rows(a.video)))
        _write_list(file, "images", _image_texts(a))
        _write_list(file, "annotations", _annotation_texts(a, booleans))
        file.write("}\n")


def write_detections(table: DetectionTable, truth: Annotations, path: Path) -> None:
    """Writes detections as a COCO results list with the ids of `truth`.

    Raises:
        DataError: The file cannot be written.
    """
    categories = np.array(truth.category_ids, dtype=np.int64)
    with detection_writer(path) as add:
        for start in range(0, len(table), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            add(
                truth.image_ids[table.images[rows]],
                table.boxes[rows],
                table.scores[rows],
                categories[table.labels[rows]],
            )


@contextmanager
def detection_writer(path: Path) -> Iterator[AddDetections]:
    """A COCO results list to add detections to as they come; `path` appears at the end.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_text(path) as file:
        separator = "[\n"

        def add(
            image_ids: NDArray[np.integer[Any]],
            boxes: NDArray[np.floating[Any]],
            scores: NDArray[np.floating[Any]],
            category_ids: NDArray[np.integer[Any]],
        ) -> None:
            nonlocal separator
            stated = _stated(np.asarray(boxes, dtype=np.float64).reshape(-1, 4))
            columns = (image_ids, category_ids, stated, scores)
            for i, c, box, score in zip(*(x.tolist() for x in columns), strict=True):
                row = {"image_id": i, "category_id": c, "bbox": box, "score": score}
                file.write(separator + json.dumps(row))
                separator = ",\n"

        yield add
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def _stated(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([boxes[:, :2], widths_and_heights(boxes)], axis=1)


def _write_list(file: TextIO, key: str, rows: Iterator[str]) -> None:
    file.write(f',\n"{key}":[')
    for number, text in enumerate(rows):
        file.write((",\n" if number else "\n") + text)
    file.write("]")


def _image_texts(a: Annotations) -> Iterator[str]:
    pictures = zip(a.image_ids.tolist(), a.files.tolist(), a.sizes.tolist(), strict=True)
    for number, (i, name, (height, width)) in enumerate(pictures):
        row = {"id": i, "file_name": name}
        size = {"width": width, "height": height} if width and height else {}
        corner = {} if a.windows is None else {"corner": a.windows[number].tolist()}
        frame = {} if a.video is None else coco_video.frame_keys(a.video, number)
        yield json.dumps(row | size | corner | frame)


def _annotation_texts(a: Annotations, booleans: bool) -> Iterator[str]:
    flagged = a.ignore & ~a.crowd | a.marks.get(IGNORED_CROWD, np.zeros_like(a.crowd))
    marks = {key: column for key, column in a.marks.items() if key in MARKS}
    kind = np.bool_ if booleans else np.int64
    images = np.repeat(a.image_ids, np.diff(a.offsets))
    categories = np.array(a.category_ids, dtype=np.int64)
    for start in range(0, len(a.boxes), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        columns: tuple[NDArray[Any], ...] = (
            a.annotation_ids[rows],
            images[rows],
            categories[a.labels[rows]],
            _stated(a.boxes[rows]),
            a.areas[rows],
            a.crowd[rows].astype(np.int64),
            flagged[rows].astype(kind),
        )
        keys = ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore"]
        more: dict[str, NDArray[Any]] = {k: c[rows].astype(kind) for k, c in marks.items()}
        more |= {key: column[rows] for key, column in a.measures.items()}
        if a.video is not None:
            more |= coco_video.object_columns(a.video, rows, a.images[rows])
        keys += more
        for values in zip(*(x.tolist() for x in (*columns, *more.values())), strict=True):
            row = zip(keys, values, strict=True)
            # Neither NaN nor None: what is not known is not written.
            yield json.dumps({k: v for k, v in row if v is not None and v == v})
