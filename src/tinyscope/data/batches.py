"""Batches of a run, step by step, made by worker processes."""

import signal
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tinyscope.data.clips.clip_set import Clip, ClipSet
from tinyscope.data.images import BACKDROP
from tinyscope.data.training_set import TrainingSet
from tinyscope.errors import SettingsError, TinyscopeError
from tinyscope.types import Batch, ClipBatch, Dropped, Sample, Target

__all__ = ["Loader", "TrainingSet", "collate", "loader"]


def collate(samples: Sequence[Sample], divisor: int = 32, fill: Sequence[int] = BACKDROP) -> Batch:
    """Samples padded at the right and bottom to one size, sides a multiple of `divisor`.

    Args:
        samples: At least one.
        divisor: The largest stride of a detector, so that every level has whole cells.
        fill: RGB of the padding; the default is the mean color, near zero once normalized.
    """
    return Batch(
        padded([s.image for s in samples], divisor, fill),
        tuple(s.size for s in samples),
        tuple(s.target for s in samples),
        tuple(s.image_id for s in samples),
        tuple(s.file for s in samples),
        sum((s.dropped for s in samples), Dropped()),
    )


def collate_clips(
    clips: Sequence[Clip], divisor: int = 32, fill: Sequence[int] = BACKDROP
) -> ClipBatch:
    """Clips padded as `collate` pads samples: the key frames, then their references."""
    keys = [clip.key for clip in clips]
    assert all(r.shape == c.key.image.shape for c in clips for r in c.references)
    frames = [key.image for key in keys] + [r for clip in clips for r in clip.references]
    return ClipBatch(
        padded(frames, divisor, fill),
        tuple(len(clip.references) for clip in clips),
        tuple(key.size for key in keys),
        tuple(key.target for key in keys),
        tuple(key.image_id for key in keys),
        tuple(key.file for key in keys),
        sum((key.dropped for key in keys), Dropped()),
    )


