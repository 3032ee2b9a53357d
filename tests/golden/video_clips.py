"""Videos on their way into training: references, transforms, rates and files of ImageNet."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinyscope.data.batches import collate, collate_clips
from tinyscope.data.benchmarks import imagenet_vid
from tinyscope.data.clips.clip_set import Clip
from tinyscope.data.clips.references import BilateralReferences
from tinyscope.data.cut import CutRule
from tinyscope.data.transforms.fit import Fit
from tinyscope.data.transforms.flip import Flip
from tinyscope.data.windows.window import Window, look_through
from tinyscope.detectors.normalize import Normalize
from tinyscope.engine.convert_imagenet import convert_imagenet_vid
from tinyscope.engine.loop import schedule_of
from tinyscope.formats.imagenet_vid import DET_FILE, read_annotations, to_train_on
from tinyscope.formats.tables import Annotations
from tinyscope.settings import load_recipe
from tinyscope.types import Sample, Target

Case = Mapping[str, Any]

RECIPE = "fgfa/imagenet_vid_r50_dc5"
TOLERANCE = 1e-5
DIVISOR = 16
PUBLISHED_SCALE = (1000, 600)
"""Longest side and shortest one of `resize_pad*.json`, as its README says."""
CLIP_SCALE = (100, 60)
"""Likewise of `pipeline*.safetensors`."""
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
KEEP_ALL = CutRule("clip", min_visible=0.0, min_side=0.0)


def assert_references_equal(case: Case) -> None:
    """What references are drawn from, how many of them, and what is drawn then."""
    rule = BilateralReferences(case["frame_range"], case["num_ref_imgs"], case["filter_key_img"])
    frame, length = case["frame_id"], case["video_len"]
    before, after = rule.sides(frame, length)
    assert before.tolist() == case["left_candidates"]
    assert after.tolist() == case["right_candidates"]
    for seed in range(5):
        drawn = rule(frame, length, np.random.default_rng(seed))
        if not case["n_refs"]:  # which the reference cannot train on
            assert drawn == (frame,)
            continue
        assert len(drawn) == case["n_refs"] == case["left_k"] + case["right_k"]
        assert list(drawn) == sorted(drawn)
        assert set(drawn[: case["left_k"]]) <= set(case["left_candidates"])
        assert set(drawn[case["left_k"] :]) <= set(case["right_candidates"])


def assert_stills_are_their_references(case: Case) -> None:
    """Of a still, the key and its references are the same image."""
    key, *references = case["ids"]
    rule = BilateralReferences(copies=len(references))
    drawn = rule(0, 1, np.random.default_rng(0))
    assert [key + frame for frame in drawn] == references
    assert case["n"] == 1 + len(drawn)


def assert_clips_equal(tensors: Mapping[str, Tensor]) -> None:
    """Two frames resized, flipped, normalized and padded."""
    frames = tensors["frames_bgr_u8"].flip(-1).permute(0, 3, 1, 2)
    flips = sorted({key.split(".")[0] for key in tensors if key.startswith("flip")})
    assert flips
    for name in flips:
        transforms = (_fit(CLIP_SCALE), Flip(horizontal=float(name.removeprefix("flip"))))
        seen = [_changed(image, tensors[f"boxes{i}"], transforms) for i, image in enumerate(frames)]
        height, width = tensors[f"{name}.img_hw"].tolist()
        for i, sample in enumerate(seen):
            assert sample.size == (height, width)
            torch.testing.assert_close(
                sample.target.boxes, tensors[f"{name}.boxes{i}"], rtol=TOLERANCE, atol=TOLERANCE
            )
        batch = collate_clips([Clip(seen[0], tuple(s.image for s in seen[1:]))], DIVISOR)
        found, expected = Normalize(MEAN, STD)(batch.images), tensors[f"{name}.img"]
        assert found.shape == expected.shape
        inside = (..., slice(height), slice(width))
        torch.testing.assert_close(found[inside], expected[inside], rtol=TOLERANCE, atol=TOLERANCE)
        # Ours is padded with the mean color in whole numbers, which is less than half of one away.
        torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=0.5 / min(STD))


def assert_sizes_equal(case: Case) -> None:
    """An image's size after resizing and padding, and where a box is then."""
    height, width = case["hw"]
    image = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(3, height, width)
    sample = _changed(image, torch.tensor([case["box_in"]]), (_fit(PUBLISHED_SCALE),))
    assert list(sample.size) == case["resized"]
    assert list(collate([sample], DIVISOR).images.shape[2:]) == case["padded"]
    torch.testing.assert_close(
        sample.target.boxes, torch.tensor([case["box_out"]]), rtol=TOLERANCE, atol=TOLERANCE
    )
    factors = [sample.size[1] / width, sample.size[0] / height] * 2
    np.testing.assert_allclose(factors, case["scale_factor"], rtol=1e-6)


