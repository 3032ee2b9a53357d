"""One video to files: what is found in each frame, and the frames with boxes on them.

Frames are read one ahead, wait until the detector has seen what follows them, are painted and
forgotten: memory does not grow with the length of a video.
"""

import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from PIL.Image import Image
from torch import Tensor

from tinyscope.analysis.painted_video import painted_video
from tinyscope.analysis.pictures import (
    OF_CLASSES,
    Layer,
    detection_layers,
    enlargement,
    paint,
    with_legend,
)
from tinyscope.data.video import Frame
from tinyscope.engine.frame_progress import frame_progress
from tinyscope.engine.inputs import OpenVideo
from tinyscope.engine.outputs import with_folder
from tinyscope.formats.atomic import atomic_text
from tinyscope.types import Detections

FIRST = 8
"""Frames that are looked at before the first is painted: their objects decide how much all are
enlarged by."""

Seen = tuple[Frame, Detections]
Take = Callable[[Frame, Detections], tuple[int, list[Layer]]]
"""Gets every frame with what was found in it; says its image id, and what to paint."""
T = TypeVar("T")


@runtime_checkable
class FindsInFrames(Protocol):
    """Takes frames and answers later; `tinyscope.engine.video.VideoPredictor` is one."""

    def push(self, frame: Tensor, /) -> list[Detections]: ...
    def finish(self) -> list[Detections]: ...
    def forget(self) -> None: ...


@dataclass(frozen=True)
class Place:
    """Where the files of a video go, without a suffix, and how frames are painted.

    `picture` is None if no video is to be painted; `enlarge` is None to choose by the objects.
    """

    name: str
    lines: Path
    picture: Path | None
    enlarge: int | None


def predict_video(predictor: FindsInFrames, video: OpenVideo, place: Place, take: Take) -> int:
    """Finds objects in all frames of a video; returns how often the frames change their size.

    Args:
        predictor: As new, and again so afterwards.
        video: Just opened.
        place: What is written.
        take: Gets the frames in order.

    Raises:
        DataError: A frame cannot be read, or a file not be written.
    """
    seen = watched(predictor, one_ahead(video.frames))
    first = list(islice(seen, FIRST))
    if not first:
        return 0
    factor = place.enlarge or _enlargement(first)
    changes, last = 0, first[0][0].image.shape
    with ExitStack() as stack:
        progress = stack.enter_context(frame_progress(place.name, video.count))
        lines = stack.enter_context(atomic_text(with_folder(place.lines)))
        add = None
        if place.picture is not None:
            film = painted_video(with_folder(place.picture), video.rate)
            add = stack.enter_context(film)
        for frame, found in chain(first, seen):
            image_id, layers = take(frame, found)
            lines.write(json.dumps(_line(frame, found, image_id)) + "\n")
            if add is not None:
                add(_painted(frame, layers, factor), frame.seconds)
            changes += frame.image.shape != last
            last = frame.image.shape
            progress()
    return changes


def watched(predictor: FindsInFrames, frames: Iterable[Frame]) -> Iterator[Seen]:
    """Every frame with what was found in it, in order, as soon as that is known.

    No frame is looked at beside one of another size: where the size changes, a new video begins.
    """
    waiting: deque[Frame] = deque()
    last = None
    try:
        for frame in frames:
            if last not in (None, frame.image.shape):
                yield from _answers(predictor.finish(), waiting)
            last = frame.image.shape
            waiting.append(frame)
            yield from _answers(predictor.push(frame.image), waiting)
        yield from _answers(predictor.finish(), waiting)
    finally:
        predictor.forget()  # where an error or the caller ends it
    assert not waiting, "an answer for every frame"


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The items, of which a thread makes the next while the caller works on one."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        try:
            waiting = pool.submit(next, items, end)
            while (item := waiting.result()) is not end:
                waiting = pool.submit(next, items, end)
                yield item  # type: ignore[misc]
        finally:
            if isinstance(items, Generator):
                pool.submit(items.close).result()  # after what is being made


def class_layers(found: Detections) -> list[Layer]:
    """One layer for each class, found or not, so that legends of all frames are the same."""
    of_found = {layer.name: layer for layer in detection_layers(found)}
    return [
        of_found.get(name, Layer(name, torch.zeros(0, 4), OF_CLASSES[label % len(OF_CLASSES)]))
        for label, name in enumerate(found.names)
    ]


def _answers(answers: Iterable[Detections], waiting: deque[Frame]) -> Iterator[Seen]:
    for found in answers:
        yield waiting.popleft(), found


def _line(frame: Frame, found: Detections, image_id: int) -> dict[str, Any]:
    """As JSON; boxes are x1 y1 x2 y2 in pixels."""
    rows = zip(
        found.labels.tolist(),
        found.scores.double().tolist(),
        found.boxes.double().tolist(),
        strict=True,
    )
    detections = [
        {"label": found.names[k], "score": round(score, 5), "box": [round(x, 2) for x in box]}
        for k, score, box in rows
    ]
    head = {"frame": frame.number, "seconds": round(frame.seconds, 6), "image_id": image_id}
    return head | {"detections": detections}


def _enlargement(seen: list[Seen]) -> int:
    boxes = torch.cat([found.boxes for _, found in seen])
    return enlargement(boxes, max(max(frame.image.shape[-2:]) for frame, _ in seen))


def _painted(frame: Frame, layers: list[Layer], factor: int) -> Image:
    # Videos hold colors at half the resolution: a line of one pixel would be gray.
    picture = paint(frame.image, layers, enlarge=factor, line=2, legend=False)
    return with_legend(picture, layers, steady=True) if layers else picture
