"""Samples of a training run.

Samples are numbered from the start of the run over all epochs, and sample `position` is a pure
function of the seed and its number: a resumed run goes on with the very next one, and neither
the number of workers nor that of processes changes what is seen.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from tinyscope.data.erase import ERASE
from tinyscope.data.images import ImageCache, image_size
from tinyscope.data.pixels import pixels
from tinyscope.data.randomness import Purpose, stream
from tinyscope.data.windows.window import Window, WindowSource, look_through
from tinyscope.errors import DataError
from tinyscope.formats.tables import Annotations
from tinyscope.types import Dropped, Sample, Target

Transform = Callable[[Sample, np.random.Generator], Sample]

TRIES = 20
"""Windows that are looked at before one is shown though transforms lost all of its objects."""


@dataclass(frozen=True)
class View:
    """How an image is looked at, so that others can be in the same way.

    `state` is that of the generator from which the transforms draw.
    """

    window: Window
    state: Mapping[str, Any]

    def random(self) -> np.random.Generator:
        """A generator that draws once more what the transforms drew."""
        generator = np.random.default_rng(0)
        generator.bit_generator.state = self.state
        return generator


class TrainingSet(Dataset[Sample]):
    """Windows of the images of a data set, changed by transforms.

    `len()` is the number of samples in an epoch; positions go on beyond it.

    Args:
        annotations: The data set.
        windows: Which parts of the images are shown.
        transforms: Applied in this order.
        seed: Of every random choice.
        read: Reads the image of a path and a stated size; the default keeps recent ones.
        redraw: Whether a window all of whose objects the transforms lose is replaced by another
            one of its epoch, drawn at random; the lost objects are counted all the same.

    Raises:
        DataError: There are no images, or no window would be shown.
    """

    def __init__(
        self,
        annotations: Annotations,
        windows: WindowSource,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        read: ImageCache | None = None,
        redraw: bool = False,
    ) -> None:
        if not len(annotations):
            raise DataError(f"the data set at {annotations.root} lists no images to train on")
        self.annotations = with_sizes(annotations)
        self.rule = windows.rule
        self.plan = windows(self.annotations, seed)
        self.transforms = tuple(transforms)
        self.seed = seed
        self.read = ImageCache() if read is None else read
        self.redraw = redraw

    def through(self, windows: WindowSource) -> "TrainingSet":
        """The same images, seen through other windows; the two share what they have decoded.

        Raises:
            DataError: No window would be shown.
        """
        other = copy(self)
        other.rule, other.plan = windows.rule, windows(self.annotations, self.seed)
        return other

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, position: int) -> Sample:
        """Sample `position` of the run; its image may be a view that must not be written to."""
        return self.view(position)[0]

    def view(self, position: int) -> tuple[Sample, View]:
        """Sample `position` of the run, and how it was looked at."""
        if position < 0:
            raise IndexError(f"samples are numbered from 0, got {position}")
        random = stream(self.seed, Purpose.TRANSFORMS, position)
        before, after, view = self._looked_at(self.plan[position], random)
        if not self.redraw:
            return after, view
        random = stream(self.seed, Purpose.REDRAW, position)
        epoch, lost = position - position % len(self), Dropped()
        for _ in range(TRIES):
            objects = before.target.boxes[~before.target.ignore]
            if not len(objects) or not after.target.ignore.all():
                break
            lost += Dropped.of("lost with all of its window: another window is shown", objects)
            window = self.plan[epoch + int(random.integers(len(self)))]
            before, after, view = self._looked_at(window, random)
        return replace(after, dropped=lost + after.dropped), view

    def as_seen(self, image: UInt8[Tensor, "3 h w"], view: View) -> UInt8[Tensor, "3 y x"]:
        """Other pixels in place of the image of a view, looked at in the same way.

        They are shown with that image's target, on which draws of transforms may depend.
        """
        before = look_through(self._whole(view.window.image, image), view.window, self.rule)
        return self._changed(before, view.random()).image

    def _looked_at(
        self, window: Window, random: np.random.Generator
    ) -> tuple[Sample, Sample, View]:
        """What a window shows before and after the transforms."""
        view = View(window, random.bit_generator.state)
        image = pixels(self.annotations, window.image, self.read)
        before = look_through(self._whole(window.image, image), window, self.rule)
        return before, self._changed(before, random), view

    def _changed(self, sample: Sample, random: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, random)
        return sample

    def _whole(self, at: int, image: UInt8[Tensor, "3 h w"]) -> Sample:
        columns = self.annotations
        target, dropped = target_of(columns, at)
        return Sample(image, target, int(columns.image_ids[at]), str(columns.path(at)), dropped)


def target_of(annotations: Annotations, image: int) -> tuple[Target, Dropped]:
    """What is to be found in the image at position `image`, and what cannot be as it is."""
    rows = annotations.rows(image)
    boxes = torch.from_numpy(annotations.boxes[rows].astype(np.float32))
    labels = torch.from_numpy(annotations.labels[rows].astype(np.int64))
    ignore = torch.from_numpy(annotations.ignore[rows].astype(np.bool_))
    # Far from the origin, float32 may round both ends of a very thin box to one number.
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1) & ~ignore
    dropped = Dropped.of("no width or height in float32: now ignored", boxes[flat])
    target = Target(boxes, labels, ignore | flat)
    if (painted_over := annotations.marks.get(ERASE)) is not None:
        target = target[torch.from_numpy(~painted_over[rows])]
    return target, dropped


def with_sizes(annotations: Annotations) -> Annotations:
    """The annotations with the sizes that they leave open read from the image files.

    Raises:
        DataError: An image cannot be read, or a box lies outside of it; no window would show it.
    """
    unknown = np.flatnonzero((annotations.sizes == 0).any(axis=1))
    if not len(unknown):
        return annotations
    sizes = annotations.sizes.copy()
    sizes[unknown] = [image_size(annotations.path(int(i))) for i in unknown]
    boxes, images = annotations.boxes, annotations.images
    outside = (boxes[:, :2] >= sizes[images, ::-1]).any(axis=1) | (boxes[:, 2:] <= 0).any(axis=1)
    outside &= np.isin(images, unknown)  # readers have checked the others
    if outside.any():
        row = int(outside.argmax())
        height, width = sizes[images[row]]
        raise DataError(
            f"image {annotations.path(int(images[row]))}: annotation "
            f"{annotations.annotation_ids[row]}: box {boxes[row].tolist()} (x1, y1, x2, y2) lies "
            f"outside its {width} x {height} pixels; correct it"
        )
    return replace(annotations, sizes=sizes)