def assert_rates_equal(case: Case) -> None:
    """The learning rate of steps in the schedule of the published recipe."""
    settings = load_recipe(RECIPE).train
    assert settings.learning_rate == case["base_lr"]
    schedule = schedule_of(settings, (settings.epochs or 0) * case["iters_per_epoch"])
    for step, epoch, rate in case["rows"]:
        assert step // case["iters_per_epoch"] == epoch
        np.testing.assert_allclose(settings.learning_rate * schedule(step), rate, rtol=TOLERANCE)


def assert_files_are_converted(case: Case, folder: Path) -> None:
    """The XML files of a tree give the CocoVID files of the reference, row by row."""
    target = _converted(case, folder)
    expected = [name for name in case if name.endswith(".json")]
    assert expected
    for name in expected:
        found = json.loads((target / name).read_text())
        assert found.keys() == case[name].keys()
        for key, rows in case[name].items():
            assert found[key] == rows, f"{name}: {key}"


def assert_frames_to_train_on_are_those_published(case: Case, folder: Path) -> None:
    """Which frames are trained on, with which boxes."""
    target, expected = _converted(case, folder), case["dataset"]
    for name in (name for name in case if name.endswith(".json")):
        for image in case[name]["images"]:
            path = folder / "Data" / ("DET" if name == DET_FILE else "VID") / image["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    train = imagenet_vid(folder, annotations=target)
    assert train.video is not None
    keys = train.take(np.flatnonzero(train.video.keys))
    assert list(_described(keys)) == expected["train_key_frames"]
    stills = to_train_on(read_annotations(target / DET_FILE, folder / "Data" / "DET"))
    frame, instances = {"frame_id": -1}, [[0] * len(r["boxes"]) for r in expected["det_images"]]
    described = [
        row | frame | {"instance_ids": i}
        for row, i in zip(_described(stills), instances, strict=True)
    ]
    assert described == expected["det_images"]
    both = imagenet_vid(folder, annotations=target, det=True)
    assert len(both) == len(train) + len(stills)
    assert len(imagenet_vid(folder, "val", target)) == expected["val_len"]


def _converted(case: Case, folder: Path) -> Path:
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    target = folder / "annotations"
    convert_imagenet_vid(folder, target, all_stills=True)
    return target


def _described(annotations: Annotations) -> Iterator[dict[str, Any]]:
    """Images as the fixture lists them."""
    assert annotations.video is not None
    for i, image in enumerate(annotations.image_ids.tolist()):
        rows = annotations.rows(i)
        height, width = annotations.sizes[i]
        yield {
            "boxes": annotations.boxes[rows].tolist(),
            "flag": int(width / height > 1),
            "frame_id": int(annotations.video.frames[i]),
            "id": image,
            "instance_ids": annotations.video.instances[rows].tolist(),
            "labels": annotations.labels[rows].tolist(),
        }


def _fit(scale: tuple[int, int]) -> Fit:
    return Fit(short=(scale[1],), long=scale[0], min_side=0.0, sampling="points")


def _changed(image: Tensor, boxes: Tensor, transforms: tuple[Any, ...]) -> Sample:
    """A whole image as it is trained on."""
    count = len(boxes)
    labels = torch.zeros(count, dtype=torch.int64)
    sample = Sample(image, Target(boxes, labels, torch.zeros(count, dtype=torch.bool)))
    height, width = sample.size
    window = Window(0, (0, 0, width, height), (height, width))
    sample = look_through(sample, window, KEEP_ALL)
    for transform in transforms:
        sample = transform(sample, np.random.default_rng(0))
    return sample
