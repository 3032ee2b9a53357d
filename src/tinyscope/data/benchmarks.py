"""Data sets of benchmarks in their published layouts; docs/datasets/ describes them.

Without a `path`, the folder given with `--data` is meant.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from tinyscope.data.flags import Treatment, treated, without_empty
from tinyscope.data.locate import check_files
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats import ai_tod as ai_tod_format
from tinyscope.formats import citypersons as citypersons_format
from tinyscope.formats import dota as dota_format
from tinyscope.formats import imagenet_vid as imagenet_vid_format
from tinyscope.formats import tinyperson as tinyperson_format
from tinyscope.formats import visdrone as visdrone_format
from tinyscope.formats.join import join
from tinyscope.formats.tables import Annotations


def tinyperson(
    path: Path | None = None,
    split: str = "train",
    annotations: Path | None = None,
    images: Path | None = None,
    tiles: bool = False,
    erased: bool = False,
    dense: bool = False,
    task: tinyperson_format.Task = "all",
    ignored: Literal["ignore", "erase", "drop"] = "ignore",
    uncertain: Treatment = "ignore",
    keep_empty: bool = True,
) -> Annotations:
    """TinyPerson (arXiv:1912.10664), whole images or tiles; one class, `person`.

    Args:
        path: The folder tiny_set.
        split: `train` or `test`, which `val` means as well.
        annotations: A file in place of those of the published layout.
        images: Folder that its file names start from; found by the layout if left out.
        tiles: The published tiles of 640 x 512 px in place of whole images.
        erased: The published images in which regions are painted over already.
        dense: Keep the images that are too crowded to have been annotated well.
        task: `sea` or `earth` ignore the persons of the other category, however they are marked.
        ignored: What becomes of rows marked `ignore`; if erased, so are those marked `logo`.
        uncertain: What becomes of rows marked `uncertain` and not `ignore`.
        keep_empty: Keep images without an object.

    Raises:
        SettingsError: No folder or file is named.
        DataError: A file is missing or malformed, or tiles are asked for and it has none.
    """
    version = tinyperson_format.Version(tiles, erased, dense, task)
    if annotations is None:
        annotations, place = tinyperson_format.located(_given(path, "tinyperson"), split, version)
        images = images or place
    else:
        images = images or tinyperson_format.images_of(annotations)
    read = tinyperson_format.read_annotations(annotations, images, task=task, dense=dense)
    if tiles and read.windows is None:
        raise DataError(
            f"{annotations}: tiles are asked for, but its images have no corner; take a file of "
            "tiles, or let data.windows cut the whole images"
        )
    none = np.zeros_like(read.ignore)
    other = read.marks.get(tinyperson_format.OTHER, none)  # persons: no reason to paint them over
    flagged = read.ignore & ~read.crowd & ~other
    logo = read.marks.get("logo", none) & ~flagged & ~other if ignored == "erase" else none
    unsure = read.marks.get("uncertain", none) & ~flagged & ~other & ~logo
    result = treated(
        read,
        {"ignore": (flagged, ignored), "logo": (logo, ignored), "uncertain": (unsure, uncertain)},
    )
    return check_files(result if keep_empty else without_empty(result))


def visdrone(
    path: Path | None = None, split: str = "train", classes: visdrone_format.Classes = "all"
) -> Annotations:
    """VisDrone-DET (arXiv:2001.06303); regions to ignore and `others` are ignored.

    Args:
        path: The folder with VisDrone2019-DET-train and its like, or one of these.
        split: `train`, `val` or `test` (test-dev).
        classes: `person` takes pedestrians and people as one class, and nothing else.

    Raises:
        SettingsError: No folder is named.
        DataError: A file is missing or malformed.
    """
    return visdrone_format.read_annotations(_given(path, "visdrone"), split, classes)


def ai_tod(
    path: Path | None = None,
    split: str = "trainval",
    version: ai_tod_format.Version = 1,
    annotations: Path | None = None,
    images: Path | None = None,
    ignored: Literal["ignore", "drop"] = "ignore",
    least_side: float = 0.0,
    keep_empty: bool = True,
) -> Annotations:
    """AI-TOD or AI-TOD-v2 (arXiv:2206.13996), eight classes in the order of the file.

    Args:
        path: The folder that holds annotations/ and the splits' images, or the one above aitod/.
        split: `train`, `val`, `trainval` or `test`.
        version: 2 is AI-TOD-v2: the same images, annotated anew.
        annotations: A file in place of that of the published layout.
        images: Folder that its file names start from; found by the layout if left out.
        ignored: What becomes of crowds and rows marked `ignore`; dropped, they are background.
        least_side: Rows with a shorter side are left out, pixels.
        keep_empty: Keep images without an object.

    Raises:
        SettingsError: No folder or file is named.
        DataError: A file is missing or malformed, or has other categories.
    """
    if annotations is None or images is None:
        folder = _given(path, "ai_tod")
        annotations = annotations or ai_tod_format.find_annotations(folder, split, version)
        images = images or ai_tod_format.find_images(folder, split)
    read = ai_tod_format.read_annotations(annotations, images)
    read = ai_tod_format.without_smaller(read, least_side)
    result = treated(read, {"ignore": (read.ignore, ignored)})
    return check_files(result if keep_empty else without_empty(result))


def dota(path: Path | None = None, split: str = "train", labels: str | None = None) -> Annotations:
    """DOTA (arXiv:2102.12219) with upright boxes; rows marked difficult are ignored.

    Args:
        path: The folder with train/ and val/, or one of these.
        split: `train` or `val`.
        labels: Folder of the text files in that of the split; found if left out.

    Raises:
        SettingsError: No folder is named.
        DataError: A file is missing or malformed.
    """
    return dota_format.read_annotations(_given(path, "dota"), split, labels)


def tiny_citypersons(
    path: Path | None = None,
    split: str = "train",
    annotations: Path | None = None,
    images: Path | None = None,
    keep_empty: bool = True,
) -> Annotations:
    """Tiny CityPersons: CityPersons (arXiv:1702.05693) shrunk to a quarter of its sides.

    Args:
        path: The folder that holds leftImg8bit_trainvaltest and the annotations, or one above it.
        split: `train` or `val`.
        annotations: A file in place of that of the published layout.
        images: Folder that its file names start from; found by the layout if left out.
        keep_empty: Keep images without an object.

    Raises:
        SettingsError: No folder or file is named.
        DataError: A file is missing or malformed, or has no pedestrians.
    """
    if annotations is None or images is None:
        folder = _given(path, "tiny_citypersons")
        annotations = annotations or citypersons_format.find_annotations(folder, split)
        images = images or citypersons_format.find_images(folder, split)
    read = citypersons_format.read_annotations(annotations, images)
    return check_files(read if keep_empty else without_empty(read))


def imagenet_vid(
    path: Path | None = None,
    split: str = "train",
    annotations: Path | None = None,
    det: bool = False,
    least_side: int = 32,
) -> Annotations:
    """ImageNet VID, 30 classes, as mmtracking lists it; `tinyscope convert` makes the files.

    Of `train`, key frames without an object are none, and every frame may be a reference.

    Args:
        path: The folder ILSVRC/, or the one above.
        split: `train` or `val`.
        annotations: Folder of the CocoVID files; found by the layout if left out.
        det: Train on the listed images of ImageNet DET as well, as stills.
        least_side: Images with a shorter side are not trained on, pixels.

    Raises:
        SettingsError: No folder is named, or `det` is asked for in another split than `train`.
        DataError: A file is missing or malformed.
    """
    root = _given(path, "imagenet_vid")
    if det and split != "train":
        raise SettingsError(
            f"data set imagenet_vid: det adds images to train on, but the split is {split}; set "
            "det to false"
        )
    wanted = [("VID", imagenet_vid_format.VID_FILE.format(split=split))]
    wanted += [("DET", imagenet_vid_format.DET_FILE)] if det else []
    parts = []
    for kind, name in wanted:
        file = imagenet_vid_format.find(root, name) if annotations is None else annotations / name
        images = imagenet_vid_format.find_images(root, kind)
        read = check_files(imagenet_vid_format.read_annotations(file, images))
        train = split == "train"
        parts.append(imagenet_vid_format.to_train_on(read, least_side) if train else read)
    return join(parts)


def may_be_of(name: str, folder: Path, *, own_file: bool) -> bool:
    """Whether the reader of that name is to be tried on a folder.

    Of the benchmarks whose layout is not looked for beforehand, readers say what they miss.

    Args:
        name: In the table of data sets.
        folder: That may have the benchmark's layout.
        own_file: Whether the reader is told a file of annotations, which need not lie there.
    """
    return name != "tinyperson" or (not own_file and tinyperson_format.is_published(folder))


def split_read(name: str, split: str) -> str:
    """What the reader of that name reads when it is asked for a split."""
    return tinyperson_format.published_split(split) if name == "tinyperson" else split


def _given(path: Path | None, name: str) -> Path:
    if path is None:
        raise SettingsError(
            f"data set {name}: no folder is given; use --data DIR, or set data.train.path and "
            "data.val.path"
        )
    return path
