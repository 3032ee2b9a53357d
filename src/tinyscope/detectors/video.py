"""Detectors of videos: one of images, on maps that are gathered from several frames.

Zhu et al. 2017, "Flow-Guided Feature Aggregation for Video Object Detection" (FGFA),
arXiv:1703.10025, around any detector of images and on any pyramid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tinyscope.detectors.chain import chained
from tinyscope.detectors.seen import (
    Aggregator,
    ImageDetector,
    Motion,
    Seen,
    counted,
    first_images,
    in_chunks,
    joined,
)
from tinyscope.ops.warp import warp
from tinyscope.types import Detections, Size, Target

_PIXELS_AT_ONCE = 2**22
"""Of the pairs that flow is computed of together; the flow net takes some 100 bytes for each."""
_NUMBERS_AT_ONCE = 2**21
"""Of maps that are moved and weighed together on a CPU: some of its cache, for several passes."""


class VideoDetector(nn.Module):
    """Maps of other frames are moved along optical flow to the key frame and added to its own.

    Every cell is the mean over frames, weighted by how alike they are to the key frame; the
    detector goes on from there as if it had seen one image. All levels share flow and embedding.

    Args:
        detector: Of images.
        motion: Flow between two frames.
        aggregator: How much each frame counts.
        sum_key: Whether the key frame's own maps are in the mean in training as well, as they are
            in prediction. Published detectors are trained without: their key frame says what the
            weights are, and only other frames are summed.
        exact_warp: Whether zero flow leaves maps where they are. False is how published
            checkpoints were trained: every level shrinks by up to a cell to its upper left
            corner, which on several levels no flow can make good. See `ops.warp.warp`.
        chain: Whether prediction computes flow between neighboring frames of a sliding window and
            chains it, where published detectors compute that of every pair: of 31 frames, 2 pairs
            for each key frame instead of 30, and errors add up along the chain. Training is the
            same, and so are windows that are spread over a video.
    """

    detector: ImageDetector
    motion: Motion
    aggregator: Aggregator

    def __init__(
        self,
        detector: nn.Module,
        motion: nn.Module,
        aggregator: nn.Module,
        *,
        sum_key: bool = False,
        exact_warp: bool = True,
        chain: bool = False,
    ) -> None:
        super().__init__()
        assert isinstance(detector, ImageDetector)
        assert isinstance(motion, Motion)
        assert isinstance(aggregator, Aggregator)
        self.detector, self.motion, self.aggregator = detector, motion, aggregator
        self.sum_key, self.exact_warp, self.chain = sum_key, exact_warp, chain

    @property
    def divisor(self) -> int:
        """What flow needs the sides of images to be multiples of."""
        return self.motion.divisor

    def forward(
        self,
        images: Tensor,
        references: Sequence[int] | None = None,
        sizes: Sequence[Size] | None = None,
    ) -> Any:
        """Clips to the raw outputs of their key frames, as they are in training.

        Args:
            images: (n, 3, h, w), 0 to 255: the b key frames first, then the references of all
                clips, clip by clip.
            references: How many each clip has. None: all images are key frames, and each is its
                own only reference.
            sizes: Of the key frames and their references before padding; None: nothing is padded.
        """
        keys = len(images) if references is None else len(references)
        counts = [1] * keys if references is None else references
        clip_of = [clip for clip, count in enumerate(counts) for _ in range(count)]
        known = sizes or [(int(images.shape[-2]), int(images.shape[-1]))] * keys
        shown = [*known, *(known[clip] for clip in clip_of)][: len(images)]
        assert len(shown) == len(images), "references must say how many images follow the keys"
        clips = torch.tensor(clip_of).to(images.device, non_blocking=True)  # (r,)
        rows = clips if references is None else slice(keys, None)
        prepared = self.motion.prepare(images.float(), shown)
        of_keys = self.motion.as_key(prepared[:keys])
        flow = self._flow(of_keys[clips] + self.motion.as_other(prepared[rows]))
        pyramid = self.detector.pyramid(images)
        own = first_images(pyramid, keys)
        levels = []
        for level, key in zip(pyramid.levels, own.levels, strict=True):
            embedded = self._embedded(level)
            embedded_key = self.aggregator.embed(key) if embedded is None else embedded[:keys]
            sums = self._alone(key, embedded_key) if self.sum_key else _Sums.nothing(key)
            others = None if embedded is None else embedded[rows]
            moved, compared = self._moved(level[rows], others, flow)
            weights = self.aggregator.similarities(embedded_key[clips], compared[:, None]).exp()
            maps = sums.maps.index_add(0, clips, weights * moved)
            sums = _Sums(maps, sums.weights.index_add(0, clips, weights))
            levels.append(sums.mean.to(key.dtype))
        return self.detector.outputs(replace(own, levels=tuple(levels)))

    def loss(
        self, outputs: Any, targets: Sequence[Target], sizes: Sequence[Size]
    ) -> dict[str, Tensor]:
        """Named losses () of the key frames: the inner detector's."""
        return self.detector.loss(outputs, targets, sizes)

    @torch.no_grad()
    def decode(
        self, outputs: Any, sizes: Sequence[Size], score_threshold: float | None = None
    ) -> list[Detections]:
        """Detections of each key frame, best first; see the inner detector's."""
        return self.detector.decode(outputs, sizes, score_threshold)

    @torch.no_grad()
    def see(self, images: Tensor, sizes: Sequence[Size]) -> Seen:
        """What is computed once of a frame.

        Args:
            images: (b, 3, h, w), 0 to 255: the frame, or tiles of it.
            sizes: Of each before padding.
        """
        pyramid = self.detector.pyramid(images)
        prepared = self.motion.prepare(images.float(), sizes)
        embedded = tuple(self._embedded(level) for level in pyramid.levels)
        return Seen(pyramid, prepared, self.motion.as_other(prepared), embedded)

    @torch.no_grad()
    def judge(self, key: Seen, window: Sequence[Seen], slot: int | None) -> Any:
        """Raw outputs of a frame by those around it, as prediction has them.

        Args:
            key: The frame; its own maps are in the mean once, as they are.
            window: Frames whose maps are moved to it, itself as well where it is among them. One
                that stands in it several times counts as often and is computed once.
            slot: Place in the window that the key frame takes; None: one more.
        """
        levels = key.pyramid.levels
        compared = [self.aggregator.embed(x) if e is None else e for x, e in key.compared]
        sums = [self._alone(*pair) for pair in zip(levels, compared, strict=True)]
        for others, flow in self._flows(key, window, slot):
            for level, embedded_key in enumerate(compared):
                for some, moving in _in_parts(others, flow, levels[level]):
                    added = self._added(some, moving, level, embedded_key)
                    sums[level] = _Sums(*(a + b for a, b in zip(sums[level], added, strict=True)))
        means = tuple(s.mean.to(x.dtype) for s, x in zip(sums, levels, strict=True))
        return self.detector.outputs(replace(key.pyramid, levels=means))

    def _added(
        self, others: Sequence[tuple[Seen, int]], flow: Tensor, level: int, embedded_key: Tensor
    ) -> "_Sums":
        """What frames with their counts add to the sums of a level."""
        shape = (len(others), len(embedded_key))
        moved, embedded = (
            maps.view(*shape, *maps.shape[1:]).transpose(0, 1)  # (b, f, c, h, w)
            for maps in self._moved(*joined([seen.compared[level] for seen, _ in others]), flow)
        )
        times = torch.tensor([float(count) for _, count in others])
        times = times.to(flow.device, non_blocking=True)
        weights = self.aggregator.similarities(embedded_key, embedded).exp()
        weights = (times.view(-1, 1, 1) * weights)[:, :, None]  # (b, f, 1, h, w)
        return _Sums((weights * moved).sum(dim=1), weights.sum(dim=1))

    def _flows(
        self, key: Seen, window: Sequence[Seen], slot: int | None
    ) -> Iterator[tuple[Sequence[tuple[Seen, int]], Tensor]]:
        """Frames of the window with their counts, some at a time, and flow to all of these."""
        known = {}
        if self.chain and slot is not None:
            known = chained(key, window, slot, self._step)
        of_key = self.motion.as_key(key.prepared)
        area = key.prepared.shape[-2] * key.prepared.shape[-1] * len(key.prepared)
        for others in in_chunks(counted(window, slot), max(1, _PIXELS_AT_ONCE // area)):
            if known:
                yield others, torch.cat([known[seen] for seen, _ in others])
                continue
            of_others = torch.cat([seen.as_other for seen, _ in others])
            yield others, self._flow(of_key.repeat(len(others), 1, 1, 1) + of_others)

    def _step(self, key: Seen, other: Seen) -> Tensor:
        return self._flow(self.motion.as_key(key.prepared) + other.as_other)

    def _flow(self, pairs: Tensor) -> Tensor:
        """In its own cells, several pixels each, which maps are moved by as well as by pixels."""
        return self.motion.gain * self.motion.predict(pairs)[-1]

    def _embedded(self, level: Tensor) -> Tensor | None:
        """Embeddings of maps that are moved with them; None where they are made afterwards."""
        return self.aggregator.embed(level) if self.aggregator.warp_embedding else None

    def _alone(self, key: Tensor, embedded: Tensor) -> "_Sums":
        """The sums over the key frames alone."""
        weights = self.aggregator.similarities(embedded, embedded[:, None]).exp()
        return _Sums(weights * key, weights)

    def _moved(
        self, features: Tensor, embedded: Tensor | None, flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Maps and embeddings of other frames, where things stand in the key frame."""
        moved = warp(features, flow, exact=self.exact_warp)
        if embedded is None:
            return moved, self.aggregator.embed(moved)
        return moved, warp(embedded, flow, exact=self.exact_warp)


class _Sums(NamedTuple):
    """Maps (b, c, h, w) times their weights, and the weights (b, 1, h, w); float32."""

    maps: Tensor
    weights: Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> "_Sums":
        """Of maps of that shape, none so far."""
        zeros = torch.zeros_like(like, dtype=torch.float32)
        return cls(zeros, zeros[:, :1])

    @property
    def mean(self) -> Tensor:
        return self.maps / self.weights


def _in_parts(
    others: Sequence[tuple[Seen, int]], flow: Tensor, level: Tensor
) -> Iterator[tuple[Sequence[tuple[Seen, int]], Tensor]]:
    """Frames and flow to them, so many at a time that maps like `level` stay near the processor."""
    limit = _NUMBERS_AT_ONCE if level.device.type == "cpu" else len(others) * level.numel()
    step = max(1, limit // level.numel())
    for first in range(0, len(others), step):
        rows = slice(first * len(level), (first + step) * len(level))
        yield others[first : first + step], flow[rows]


def image_detector(model: Any) -> Any:
    """What of a detector sees single images: a video detector's inner one, else itself."""
    return model.detector if isinstance(model, VideoDetector) else model
