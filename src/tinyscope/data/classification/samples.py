"""Batches of images with labels, a pure function of the seed and their positions in the run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tinyscope.data.classification.augment import Augmentation
from tinyscope.data.classification.draws import Draws
from tinyscope.data.classification.labeled import LabeledImages
from tinyscope.data.windows.order import EpochOrder
from tinyscope.errors import DataError, TinyscopeError
from tinyscope.types import LabeledBatch, Size


class LabeledSamples:
    """Images of a set in random order, epoch after epoch, changed by augmentations.

    Args:
        images: The set.
        augmentations: Applied in this order.
        side: Of the squares that must come out.
        seed: Of every random choice.
        shuffled: False keeps the order of the set and sees every image once.

    Raises:
        DataError: An image is known to be of a size that does not become such a square.
    """

    def __init__(
        self,
        images: LabeledImages,
        augmentations: Sequence[Augmentation],
        side: int,
        seed: int = 0,
        shuffled: bool = True,
    ) -> None:
        self.images, self.augmentations = images, tuple(augmentations)
        self.side, self.seed = side, seed
        everything = np.arange(len(images))
        self.row: Callable[[int], int] = int
        if shuffled:
            self.row = EpochOrder(everything, everything[:0], 1.0, seed).__getitem__
        for size, row in images.known_sizes().items():
            self._check(size, row)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, positions: Sequence[int]) -> LabeledBatch:
        """The samples at these positions of the run.

        Raises:
            DataError: An image cannot be read, or is of another size.
        """
        rows = np.array([self.row(position) for position in positions], dtype=np.int64)
        groups = self.images.take(rows)
        counts = [len(group) for group in groups]
        draws = Draws(self.seed, positions).split(counts)
        firsts = np.cumsum([0, *counts[:-1]])
        made = [
            self._augmented(group, part, int(rows[first]))
            for group, part, first in zip(groups, draws, firsts, strict=True)
        ]
        return LabeledBatch(
            made[0] if len(made) == 1 else torch.cat(made),
            torch.from_numpy(self.images.labels[rows]),
            tuple(self.images.file(row) for row in rows.tolist()),
        )

    def _augmented(self, images: Tensor, draws: Draws, row: int) -> Tensor:
        self._check((images.shape[2], images.shape[3]), row)
        for augmentation in self.augmentations:
            images = augmentation(images, draws)
        return images

    def _check(self, size: Size, row: int) -> None:
        """That an image of that size becomes a square of the wanted side."""
        height, width = size
        try:
            for augmentation in self.augmentations:
                size = augmentation.size(size)
        except ValueError as error:
            raise DataError(f"image {self.images.file(row)}: {error}; {_REMEDY}") from error
        if size != (self.side, self.side):
            raise DataError(
                f"image {self.images.file(row)} is {width} x {height} pixels and enters the "
                f"network as {size[1]} x {size[0]}, but data.side is {self.side}; {_REMEDY}"
            )


_REMEDY = "set data.side, or change data.transforms and data.val_transforms (resize, center_crop)"


@dataclass(frozen=True)
class LabeledShares(Dataset["Ready | TinyscopeError"]):
    """Batches by the positions of their samples; an error of the user's data is an item too."""

    samples: LabeledSamples

    def __getitem__(self, positions: list[int]) -> "Ready | TinyscopeError":
        try:
            return Ready(self.samples.batch(positions))
        except TinyscopeError as error:
            return error


@dataclass(frozen=True)
class Ready:
    """A batch on its way from a worker process."""

    batch: LabeledBatch

    def unpack(self) -> LabeledBatch:
        return self.batch

    def pin_memory(self) -> "Ready":
        batch = self.batch
        pinned = batch.images.pin_memory(), batch.labels.pin_memory()
        return Ready(LabeledBatch(*pinned, batch.files))
