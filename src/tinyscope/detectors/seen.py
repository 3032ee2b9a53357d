"""What a video detector asks of its parts, and what it keeps of a frame that it has seen."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tinyscope.types import Detections, Pyramid, Size, Target


@runtime_checkable
class ImageDetector(Protocol):
    """A detector of single images that can be entered between its pyramid and its outputs."""

    def pyramid(self, images: Tensor) -> Pyramid: ...

    def outputs(self, pyramid: Pyramid) -> Any: ...

    def loss(
        self, outputs: Any, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]: ...

    def decode(
        self, outputs: Any, sizes: Sequence[Size], score_threshold: float | None = None
    ) -> list[Detections]: ...


@runtime_checkable
class Motion(Protocol):
    """Optical flow from key frames to others; sides of images are multiples of `divisor`.

    `prepare` (0 to 255, sizes before padding), `as_key` and `as_other` are of one frame each; flow
    (n, 2, h, w) as (x, y) in its own cells is `gain` times the last of what `predict` makes of the
    sum of the last two.
    """

    divisor: int
    gain: float

    def prepare(self, images: Tensor, sizes: Sequence[Size]) -> Tensor: ...

    def as_key(self, prepared: Tensor) -> Tensor: ...

    def as_other(self, prepared: Tensor) -> Tensor: ...

    def predict(self, pairs: Tensor) -> list[Tensor]: ...


@runtime_checkable
class Aggregator(Protocol):
    """How alike maps of key frames (b, c, h, w) and others (b, f, c, h, w) are: (b, f, h, w).

    Compared are embeddings. `warp_embedding` says whether those of others are made of their maps
    before they are moved, and moved with them, or of the moved maps.
    """

    warp_embedding: bool

    def embed(self, features: Tensor) -> Tensor: ...

    def similarities(self, key: Tensor, others: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)  # a frame is itself and no other, and a key
class Seen:
    """What is computed once of a frame, whatever frames it is judged with.

    Where a frame is cut into tiles, they are the batch; tiles at one place are compared.

    Args:
        pyramid: Its maps.
        prepared: What flow is computed from, as a key frame.
        as_other: The same, as another.
        embedded: Embeddings of the maps, where they are moved with these; else None of each.
        steps: Flow to other frames, as far as it is known and they are; see `chain`.
    """

    pyramid: Pyramid
    prepared: Tensor
    as_other: Tensor
    embedded: tuple[Tensor | None, ...]
    steps: WeakKeyDictionary["Seen", Tensor] = field(default_factory=WeakKeyDictionary)

    @property
    def compared(self) -> list[tuple[Tensor, Tensor | None]]:
        """Maps of each level, and their embeddings."""
        return list(zip(self.pyramid.levels, self.embedded, strict=True))


P = TypeVar("P", bound=Pyramid)


def first_images(pyramid: P, count: int) -> P:
    """The pyramid of the first `count` images, with all that it carries of them (attention)."""
    values = ((field.name, getattr(pyramid, field.name)) for field in fields(pyramid))
    of_images = {
        name: tuple(maps[:count] for maps in value) for name, value in values if _maps(value)
    }
    return replace(pyramid, **of_images)


def _maps(value: object) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and isinstance(value[0], Tensor)


def counted(window: Sequence[Seen], slot: int | None) -> list[tuple[Seen, int]]:
    """Each frame of the window once, and how often it stands in it; the place `slot` left out."""
    return list(Counter(seen for place, seen in enumerate(window) if place != slot).items())


def joined(
    compared: Sequence[tuple[Tensor, Tensor | None]],
) -> tuple[Tensor, Tensor | None]:
    """Maps of several frames, one after the other, and their embeddings."""
    embedded = [e for _, e in compared if e is not None]
    return torch.cat([maps for maps, _ in compared]), torch.cat(embedded) if embedded else None


def in_chunks(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Consecutive parts of at most `size` values."""
    return (values[start : start + size] for start in range(0, len(values), size))
