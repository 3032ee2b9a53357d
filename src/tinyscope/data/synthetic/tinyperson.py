"""A procedural data set in the layout and with the flags of TinyPerson: large images, tiny persons.

For tests of whole flows and for trying them out; what is learned from it is of no use on real
images. The files are those that `tinyscope.formats.tinyperson` finds.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinyscope.data.synthetic.canvas import Canvas
from tinyscope.data.synthetic.picture import expose
from tinyscope.data.synthetic.scenes import KINDS, ground
from tinyscope.data.synthetic.write import begun
from tinyscope.formats import coco
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations
from tinyscope.types import Size

SIDES = (2.0, 32.0)
"""Range of the sides of persons in pixels; they are log-uniform in it."""
CATEGORIES = ("sea_person", "earth_person")

_DENSE = 205  # persons; published as more than 200
_EMPTY_EVERY, _DENSE_EVERY = 24, 16  # images, about as often as in TinyPerson
_FLAGS = ("ignore", "uncertain", "logo")


@dataclass(frozen=True)
class PersonPicture:
    """Pixels (h, w, 3), the folder its kind belongs to, boxes xyxy (n, 4) and their flags (n,)."""

    image: NDArray[np.uint8]
    folder: str
    sea: bool
    boxes: NDArray[np.float64]
    flags: Mapping[str, NDArray[np.bool_]]


def person_picture(seed: int, split: str, number: int, size: Size) -> PersonPicture:
    """The picture of that number; it depends on nothing but the arguments.

    Args:
        seed: Of the data set.
        split: Name of the split.
        number: Position in the split. The second image is empty and the third dense, and so on.
        size: Mean height and width; each picture has 0.75 to 1.25 times as much.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"tinyperson {split}".encode()), number])
    height, width = (int(n * rng.uniform(0.75, 1.25)) for n in size)
    kind = KINDS[int(rng.choice(len(KINDS), p=(0.5, 0.15, 0.1, 0.25)))]
    canvas = Canvas(ground(kind, (height, width), rng), rng, water=kind == "water")
    empty, dense = number % _EMPTY_EVERY == 1, number % _DENSE_EVERY == 2
    flagged: dict[str, list[int]] = {flag: [] for flag in _FLAGS}
    if not empty:
        _add_persons(canvas, _DENSE + int(rng.integers(60)) if dense else _count(rng), flagged)
    for _ in range(int(rng.integers(2, 8))):
        canvas.add_look_alike()
    boxes = np.array(canvas.boxes, dtype=np.float64).reshape(-1, 4).round(3)
    rows = np.arange(len(boxes))
    folder = "pure_bg_images" if empty else "labeled_dense_images" if dense else "labeled_images"
    flags = {flag: np.isin(rows, places) for flag, places in flagged.items()}
    flags["in_dense_image"] = np.full(len(boxes), dense)
    return PersonPicture(expose(canvas.image, rng), folder, kind == "water", boxes, flags)


def write_tinyperson(
    folder: Path,
    images: Mapping[str, int] | None = None,
    seed: int = 0,
    size: Size = (2000, 3000),
) -> None:
    """Writes SPLIT/*/*.jpg and annotations/**.json of train and test; equal arguments, equal bytes.

    Args:
        folder: Where to; a new or empty one, or one in which writing was broken off.
        images: How many of each split, dense and empty ones included; 40 and 20 by default.
        seed: Other seeds give other pictures.
        size: Mean height and width; pictures have 0.75 to 1.25 times as much.

    Raises:
        SettingsError: A count or the size cannot be right.
        DataError: The folder holds something, or cannot be written.
    """
    counts = {"train": 40, "test": 20} if images is None else images
    with begun(folder, counts, size):
        for split, count in counts.items():
            _write_annotations(folder, split, _draw(folder, split, count, seed, size))


def _count(rng: np.random.Generator) -> int:
    return int(np.exp(rng.uniform(np.log(6), np.log(60))))


def _add_persons(canvas: Canvas, count: int, flagged: dict[str, list[int]]) -> None:
    rng = canvas.rng
    for _ in range(int(rng.integers(1, 4))):
        canvas.add_crowd()
    flagged["ignore"] += range(len(canvas.boxes))
    for _ in range(int(rng.integers(1, 5))):  # too blurred to be told to be a person
        if (box := canvas.add("person", rng.uniform(5, 16))) is not None:
            canvas.blur(box + np.array([-3, -3, 3, 3]), rng.uniform(2, 3))
            flagged["uncertain"].append(len(canvas.boxes) - 1)
    if rng.random() < 0.3 and canvas.add("person", rng.uniform(12, 30)) is not None:  # a picture
        flagged["logo"].append(len(canvas.boxes) - 1)
        flagged["ignore"].append(len(canvas.boxes) - 1)
    low, high = np.log(SIDES)
    for _ in range(count):
        canvas.add("person", float(np.exp(rng.uniform(low, high))))


def _draw(
    folder: Path, split: str, count: int, seed: int, size: Size
) -> list[tuple[str, PersonPicture]]:
    """Writes the pictures; their names below the folder of the split, and they without pixels."""
    made = []
    for number in range(count):
        picture = person_picture(seed, split, number, size)
        file = f"{picture.folder}/{number:05d}.jpg"
        path = folder / split / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.image).save(path, quality=92, subsampling=0)
        height, width = picture.image.shape[:2]
        made.append((file, replace(picture, image=np.zeros((height, width, 0), dtype=np.uint8))))
    return made


def _write_annotations(folder: Path, split: str, made: Sequence[tuple[str, PersonPicture]]) -> None:
    everything = _annotations(folder / split, made)
    dense = np.array([picture.folder == "labeled_dense_images" for _, picture in made])
    clear = _from_zero(everything.take(np.flatnonzero(~dense)))
    person = replace(clear, names=("person",), category_ids=(1,), labels=clear.labels * 0)
    place = folder / "annotations"
    (place / "task").mkdir(parents=True, exist_ok=True)
    for file, annotations in (
        (f"tiny_set_{split}_with_dense.json", everything),
        (f"tiny_set_{split}.json", clear),
        (f"task/tiny_set_{split}_all.json", person),
    ):
        coco.write_annotations(annotations, place / file, booleans=True)


def _annotations(root: Path, made: Sequence[tuple[str, PersonPicture]]) -> Annotations:
    pictures = [picture for _, picture in made]
    marks = {
        flag: np.concatenate([picture.flags[flag] for picture in pictures])
        for flag in (*_FLAGS, "in_dense_image")
    }
    counts = [len(picture.boxes) for picture in pictures]
    labels = np.repeat([0 if picture.sea else 1 for picture in pictures], counts)
    annotations = assemble(
        root,
        CATEGORIES,
        [file for file, _ in made],
        np.array([picture.image.shape[:2] for picture in pictures], dtype=np.int32),
        counts,
        np.concatenate([picture.boxes for picture in pictures]),
        labels.astype(np.int64),
        marks.pop("ignore"),
    )
    sizes = np.sqrt(annotations.areas)
    return _from_zero(replace(annotations, marks=marks, measures={"size": sizes}))


def _from_zero(annotations: Annotations) -> Annotations:
    """Ids from 0, as TinyPerson's are."""
    return replace(
        annotations,
        image_ids=np.arange(len(annotations)),
        annotation_ids=np.arange(len(annotations.boxes)),
    )
