"""ImageNet VID and DET as mmtracking lists them: CocoVID files of published names.

ILSVRC/ holds Data/VID, Data/DET, Annotations and Lists as they are published. `imagenet_ilsvrc`
makes the files that are read here.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.errors import DataError
from tinyscope.formats import coco
from tinyscope.formats.rows import read_object
from tinyscope.formats.tables import Annotations

VID_FILE = "imagenet_vid_{split}.json"
DET_FILE = "imagenet_det_30plus1cls.json"

OTHER = "other_categeries"
"""Class, as published, of objects in DET that are of none of the classes of VID."""

CLASSES = {
    "n02691156": "airplane",
    "n02419796": "antelope",
    "n02131653": "bear",
    "n02834778": "bicycle",
    "n01503061": "bird",
    "n02924116": "bus",
    "n02958343": "car",
    "n02402425": "cattle",
    "n02084071": "dog",
    "n02121808": "domestic_cat",
    "n02503517": "elephant",
    "n02118333": "fox",
    "n02510455": "giant_panda",
    "n02342885": "hamster",
    "n02374451": "horse",
    "n02129165": "lion",
    "n01674464": "lizard",
    "n02484322": "monkey",
    "n03790512": "motorcycle",
    "n02324045": "rabbit",
    "n02509815": "red_panda",
    "n02411705": "sheep",
    "n01726692": "snake",
    "n02355227": "squirrel",
    "n02129604": "tiger",
    "n04468005": "train",
    "n01662784": "turtle",
    "n04530566": "watercraft",
    "n02062744": "whale",
    "n02391049": "zebra",
}
"""The classes of VID by their WordNet ids, in the published order."""


def read_annotations(path: Path, images: Path) -> Annotations:
    """A CocoVID file of ImageNet, less what its detectors do not learn from.

    Left out, and counted in the notes, are boxes of the other categories (which makes those objects
    background) and boxes that no object can have: less than a pixel wide or high, without area, or
    wholly outside of their image.

    Args:
        path: The JSON file.
        images: Folder that its file names start from.

    Raises:
        DataError: The file is missing or malformed.
    """
    content = read_object(path)
    other = {c["id"] for c in _rows(content, "categories") if c.get("name") == OTHER}
    sizes = {image.get("id"): image for image in _rows(content, "images")}
    kept, counts = [], {"of other categories": 0, "that cannot be boxes": 0}
    for row in _rows(content, "annotations"):
        if row.get("category_id") in other:
            counts["of other categories"] += 1
        elif not _can_be(row, sizes.get(row.get("image_id"), {})):
            counts["that cannot be boxes"] += 1
        else:
            kept.append(row)
    categories = [c for c in _rows(content, "categories") if c.get("id") not in other]
    content |= {"annotations": kept, "categories": categories}
    read = coco.annotations_of(content, path, images)
    for reason, count in counts.items():
        if count:
            read = read.noted(f"{path.name}: {count} boxes {reason} are left out")
    return read


def to_train_on(annotations: Annotations, least_side: int = 32) -> Annotations:
    """The same with fewer key frames: none without an object, none of a small image.

    All frames of a video stay, since a key frame may be shown with any of them; stills that are no
    key frames are left out.

    Args:
        annotations: Of frames and stills.
        least_side: Of an image, pixels; one whose size is not stated is taken as large enough.

    Raises:
        DataError: The file says neither what is a video nor what is a key frame.
    """
    video = annotations.video
    if video is None:
        raise DataError(
            f"{annotations.place}: lists no videos and flags no is_vid_train_frame; make it with "
            "`tinyscope convert --from imagenet-vid` (docs/datasets/imagenet_vid.md)"
        )
    objects = annotations.images[~annotations.ignore]
    held = np.bincount(objects, minlength=len(annotations)) > 0
    sides = annotations.sizes.min(axis=1)
    large = (sides >= least_side) | (sides == 0)
    keys = video.keys & held & large
    lost = int((video.keys & ~held).sum()), int((video.keys & held & ~large).sum())
    frames_of = np.bincount(video.videos, minlength=len(video.names))
    used = np.flatnonzero(keys | (frames_of[video.videos] > 1))
    result = annotations.with_keys(keys).take(used)
    for count, reason in zip(lost, ("without an object", f"below {least_side} px"), strict=True):
        if count:
            result = result.noted(f"{count} images {reason} are no key frames")
    if unused := len(annotations) - len(used):
        result = result.noted(f"{unused} stills that are no key frames are left out")
    return result


def find(folder: Path, name: str) -> Path:
    """The annotations of that name in ILSVRC/annotations/, ILSVRC/ or the folder above.

    Raises:
        DataError: They are in none of these.
    """
    places = [
        folder / "annotations" / name,
        folder / name,
        folder / "ILSVRC" / "annotations" / name,
    ]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"{folder}: no {name}; looked for {', '.join(map(str, places))}; make it with `tinyscope "
        "convert --from imagenet-vid` (docs/datasets/imagenet_vid.md)"
    )


def find_images(folder: Path, kind: str) -> Path:
    """Data/VID or Data/DET, whose names start from there; the folder itself where it has none."""
    places = [folder / "Data" / kind, folder / "ILSVRC" / "Data" / kind]
    return next((place for place in places if place.is_dir()), folder)


def _rows(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects listed under a key; what is malformed is left for the reader of COCO to name."""
    rows = content.get(key)
    return [r for r in rows if isinstance(r, dict)] if isinstance(rows, list) else []


def _can_be(row: dict[str, Any], image: dict[str, Any]) -> bool:
    try:
        x, y, width, height = row["bbox"]
        inside = min(x + width, image.get("width", math.inf)) > max(x, 0)
        inside &= min(y + height, image.get("height", math.inf)) > max(y, 0)
        return bool(inside and width >= 1 and height >= 1 and row.get("area", 1) > 0)
    except (KeyError, TypeError, ValueError):
        return True  # malformed: named by the reader
