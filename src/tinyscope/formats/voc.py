"""Pascal VOC: an XML file per image with the corners of every object.

VOC counts pixels from 1, so that the corner of an image is at 1; `one_based` takes 1 from every
corner. Many tools write VOC files that count from 0: set it to false for those. In VOC proper the
far corner names the last pixel of the object, so a box is one pixel wider than the difference:
`inclusive` adds it. For objects of 5 px both matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.files import IMAGE_SUFFIXES, inside, read_text, split_names
from tinyscope.formats.headers import image_size
from tinyscope.formats.tables import Annotations
from tinyscope.formats.xml import LINE, parse_xml
from tinyscope.types import Size

IMAGE_FOLDERS = ("JPEGImages", "images", ".")


def read_annotations(
    path: Path,
    split: str = "train",
    *,
    one_based: bool = True,
    inclusive: bool = False,
    names: Sequence[str] | None = None,
) -> Annotations:
    """Reads one split: ImageSets/Main/SPLIT.txt and Annotations/, or a folder SPLIT with both.

    Objects marked `difficult` or `ignore` become ignore.

    Args:
        path: Folder of the data set.
        split: Which files.
        one_based: Corners count from 1, so 1 is taken from each.
        inclusive: The far corner is the last pixel of the object, so 1 is added to it.
        names: Classes in the order of their labels. By default those of classes.txt, else those
            found in all XML files of the data set, sorted.

    Raises:
        DataError: A file is missing or malformed; the message names file, line and value.
    """
    xmls = _split_xmls(path, split)
    table = _Columns(one_based, inclusive)
    for xml in xmls:
        table.add(path, xml)
    known = _names(path, names, table, xmls)
    label_of = {name: label for label, name in enumerate(known)}
    for name, where in zip(table.classes, table.where, strict=True):
        if name not in label_of:
            raise DataError(
                f"{where}: class {name!r} is none of {', '.join(known)}; correct it or add it to "
                "the names"
            )
    return assemble(
        path,
        known,
        table.files,
        np.array(table.sizes, dtype=np.int32),
        table.counts,
        np.array(table.boxes, dtype=np.float64).reshape(-1, 4),
        np.array([label_of[name] for name in table.classes], dtype=np.int64),
        np.array(table.ignore, dtype=np.bool_),
    )


def find_split(folder: Path, split: str) -> Path | None:
    """The list, or else the folder of XML files, that a split is read from."""
    for name in split_names(split):
        listed = folder / "ImageSets" / "Main" / f"{name}.txt"
        if listed.is_file():
            return listed
        for place in (folder / name / "Annotations", folder / "Annotations" / name, folder / name):
            if place.is_dir() and _xmls(place, "*.xml"):
                return place
    return None


@dataclass
class _Columns:
    """What the XML files of a split say, while it is being read."""

    one_based: bool
    inclusive: bool
    files: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)
    where: list[str] = field(default_factory=list)

    def add(self, folder: Path, xml: Path) -> None:
        root = parse_xml(xml)
        file = _image_file(folder, xml, root)
        height, width = image_size(folder / file)
        _check_size(root, xml, file, (height, width))
        objects = root.findall("object")
        self.files.append(file)
        self.sizes.append((height, width))
        self.counts.append(len(objects))
        for entry in objects:
            where = f"{xml}, line {entry.get(LINE)}"
            self.boxes.append(self._box(entry, where, width, height))
            self.classes.append(_class(entry, where))
            self.ignore.append(any(_flag(entry, tag, where) for tag in ("difficult", "ignore")))
            self.where.append(where)

    def _box(self, entry: Element, where: str, width: int, height: int) -> list[float]:
        stated = [
            _number(entry, f"bndbox/{tag}", where) for tag in ("xmin", "ymin", "xmax", "ymax")
        ]
        x1, y1, x2, y2 = (value - self.one_based for value in stated)
        x2, y2 = x2 + self.inclusive, y2 + self.inclusive
        if x2 <= x1 or y2 <= y1:
            raise DataError(
                f"{where}: box {stated} (xmin, ymin, xmax, ymax) is empty or turned around; "
                "correct it, or set inclusive where the far corner is the object's last pixel"
            )
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            raise DataError(
                f"{where}: box {stated} (xmin, ymin, xmax, ymax) lies outside its image of "
                f"{width} x {height} pixels; correct it"
            )
        return [x1, y1, x2, y2]


def _check_size(root: Element, xml: Path, file: str, size: Size) -> None:
    """Refuses an XML that speaks of another version of its image; sides of 0 are not stated."""
    height, width = (_number(root, f"size/{tag}", str(xml), "0") for tag in ("height", "width"))
    if height and width and (height, width) != size:
        raise DataError(
            f"{xml}: states {width:g} x {height:g} pixels, but {file} has {size[1]} x {size[0]} "
            "(upright); the annotations belong to another version of the file"
        )


def _number(entry: Element, tag: str, where: str, default: str = "nan") -> float:
    text = entry.findtext(tag)
    try:
        value = float(text or default)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{where}: {tag} must be a number, got {text!r}; correct it")
    return value


def _class(entry: Element, where: str) -> str:
    if name := (entry.findtext("name") or "").strip():
        return name
    raise DataError(f"{where}: object has no name; name its class")


def _flag(entry: Element, tag: str, where: str) -> bool:
    text = (entry.findtext(tag) or "0").strip().lower()
    if text not in ("0", "1", "true", "false"):
        raise DataError(f"{where}: {tag} must be 0 or 1, got {text!r}")
    return text in ("1", "true")


def _image_file(folder: Path, xml: Path, root: Element) -> str:
    """The image of the same stem, as VOC has it, or else the one that the file names."""
    beside = xml.parent
    places = [beside.parent / name for name in IMAGE_FOLDERS] + [
        beside,
        beside.parent.parent / "JPEGImages" / beside.name,
        beside.parent.parent / "images" / beside.name,
    ]
    stated = inside((root.findtext("filename") or xml.stem).strip(), xml)
    stems = [xml.stem + s for suffix in sorted(IMAGE_SUFFIXES) for s in (suffix, suffix.upper())]
    for name in (stated, *stems) if Path(stated).stem == xml.stem else (*stems, stated):
        for place in places:
            file = place / name
            if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                return file.relative_to(folder).as_posix()
    raise DataError(
        f"{xml}: its image is missing: neither {stated!r} nor an image called {xml.stem} is in "
        f"{', '.join(sorted({str(p) for p in places if p.is_dir()}))}"
    )


def _split_xmls(folder: Path, split: str) -> list[Path]:
    source = find_split(folder, split)
    if source is None:
        raise DataError(
            f"{folder}: no split {split!r} in VOC layout; looked for ImageSets/Main/{split}.txt, "
            f"{split}/Annotations, Annotations/{split} and {split}/*.xml"
        )
    if source.is_dir():
        return _xmls(source, "*.xml")
    lines = [line.split()[0] for line in read_text(source).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{source}: split {split} is empty; list the images in it, one a line")
    return [folder / "Annotations" / f"{inside(line, source)}.xml" for line in lines]


def _xmls(folder: Path, pattern: str) -> list[Path]:
    """XML files, less those that raster tools write beside an image."""
    return sorted(p for p in folder.glob(pattern) if not p.name.endswith(".aux.xml"))


def _names(
    folder: Path, names: Sequence[str] | None, table: _Columns, read: Sequence[Path]
) -> list[str]:
    if names is not None:
        return list(names)
    if (file := folder / "classes.txt").is_file():
        return [line.strip() for line in read_text(file).splitlines() if line.strip()]
    # Of all splits, so that a class which one of them lacks does not shift the labels.
    found = set(table.classes)
    for xml in sorted(set(_xmls(folder, "**/*.xml")) - set(read)):
        root = parse_xml(xml)
        if root.tag == "annotation":
            found |= {_class(o, f"{xml}, line {o.get(LINE)}") for o in root.findall("object")}
    if not found:
        raise DataError(f"{folder}: no XML file names an object; set names to the classes")
    return sorted(found)
