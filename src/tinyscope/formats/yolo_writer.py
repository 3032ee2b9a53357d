"""Writes annotations as a YOLO data set: labels/SPLIT/*.txt and data.yaml."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.files import stored_name
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations
from tinyscope.formats.yolo import label_file


def write_annotations(splits: Mapping[str, Annotations], folder: Path) -> dict[str, int]:
    """Writes the labels of all splits and data.yaml; images belong at `stored_files`.

    YOLO has no way to say that a region counts neither for nor against: such rows are left out.

    Returns:
        How many ignore rows were left out, by split.

    Raises:
        DataError: Two splits name other classes, two images would share a label file, an image
            of unknown size cannot be read, or a file cannot be written.
    """
    names = next(iter(splits.values())).names
    left_out = {}
    for split, annotations in splits.items():
        if annotations.names != names:
            raise DataError(
                f"split {split} has classes {annotations.names}, the first split {names}; one "
                "data.yaml can only name them alike"
            )
        for image, file in enumerate(stored_files(annotations, split)):
            path = folder / label_file(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = _fractions(annotations, image)
            path.write_text("".join(_line(*row) for row in rows.tolist()))
        left_out[split] = int(annotations.ignore.sum())
    settings = {split: f"images/{split}" for split in splits}
    text = yaml.safe_dump(
        {**settings, "nc": len(names), "names": dict(enumerate(names))}, sort_keys=False
    )
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return left_out


def stored_files(annotations: Annotations, split: str) -> list[str]:
    """Where the images of a split belong in a YOLO data set, relative to its folder.

    Raises:
        DataError: Two images of one folder differ only in their suffix, so that they would share
            a label file.
    """
    files = [_below_images(stored_name(str(file), split)) for file in annotations.files]
    label_of: dict[str, str] = {}
    for file in files:
        if (other := label_of.setdefault(label_file(file), file)) != file:
            raise DataError(
                f"{other} and {file} would share the label file {label_file(file)}; rename one"
            )
    return files


def _line(label: float, *fractions: float) -> str:
    # Nine digits: a thousandth of a pixel in images of a million.
    return " ".join([f"{label:.0f}", *(f"{x:.9f}" for x in fractions)]) + "\n"


def _below_images(file: str) -> str:
    # Readers take the last folder of that name for the root of all images.
    *folders, name = file.split("/")
    return "/".join(["images", *("images_" if f == "images" else f for f in folders), name])


def _fractions(annotations: Annotations, image: int) -> NDArray[np.float64]:
    """Rows (n, 5): class, center and sides in fractions of the image's width and height."""
    rows = annotations.rows(image)
    kept = ~annotations.ignore[rows]
    boxes = annotations.boxes[rows][kept]
    height, width = annotations.sizes[image]
    if not height or not width:
        height, width = image_size(annotations.path(image))
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 / (width, height)
    sides = (boxes[:, 2:] - boxes[:, :2]) / (width, height)
    return np.concatenate([annotations.labels[rows][kept, None], center, sides], axis=1)