def padded(
    images: Sequence[UInt8[Tensor, "3 _ _"]], divisor: int, fill: Sequence[int] = BACKDROP
) -> UInt8[Tensor, "n 3 h w"]:
    """Images of any sizes padded at the right and bottom to one, see `collate`."""
    height, width = (
        -(-max(image.shape[axis] for image in images) // divisor) * divisor for axis in (1, 2)
    )
    result = torch.empty(len(images), 3, height, width, dtype=torch.uint8)
    color = torch.tensor(tuple(fill), dtype=torch.uint8)[:, None, None]
    for place, image in zip(result, images, strict=True):
        h, w = image.shape[1:]
        place[:, :h, :w] = image
        place[:, h:] = color
        place[:, :h, w:] = color
    return result


class Loader(DataLoader[Any]):
    """Yields a batch for every step of a run; made by `loader`.

    Raises:
        TinyscopeError: While iterating, as raised in a worker, without the worker's traceback.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with warnings.catch_warnings():
            # Workers use one thread and no lock that a thread of this process could hold.
            warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
            packed = super().__iter__()
        try:
            for item in packed:
                if isinstance(item, TinyscopeError):
                    raise item
                yield item.unpack()
        finally:
            del packed  # ends the workers now, even if the error and this frame live on


def loader(
    training_set: TrainingSet | ClipSet,
    batch: int,
    workers: int = 2,
    start_step: int = 0,
    steps: int = 1,
    rank: int = 0,
    world: int = 1,
    *,
    divisor: int = 32,
    prefetch: int = 4,
    pin: bool = False,
    context: str = "fork",
) -> Loader:
    """The batches of steps `start_step` to `steps` of a run, in one iteration.

    Step s holds the positions s * batch to (s + 1) * batch - 1, whatever the number of epochs
    in them; with several processes, each takes its consecutive share.

    Args:
        training_set: Samples or clips by position.
        batch: Samples of a step over all processes.
        workers: Processes that make batches; 0 makes them in this one.
        start_step: First step, for a run that is resumed.
        steps: End of the run.
        rank, world: This process, and how many there are.
        divisor: Multiple that the sides of a batch are padded to.
        prefetch: Batches that each worker makes ahead.
        pin: Whether images lie in pinned memory, for copies to a GPU.
        context: How workers start; with `fork` they share the memory of the annotations.

    Raises:
        SettingsError: The batch cannot be shared among the processes.
    """
    sampler = Steps(batch, start_step, steps, rank, world)
    shares = Shares(training_set, divisor)
    return step_loader(shares, sampler, workers, prefetch=prefetch, pin=pin, context=context)


def step_loader(
    shares: Dataset[Any],
    sampler: Sampler[Any],
    workers: int,
    *,
    prefetch: int = 4,
    pin: bool = False,
    context: str = "fork",
) -> Loader:
    """The items of `shares`, each a share of a step; options as of `loader`."""
    return Loader(
        shares,
        sampler=sampler,
        batch_size=None,  # an item is a batch already
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        multiprocessing_context=context if workers else None,
        worker_init_fn=_start_worker,
        pin_memory=pin,
        # Without its own, starting an iteration would advance the global generator.
        generator=torch.Generator(),
    )


@dataclass(frozen=True)
class Steps(Sampler[list[int]]):
    """The positions of this process in each step: its share of `batch` consecutive ones."""

    batch: int
    start_step: int
    steps: int
    rank: int = 0
    world: int = 1
    setting: str = "data.batch"  # where `batch` is set, for errors

    def __post_init__(self) -> None:
        if self.batch < 1 or self.batch % self.world:
            raise SettingsError(
                f"{self.setting}: {self.batch} samples cannot be shared evenly among {self.world} "
                f"processes; use a positive multiple of {self.world}"
            )

    def __len__(self) -> int:
        return max(0, self.steps - self.start_step)

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.positions, range(self.start_step, self.steps))

    def positions(self, step: int) -> list[int]:
        """Those of any one step."""
        share = self.batch // self.world
        first = step * self.batch + self.rank * share
        return list(range(first, first + share))


@dataclass(frozen=True)
class Packed:
    """A batch on its way between processes: one tensor, the targets in arrays.

    Every tensor that is sent takes a file descriptor and a mapping; arrays travel as bytes.
    """

    batch: Batch | ClipBatch  # without targets
    counts: list[int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]

    @classmethod
    def of(cls, batch: Batch | ClipBatch) -> "Packed":
        targets = batch.targets
        return cls(
            replace(batch, targets=()),
            [len(t) for t in targets],
            torch.cat([t.boxes for t in targets]).numpy(),
            torch.cat([t.labels for t in targets]).numpy(),
            torch.cat([t.ignore for t in targets]).numpy(),
        )

    def unpack(self) -> Batch | ClipBatch:
        columns = (torch.from_numpy(c) for c in (self.boxes, self.labels, self.ignore))
        split = (torch.split(c, self.counts) for c in columns)
        targets = tuple(Target(*parts) for parts in zip(*split, strict=True))
        return replace(self.batch, targets=targets)

    def pin_memory(self) -> "Packed":
        return replace(self, batch=replace(self.batch, images=self.batch.images.pin_memory()))


@dataclass(frozen=True)
class Shares(Dataset["Packed | TinyscopeError"]):
    """Batches by the positions of their samples; an error of the user's data is an item too.

    Raised in a worker, it would come out with the worker's traceback as its message.
    """

    training_set: TrainingSet | ClipSet
    divisor: int

    def __getitem__(self, positions: list[int]) -> Packed | TinyscopeError:
        source = self.training_set
        try:
            if isinstance(source, ClipSet):
                return Packed.of(collate_clips([source[p] for p in positions], self.divisor))
            return Packed.of(collate([source[p] for p in positions], self.divisor))
        except TinyscopeError as error:
            return error


def _as_it_is(item: Any) -> Any:
    return item


def _start_worker(_: int) -> None:
    # Control-C goes to the whole group; the training process alone decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
