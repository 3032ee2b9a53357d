"""Features of several frames made one, in clips and in windows, against the reference.

Frames stand for themselves: an image holds its number, and features and flows are looked up.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tinyscope.detectors.video import VideoDetector
from tinyscope.nn.temporal.embedding import EmbeddingAggregator
from tinyscope.tiling.frames import FrameRule, SlidingWindow, SpreadWindow
from tinyscope.types import Pyramid

_MANY = 10_000
"""More frames than any case has: a pair is written as one number."""


class LookedUp(nn.Module):
    """A detector whose maps are given, and whose outputs are its maps."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def pyramid(self, images: Tensor) -> Pyramid:
        return Pyramid((self.features[images[:, 0, 0, 0].long()],), (4,))

    def outputs(self, pyramid: Pyramid) -> Tensor:
        return pyramid.levels[0]

    def loss(self, *_: Any) -> dict[str, Tensor]:
        raise AssertionError

    def decode(self, *_: Any) -> list[Any]:
        raise AssertionError


class GivenFlows(nn.Module):
    """Flow (key, other, 2, h, w) that is looked up."""

    divisor, gain = 1, 1.0

    def __init__(self, flows: Tensor) -> None:
        super().__init__()
        self.flows = flows

    def prepare(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        del sizes
        return images[:, :1, :1, :1].float()

    def as_key(self, prepared: Tensor) -> Tensor:
        return prepared * _MANY

    def as_other(self, prepared: Tensor) -> Tensor:
        return prepared

    def predict(self, pairs: Tensor) -> list[Tensor]:
        numbers = pairs[:, 0, 0, 0].round().long()
        return [self.flows[numbers // _MANY, numbers % _MANY]]


def video_of(case: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> VideoDetector:
    """The published way from `feats` and `flows` of a case."""
    convolutions = sorted(name for name in weights if name.endswith("weight"))
    shape = weights[convolutions[0]].shape
    aggregator = EmbeddingAggregator(
        shape[1], convolutions=len(convolutions), kernel=int(shape[-1])
    )
    names = {f"embed_convs.{i}.conv.": f"convolutions.{i}." for i in range(len(convolutions))}
    aggregator.load_state_dict(
        {
            next(new + k[len(old) :] for old, new in names.items() if k.startswith(old)): v
            for k, v in weights.items()
        }
    )
    detector = LookedUp(case["feats"])
    return VideoDetector(detector, GivenFlows(case["flows"]), aggregator, exact_warp=False)


def frame(number: int) -> Tensor:
    """(1, 3, 1, 1), of which the number is all there is."""
    return torch.full((1, 3, 1, 1), float(number))


def clips(case: Mapping[str, Tensor]) -> Iterator[tuple[str, int, list[int]]]:
    """Name, key frame and references of the training steps of a case."""
    for name in case:
        if found := re.fullmatch(r"out_key(\d)_refs(\d+)", name):
            yield name, int(found[1]), [int(digit) for digit in found[2]]


def rule_of(name: str, case: Mapping[str, Tensor]) -> FrameRule | None:
    """How the windows of a case are chosen, by its name; None for one of training steps."""
    if found := re.fullmatch(r"t\d+_r(\d+)_s(\d+)", name):
        return SlidingWindow(radius=int(found[1]), stride=int(found[2]))
    return SpreadWindow(count=len(case["refs"])) if "refs" in case else None


def judged(model: VideoDetector, rule: FrameRule, length: int) -> Tensor:
    """Maps (t, c, h, w) of all frames, each by its window built from scratch."""
    seen = [model.see(frame(number), [(1, 1)]) for number in range(length)]
    found = []
    for key in range(length):
        window = rule(key, length)
        found.append(model.judge(seen[key], [seen[i] for i in window.frames], window.slot))
    return torch.cat(found)


def check_clips(content: Mapping[str, Tensor]) -> None:
    """Training steps and windows of one file."""
    weights = {k.removeprefix("agg."): v for k, v in content.items() if k.startswith("agg.")}
    names = dict.fromkeys(k.partition(".")[0] for k in content if not k.startswith("agg."))
    for name in names:
        case = {k.partition(".")[2]: v for k, v in content.items() if k.startswith(f"{name}.")}
        model = video_of(case, weights)
        for out, key, references in clips(case):
            images = torch.cat([frame(number) for number in (key, *references)])
            found = model(images, (len(references),))
            torch.testing.assert_close(found, case[out], rtol=1e-5, atol=1e-5)
        rule = rule_of(name, case)
        assert rule is not None or any(clips(case)), f"{name}: nothing compared"
        if rule is not None:
            if "refs" in case:
                assert rule(0, len(case["feats"])).frames == tuple(case["refs"].tolist())
            found = judged(model, rule, len(case["feats"]))
            torch.testing.assert_close(found, case["out"], rtol=1e-5, atol=1e-5)


def check_windows(lists: Mapping[str, Any]) -> None:
    """Which frames are loaded when: a memory that they go through is the window of every frame."""
    for case in lists.get("fix_stride", []):
        low, high = case["frame_range"]
        assert -low == high == case["num_left_ref_imgs"]
        rule = SlidingWindow(radius=high, stride=case["stride"])
        memory: list[int] = []
        for key, loaded in enumerate(case["refs"]):
            memory = [*memory, *loaded][-(2 * high + 1) :]
            assert rule(key, case["video_len"]).frames == tuple(memory), (case["video_len"], key)
    for case in lists.get("adaptive_stride", []):
        rule = SpreadWindow(count=case["num_ref_imgs"])
        first, *later = case["refs_first_frames"]
        assert not any(later)
        for key in range(len(case["refs_first_frames"])):
            assert rule(key, case["video_len"]).frames == tuple(first)
    if mismatch := lists.get("mismatch"):  # the width of the range decides, not their number
        first = mismatch["refs_first_frame"]
        radius = mismatch["num_ref_imgs_after"] // 2
        assert SlidingWindow(radius=radius)(0, first[-1] + 1).frames == tuple(first)
