"""YOLO: a text file per image with a row `class cx cy w h` per object, in fractions of the image.

The data set stands where its data.yaml stands; the label of images/a/b.png is labels/a/b.txt (the
last folder called `images` becomes `labels`), or b.txt beside it where no folder is called so.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.files import image_files, inside, read_text, split_names
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations

SETTINGS_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")

_log = logging.getLogger(__name__)


def read_annotations(path: Path, split: str = "train") -> Annotations:
    """Reads one split of a YOLO data set.

    An image with an empty label file, or with none, has no objects; how many have none is logged
    and can be asked of `missing_labels`. Boxes may reach over the border, but not lie outside.

    Args:
        path: data.yaml, or the folder that holds it (or classes.txt and the images).
        split: A key of data.yaml, or a folder such as images/train.

    Raises:
        DataError: A file is missing or malformed; the message names file, line and value.
    """
    folder = path if path.is_dir() else path.parent
    source, settings = _settings(path)
    names = _names(settings.get("names"), settings.get("nc"), source)
    files = _split_files(folder, settings, split, source)
    rows, counts, missing = _read_labels(folder, files)
    if missing == len(files):
        raise DataError(
            f"{folder}: none of the {missing} images of split {split} has a label file; the first "
            f"was looked for at {folder / label_file(files[0])}"
        )
    if missing:
        _log.warning(
            "%s: %d of %d images of split %s have no label file; they count as images without "
            "objects",
            folder,
            missing,
            len(files),
            split,
        )
    sizes = np.array([image_size(folder / file) for file in files], dtype=np.int32)
    _check_labels(rows, counts, files, folder, len(names))
    height, width = np.repeat(sizes, counts, axis=0).T
    scale = np.stack([width, height], axis=1)
    center, half = rows[:, 1:3] * scale, rows[:, 3:5] * scale / 2
    boxes = np.concatenate([center - half, center + half], axis=1)
    return assemble(folder, names, files, sizes, counts, boxes, rows[:, 0].astype(np.int64))


def label_file(file: str) -> str:
    """Where the objects of an image stand; both are relative to the data set's folder."""
    parts = list(PurePosixPath(file).with_suffix(".txt").parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return "/".join(parts)


def missing_labels(annotations: Annotations) -> int:
    """How many images of a YOLO data set have no label file."""
    labels = (annotations.root / label_file(str(file)) for file in annotations.files)
    return sum(not path.is_file() for path in labels)


def find_settings(folder: Path) -> Path | None:
    """The file of a YOLO data set that names its classes."""
    return next((p for f in (*SETTINGS_FILES, *NAME_FILES) if (p := folder / f).is_file()), None)


def has_split(path: Path, split: str) -> bool:
    """Whether a data set says where the images of a split are, or has a folder of that name."""
    folder = path if path.is_dir() else path.parent
    _, settings = _settings(path)
    aliases = split_names(split)
    return any(settings.get(name) for name in aliases) or bool(_folders(folder, aliases))


def _folders(folder: Path, aliases: Sequence[str]) -> list[str]:
    return [place for place in _places(aliases) if (folder / place).is_dir()][:1]


def _places(aliases: Sequence[str]) -> list[str]:
    return [place for name in aliases for place in (f"images/{name}", f"{name}/images")]


def _settings(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file that names the classes, and what it says."""
    source = find_settings(path) if path.is_dir() else path
    if source is None:
        raise DataError(
            f"{path}: no class names; looked for {', '.join((*SETTINGS_FILES, *NAME_FILES))}; "
            "write data.yaml with `names: [...]`, `train:` and `val:`"
        )
    text = read_text(source)
    if source.suffix not in (".yaml", ".yml"):
        return source, {"names": [line.strip() for line in text.splitlines() if line.strip()]}
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{source}: is not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise DataError(f"{source}: must be a mapping with names, train and val, got {settings!r}")
    return source, settings


def _names(names: object, count: object, source: Path) -> list[str]:
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DataError(
                f"{source}: names must be numbered 0..{len(names) - 1}, got {list(names)}"
            )
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{source}: names must be a list or a mapping of classes, got {names!r}")
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        twice = next(name for name in texts if texts.count(name) > 1)
        raise DataError(f"{source}: class {twice!r} is named twice; every class needs its own name")
    if count is not None and count != len(texts):
        raise DataError(f"{source}: nc is {count!r}, but there are {len(texts)} names; correct one")
    return texts


def _split_files(folder: Path, settings: dict[str, Any], split: str, source: Path) -> list[str]:
    """Images of a split, relative to `folder`."""
    aliases = split_names(split)
    stated = next((settings[name] for name in aliases if settings.get(name)), None)
    if stated is None:
        places = _folders(folder, aliases)
        if not places:
            raise DataError(
                f"{source}: no split {split!r}: neither a key {' or '.join(aliases)} nor a folder "
                f"{' or '.join(_places(aliases))}; name its images"
            )
    else:
        entries = stated if isinstance(stated, list) else [stated]
        places = [_place(folder, settings.get("path"), str(entry), source) for entry in entries]
    files = [file for place in places for file in _listed(folder, place)]
    if not files:
        raise DataError(f"{source}: split {split} is empty: no images in {', '.join(places)}")
    return files


def _place(folder: Path, base: object, entry: str, source: Path) -> str:
    """Folder or list of images, relative to `folder`.

    A `path` that leads elsewhere says where the data set stood when it was written, and exports
    are known that put `../` before every entry: both are looked for below `folder` only.
    """
    plain = re.sub(r"^(\.\.?/)+", "", entry.replace("\\", "/"))
    bases = [str(base), ""] if base else [""]
    for start in bases:
        if ".." in Path(start).parts or Path(start).is_absolute():
            continue
        place = inside(str(PurePosixPath(start) / plain), source)
        if (folder / place).exists():
            return place
    raise DataError(
        f"{source}: {entry!r} (path {base!r}) is not found in {folder}; the images must lie below "
        "the folder of this file"
    )


def _listed(folder: Path, place: str) -> list[str]:
    if (folder / place).is_dir():
        prefix = "" if place == "." else f"{place}/"
        return [prefix + file for file in image_files(folder / place)]
    lines = [line.strip() for line in read_text(folder / place).splitlines()]
    start = PurePosixPath(place).parent
    return [inside(str(start / line.removeprefix("./")), folder / place) for line in lines if line]


def _read_labels(folder: Path, files: Sequence[str]) -> tuple[NDArray[np.float64], list[int], int]:
    """Rows (n, 5) of all images, how many each has, and how many have no file."""
    blocks, missing = [], 0
    for file in files:
        path = folder / label_file(file)
        if not path.is_file():
            missing += 1
            blocks.append(np.zeros((0, 5)))
            continue
        lines = [words for line in read_text(path).splitlines() if (words := line.split())]
        try:
            block = np.array(lines, dtype=np.float64).reshape(len(lines), 5)
        except ValueError:
            raise _malformed(path) from None
        blocks.append(block)
    return np.concatenate(blocks), [len(block) for block in blocks], missing


def _malformed(path: Path) -> DataError:
    lines = enumerate(read_text(path).splitlines(), start=1)
    number, line = next((i, line) for i, line in lines if not _five_numbers(line.split()))
    return DataError(
        f"{path}, line {number}: expected five numbers, class cx cy w h, got {line.strip()!r}; "
        "polygons, turned boxes and scores are not read"
    )


def _five_numbers(words: Sequence[str]) -> bool:
    try:
        return len([float(word) for word in words]) in (0, 5)  # 0: an empty line
    except ValueError:
        return False


def _check_labels(
    rows: NDArray[np.float64], counts: Sequence[int], files: Sequence[str], folder: Path, names: int
) -> None:
    label, center, side = rows[:, 0], rows[:, 1:3], rows[:, 3:5]
    low, high = center - side / 2, center + side / 2
    checks = {
        "holds a value that is not finite; write numbers": ~np.isfinite(rows).all(axis=1),
        f"has an unknown class; data.yaml names 0..{names - 1}": (
            (label % 1 != 0) | (label < 0) | (label >= names)
        ),
        "has a width or height that is not positive; remove it or correct it": (
            (side <= 0).any(axis=1)
        ),
        "lies outside its image; values must be fractions of width and height, in 0..1": (
            ((high <= 0) | (low >= 1)).any(axis=1)
        ),
    }
    for message, bad in checks.items():
        if bad.any():
            row = int(np.argmax(bad))
            image = int(np.searchsorted(np.cumsum(counts), row, side="right"))
            path = folder / label_file(files[image])
            nth = row - sum(counts[:image])
            lines = [(i, x) for i, x in enumerate(read_text(path).splitlines(), 1) if x.strip()]
            number, line = lines[nth]
            raise DataError(f"{path}, line {number}: object {line.strip()!r} {message}")
