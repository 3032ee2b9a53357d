"""Moving objects, and what finds them in frames with a delay. For tests."""

import torch
from finder import Finder, picture
from torch import Tensor

from tinyscope.types import Detections


def moving(count: int, size: tuple[int, int] = (64, 96)) -> list[Tensor]:
    """Frames with one object of class "even" that moves one pixel to the right in each."""
    return [picture([(10 + i, 20, 16 + i, 26, 240)], size) for i in range(count)]


class Delayed:
    """Answers for every frame so many frames later, and says which frames it got."""

    def __init__(self, names: tuple[str, ...] = ("even", "odd"), delay: int = 0) -> None:
        self.names, self.delay = names, delay
        self.held: list[Tensor] = []
        self.shapes: list[tuple[int, ...]] = []
        self.most = 0

    def push(self, frame: Tensor, /) -> list[Detections]:
        assert all(frame.shape == other.shape for other in self.held)
        self.shapes.append(tuple(frame.shape))
        self.held.append(frame)
        self.most = max(self.most, len(self.held))
        return [self._find(self.held.pop(0))] if len(self.held) > self.delay else []

    def finish(self) -> list[Detections]:
        found = [self._find(frame) for frame in self.held]
        self.forget()
        return found

    def forget(self) -> None:
        self.held = []

    def _find(self, frame: Tensor) -> Detections:
        found = Finder()._find(frame[0])
        return Detections(found.boxes, found.scores, found.labels, self.names)


def boxes_of(found: Detections) -> list[list[float]]:
    return torch.round(found.boxes).tolist()
