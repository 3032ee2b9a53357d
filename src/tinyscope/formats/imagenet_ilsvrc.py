"""ImageNet VID and DET as published, lists and XML files, to rows of CocoVID files.

Boxes are xmin, ymin, xmax - xmin, ymax - ymin, without the pixel that an inclusive corner would
add: so the published detectors were trained and scored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element

from tinyscope.errors import DataError
from tinyscope.formats.files import inside, read_text
from tinyscope.formats.imagenet_vid import CLASSES, OTHER
from tinyscope.formats.xml import LINE, parse_xml

TRAIN_LIST = "VID_train_15frames.txt"
VAL_LIST = "VID_val_videos.txt"
DET_LIST = "DET_train_30classes.txt"

DET_FOLDERS = ("ILSVRC2013_train", "ILSVRC2014_train")
"""What folders of DET's training images start with; others hold no images of their own."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Video:
    """A video of a list: its folder, how many frames it has, and which of them are key frames."""

    name: str
    length: int
    keys: tuple[int, ...] = ()


def read_train_list(path: Path) -> tuple[Video, ...]:
    """Videos of lines `video 1 frame length`, a line per key frame.

    The frame is counted from 1. (The original code of FGFA takes the number itself for a place
    counted from 0, so its key frames stand one later.)

    Raises:
        DataError: The list cannot be read, a line is not like that, or names a frame that its video
            does not have.
    """
    keys: dict[str, list[int]] = {}
    lengths: dict[str, int] = {}
    for number, (name, _, frame, length) in _lines(path, 4):
        at = keys.setdefault(name, [])
        if lengths.setdefault(name, length) != length or not 1 <= frame <= length:
            _refuse(path, number, f"frame {frame} of {length} in {name}, which has {lengths[name]}")
        at.append(frame - 1)
    return tuple(Video(name, lengths[name], tuple(keys[name])) for name in keys)


def read_val_list(path: Path) -> tuple[Video, ...]:
    """Videos of lines `video first 0 length`; `first` numbers the frames of all videos from 1.

    Raises:
        DataError: The list cannot be read, a line is not like that, or a video is listed twice.
    """
    videos: dict[str, Video] = {}
    for number, (name, _, _, length) in _lines(path, 4):
        if name in videos or length < 1:
            _refuse(path, number, f"{name} is listed twice or has {length} frames")
        videos[name] = Video(name, length)
    return tuple(videos.values())


def read_image_list(path: Path) -> tuple[str, ...]:
    """Images of lines `image 1`, without their endings.

    Raises:
        DataError: The list cannot be read, or a line is not like that.
    """
    return tuple(name for _, (name, *_) in _lines(path, 2))


def other_images(annotations: Path, listed: Sequence[str]) -> tuple[str, ...]:
    """Images of DET's training set that have annotations and are not listed, in their order."""
    known = set(listed)
    folders = (p for p in (annotations / "train").glob("*") if p.name.startswith(DET_FOLDERS))
    found = (xml for folder in sorted(folders) for xml in sorted(folder.rglob("*.xml")))
    names = (xml.relative_to(annotations).with_suffix("").as_posix() for xml in found)
    return tuple(name for name in names if name not in known)


def categories(classes: Mapping[str, str] = CLASSES, other: bool = False) -> list[Row]:
    """The classes by their WordNet ids, numbered from 1; `other` adds the one of DET."""
    named = [*classes.items(), *([(None, OTHER)] if other else [])]
    return [{"id": i, "name": n, "encode_name": w} for i, (w, n) in enumerate(named, 1)]


def read_classes(path: Path) -> dict[str, str]:
    """Classes by their WordNet ids, from lines such as `n02691156 airplane`.

    Raises:
        DataError: The file cannot be read, a line is not like that, or an id stands there twice.
    """
    classes: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not (words := line.split()):
            continue
        if len(words) != 2 or words[0] in classes:
            _refuse(path, number, f"{line!r} is not a new WordNet id and a name without spaces")
        classes[words[0]] = words[1]
    return classes


