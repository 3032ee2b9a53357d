"""Samples of a training run on videos: key frames, each with other frames of its video.

All frames of a clip are seen through the same window and changed by the same draws of the
transforms, so that what moves from frame to frame is what moved before the camera. As a sample's, a
clip's contents follow from the seed and its position alone.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from tinyscope.data.clips.references import References
from tinyscope.data.clips.runs import Runs
from tinyscope.data.images import ImageCache
from tinyscope.data.key_frames import key_frames
from tinyscope.data.pixels import pixels
from tinyscope.data.randomness import Purpose, stream
from tinyscope.data.training_set import TrainingSet, Transform, with_sizes
from tinyscope.data.windows.window import WindowSource
from tinyscope.formats.tables import Annotations
from tinyscope.types import Sample


@dataclass(frozen=True)
class Clip:
    """A key frame with its target, and at least one other frame, all of one size."""

    key: Sample
    references: tuple[UInt8[Tensor, "3 h w"], ...]


class ClipSet(Dataset[Clip]):
    """Windows of the key frames of a data set, with the same windows of other frames.

    `len()` is the number of clips in an epoch; positions go on beyond it. A data set without videos
    is one of stills, whose references are themselves.

    Args:
        annotations: The data set; references are drawn among all of its frames.
        references: Which frames a key frame is shown with.
        windows, transforms, seed, read, redraw: As of a `TrainingSet`, of the key frames. A
            transform sees the key's target with every frame, so that its draws agree.

    Raises:
        DataError: There are no images or no key frames, or no window would be shown.
    """

    def __init__(
        self,
        annotations: Annotations,
        references: References,
        windows: WindowSource,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        read: ImageCache | None = None,
        redraw: bool = False,
    ) -> None:
        self.annotations = with_sizes(annotations)
        self.key_positions = key_frames(annotations)
        keys = self.annotations.take(self.key_positions)
        self.keys = TrainingSet(keys, windows, transforms, seed, read, redraw)
        self.references = references
        self.runs = Runs.of(self.annotations)
        self.seed = seed

    def through(self, windows: WindowSource) -> "ClipSet":
        """The same videos, seen through other windows, as `TrainingSet.through`."""
        other = copy(self)
        other.keys = self.keys.through(windows)
        return other

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> Clip:
        """Clip `position` of the run."""
        key, view = self.keys.view(position)
        image = int(self.key_positions[view.window.image])
        frame, length = self.runs.frame(image)
        random = stream(self.seed, Purpose.REFERENCES, position)
        chosen = [self.runs.image(image, f) for f in self.references(frame, length, random)]
        seen = {image: key.image}
        for other in dict.fromkeys(chosen):
            if other != image:
                whole = pixels(self.annotations, other, self.keys.read)
                seen[other] = self.keys.as_seen(whole, view)
        return Clip(key, tuple(seen[other] for other in chosen))
