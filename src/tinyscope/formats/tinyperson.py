"""TinyPerson as it was published: where its files lie, and what they say beyond COCO.

Yu et al., WACV 2020 (arXiv:1912.10664). The folder `tiny_set` holds whole images and files of
their annotations, files that list the same images as tiles (`corner`), and copies of the images in
which regions to be ignored are painted over. Annotations and images count from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tinyscope.catalog import nearest
from tinyscope.errors import DataError
from tinyscope.formats import coco
from tinyscope.formats.files import SPLITS
from tinyscope.formats.tables import Annotations

Task = Literal["all", "sea", "earth"]
"""Which persons are objects; published results are of `all`."""

NAME = "person"
OTHER = "other_category"
"""Mark of persons that are ignored because the task is the other category alone."""
_CATEGORIES: Mapping[str, Task] = {NAME: "all", "sea_person": "sea", "earth_person": "earth"}

_WHOLE = (
    "annotations/task/tiny_set_{split}_all.json",
    "mini_annotations/tiny_set_{split}_all.json",
    "annotations/tiny_set_{split}.json",
)
_BY_TASK = ("annotations/tiny_set_{split}.json",)
_DENSE = ("annotations/tiny_set_{split}_with_dense.json",)
_TILES = (
    "annotations/corner/task/tiny_set_{split}_sw640_sh512_all.json",
    "mini_annotations/tiny_set_{split}_sw640_sh512_all.json",
)
_PAINTED = "erase_with_uncertain_dataset"
_PAINTED_WHOLE = (
    "mini_annotations/tiny_set_{split}_all_erase.json",
    f"{_PAINTED}/annotations/task/tiny_set_{{split}}_all.json",
    f"{_PAINTED}/annotations/tiny_set_{{split}}.json",
)
_PAINTED_TILES = (
    f"{_PAINTED}/annotations/corner/task/tiny_set_{{split}}_sw640_sh512_all.json",
    "mini_annotations/tiny_set_{split}_sw640_sh512_all_erase.json",
)


@dataclass(frozen=True)
class Version:
    """Which of the published files is meant.

    Args:
        tiles: Tiles of 640 x 512 px that share 50 px, in place of whole images.
        erased: With the images in which regions are painted over already.
        dense: With the images that are too crowded to have been annotated well.
        task: Other than `all`, only the files that tell the two categories apart will do.
    """

    tiles: bool = False
    erased: bool = False
    dense: bool = False
    task: Task = "all"

    @property
    def files(self) -> tuple[str, ...]:
        """Files that fit, in the order in which they are looked for."""
        if self.tiles:
            return _PAINTED_TILES if self.erased else _TILES
        if self.erased:
            return _PAINTED_WHOLE
        if self.dense:
            return _DENSE
        return _WHOLE if self.task == "all" else _BY_TASK

    def images(self, split: str) -> str:
        """Folder that file names start from."""
        return f"{_PAINTED}/{split}" if self.erased else split


_PUBLISHED = {
    alias: "train" if split == "train" else "test"
    for split, aliases in SPLITS.items()
    for alias in aliases
}


def published_split(split: str) -> str:
    """`train` or `test`: the two that there are; `val` and its like mean the latter.

    Raises:
        DataError: The split goes by no name that is known.
    """
    if split not in _PUBLISHED:
        raise DataError(
            f"TinyPerson: no split {split!r}{nearest(split, _PUBLISHED)} (there are train and "
            "test; val means test)"
        )
    return _PUBLISHED[split]


def find(folder: Path, split: str, version: Version | None = None) -> tuple[Path, Path] | None:
    """The annotations of a split and the folder of its images; None where there are none."""
    if split not in _PUBLISHED:
        return None
    version, name = version or Version(), _PUBLISHED[split]
    files = (folder / file.format(split=name) for file in version.files)
    found = next((file for file in files if file.is_file()), None)
    return None if found is None else (found, folder / version.images(name))


def is_published(folder: Path) -> bool:
    """Whether a folder has the annotations of any split and version."""
    versions = (Version(t, e) for t in (False, True) for e in (False, True))
    known = (Version(dense=True), Version(task="sea"), *versions)
    return any(find(folder, split, version) for split in ("train", "test") for version in known)


def located(folder: Path, split: str, version: Version) -> tuple[Path, Path]:
    """What `find` finds.

    Raises:
        DataError: There is none; the message lists what was looked for.
    """
    name = published_split(split)
    found = find(folder, name, version)
    if found is None:
        looked_for = ", ".join(file.format(split=name) for file in version.files)
        raise DataError(
            f"TinyPerson: no annotations of split {name} in {folder}; looked for {looked_for}; "
            "give the folder tiny_set, or name the file with the option annotations"
        )
    return found


def images_of(file: Path) -> Path | None:
    """The folder of the images that a published file speaks of, by its name and place."""
    if not file.name.startswith("tiny_set_"):
        return None
    erased = "_erase" in file.name or _PAINTED in file.parts
    split = "train" if "_train" in file.name else "test"
    folders = (up / Version(erased=erased).images(split) for up in file.parents[:5])
    return next((folder for folder in folders if folder.is_dir()), None)


def read_annotations(
    file: Path, images: Path | None, *, task: Task = "all", dense: bool = False
) -> Annotations:
    """A file of TinyPerson with the one class `person`.

    Args:
        file: The JSON.
        images: Folder that its file names start from.
        task: Persons of the other category count neither for nor against.
        dense: Keep the images whose annotations are marked `in_dense_image`.

    Raises:
        DataError: The file is malformed, has another category, or does not tell persons at sea
            from those on earth, though the task asks for it.
    """
    read = coco.read_annotations(file, images)
    if unknown := [name for name in read.names if name not in _CATEGORIES]:
        raise DataError(
            f"{file}: {unknown[0]} is no category of TinyPerson, which has "
            f"{', '.join(_CATEGORIES)}; correct it, or read the file as a COCO data set"
        )
    wanted = [_CATEGORIES[name] == task for name in read.names]
    if task != "all" and not any(wanted):
        raise DataError(
            f"{file}: has no category {task}_person (only {', '.join(read.names)}), so that the "
            f"task {task} cannot be told; take annotations/tiny_set_train.json or its like"
        )
    other = np.zeros_like(read.ignore) if task == "all" else ~np.array(wanted)[read.labels]
    added = other & ~read.ignore
    person = replace(
        read,
        names=(NAME,),
        category_ids=(1,),
        labels=np.zeros_like(read.labels),
        ignore=read.ignore | other,
        marks={**read.marks, OTHER: added} if added.any() else read.marks,
    )
    if count := int(added.sum()):
        person = person.noted(f"{count} persons of the other category are ignored (task {task})")
    return person if dense else _without_dense(person)


def _without_dense(annotations: Annotations) -> Annotations:
    marked = annotations.marks.get("in_dense_image")
    if marked is None or not marked.any():
        return annotations
    # By file: of a dense image, a tile may hold no annotation that says so.
    files = np.unique(annotations.files[annotations.images[marked]])
    dense = np.isin(annotations.files, files)
    rows = int(np.diff(annotations.offsets)[dense].sum())
    note = f"{int(dense.sum())} dense images with {rows} annotations are left out"
    return annotations.take(np.flatnonzero(~dense)).noted(note)
