"""Which image of a data set an image file is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinyscope.engine.file_names import FileNames
from tinyscope.engine.images import check_size
from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations
from tinyscope.types import Detections, Target


class TruthOfFiles:
    """The annotations of files, found by the end of their paths or else by their names.

    Args:
        annotations: Labels are those of the detector.
        files: In the order that they are asked for.
        classes: That the annotations speak of; nothing is known of the detector's other ones.

    Raises:
        DataError: A file is not annotated, more than one image could be meant, or what is
            annotated are tiles.
    """

    def __init__(
        self, annotations: Annotations, files: Sequence[Path], classes: Sequence[str]
    ) -> None:
        if annotations.windows is not None:
            raise DataError(
                f"{annotations.place}: the annotated images are tiles of the files; name the "
                "annotations of the whole images"
            )
        self.annotations = annotations
        self._spoken_of = torch.tensor([name in classes for name in annotations.names])
        names = FileNames(annotations.files.tolist())
        self.positions = [_position(annotations, names, file) for file in files]

    def image_id(self, number: int) -> int:
        """Of the file at a place in the order given."""
        return int(self.annotations.image_ids[self.positions[number]])

    def comparable(self, found: Detections) -> Detections:
        """Those of the classes that the annotations speak of."""
        return found[self._spoken_of[found.labels]]

    def check_size(self, number: int, path: Path, image: Tensor) -> None:
        """That the image at a place in the order given is the annotated one.

        Raises:
            DataError: It is of another size.
        """
        check_size(path, image, self.annotations.sizes[self.positions[number]].tolist())

    def target(self, number: int) -> Target:
        """What is to be found in the file at a place in the order given.

        Rows marked `uncertain` are ignored, as TinyPerson's protocol does by default.
        """
        held = self.annotations
        rows = held.rows(self.positions[number])
        unsure = held.marks.get("uncertain", np.zeros_like(held.ignore))
        return Target(
            torch.from_numpy(held.boxes[rows]).float(),
            torch.from_numpy(held.labels[rows]),
            torch.from_numpy(held.ignore[rows] | unsure[rows]),
        )


def _position(annotations: Annotations, names: FileNames, file: Path) -> int:
    fitting = names.ending(file.resolve().as_posix()) or names.named(file.name)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise DataError(
            f"image {file}: is not among the {len(annotations)} annotated ones; leave it out, or "
            "predict without truth"
        )
    meant = ", ".join(str(annotations.files[i]) for i in fitting[:3])
    raise DataError(
        f"image {file}: may be any of {meant}; give a path that ends as in the annotations"
    )