@dataclass
class Converter:
    """Rows of one file, numbered on and on from 1.

    Args:
        annotations: Folder of the XML files that names start from.
        classes: By their WordNet ids.
        other: Number objects of no class as one class more; else they are left out.
    """

    annotations: Path
    classes: Mapping[str, str]
    other: bool = False

    def __post_init__(self) -> None:
        self.label_of = {wordnet: i for i, wordnet in enumerate(self.classes, 1)}
        self.images = self.objects = self.videos = self.left_out = 0
        self.tracks: dict[tuple[int, str], int] = {}

    def video(self, video: Video) -> Iterator[tuple[Row, list[Row]]]:
        """Every frame of a video with its objects."""
        self.videos += 1
        keys = set(video.keys)
        for frame in range(video.length):
            image, objects = self._read(f"{video.name}/{frame:06d}")
            image |= {"video_id": self.videos, "frame_id": frame}
            image["is_vid_train_frame"] = frame in keys
            where = f"{self.annotations / video.name}/{frame:06d}.xml"
            yield image, [self._tracked(row, entry, where) for row, entry in objects]

    def still(self, name: str, key: bool) -> tuple[Row, list[Row]]:
        """An image of its own with its objects."""
        image, objects = self._read(name)
        return image | {"is_vid_train_frame": key}, [row for row, _ in objects]

    def _read(self, name: str) -> tuple[Row, list[tuple[Row, Element]]]:
        xml = self.annotations / f"{name}.xml"
        root = parse_xml(xml)
        self.images += 1
        image = {
            "id": self.images,
            "file_name": f"{name}.JPEG",
            "height": _whole(root, "size/height", str(xml)),
            "width": _whole(root, "size/width", str(xml)),
        }
        return image, list(self._objects(root, xml))

    def _objects(self, root: Element, xml: Path) -> Iterator[tuple[Row, Element]]:
        for entry in root.findall("object"):
            label = self.label_of.get((entry.findtext("name") or "").strip())
            if label is None:
                if not self.other:
                    self.left_out += 1
                    continue
                label = len(self.label_of) + 1
            where = f"{xml}, line {entry.get(LINE)}"
            x1, y1, x2, y2 = (
                _whole(entry, f"bndbox/{tag}", where) for tag in ("xmin", "ymin", "xmax", "ymax")
            )
            self.objects += 1
            row = {
                "id": self.objects,
                "image_id": self.images,
                "category_id": label,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": False,
            }
            yield row, entry

    def _tracked(self, row: Row, entry: Element, where: str) -> Row:
        """With the number of its track, counted over all videos as they first appear."""
        if not (track := (entry.findtext("trackid") or "").strip()):
            raise DataError(
                f"{where}, line {entry.get(LINE)}: the object has no trackid, and would be one "
                "with all others of its video that have none; add it"
            )
        row["video_id"] = self.videos
        row["instance_id"] = self.tracks.setdefault((self.videos, track), len(self.tracks) + 1)
        for flag in ("occluded", "generated"):
            row[flag] = (entry.findtext(flag) or "0").strip() == "1"
        return row


def video_row(video: Video, number: int) -> Row:
    """The row of a video in `videos`."""
    return {"id": number, "name": video.name, "vid_train_frames": list(video.keys)}


def _lines(path: Path, words: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Numbered lines of a name and whole numbers."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not (found := line.split()):
            continue
        if len(found) != words or not all(word.isdecimal() for word in found[1:]):
            _refuse(path, number, f"{line!r} is not a name and {words - 1} whole numbers")
        yield number, (inside(found[0], path), *map(int, found[1:]))


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise DataError(f"{path}, line {line}: {problem}; correct it, or take the published file")


def _whole(entry: Element, tag: str, where: str) -> int:
    text = entry.findtext(tag)
    try:
        return int(text or "")
    except ValueError:
        raise DataError(
            f"{where}: {tag} must be a whole number, got {text!r}; correct it"
        ) from None
