"""Clips by position and batches of them; frames are written once per module."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data.batches import loader
from tinyscope.data.clips.clip_set import ClipSet
from tinyscope.data.clips.references import BilateralReferences
from tinyscope.data.transforms.crop import Crop
from tinyscope.data.transforms.flip import Flip
from tinyscope.data.transforms.scale import Scale
from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.data.windows.whole import WholeImages
from tinyscope.errors import DataError
from tinyscope.formats.assemble import assemble
from tinyscope.formats.tables import Annotations, VideoFrames
from tinyscope.types import ClipBatch

VIDEOS = (8, 1, 5)
"""Frames of each video; a red value is 20 times the video, a green one 10 times the frame."""
SIZE = (40, 56)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Annotations:
    """Frames in an order of their own, with one object each at a place of its own."""
    folder = tmp_path_factory.mktemp("frames")
    frames = [(v, f) for v, length in enumerate(VIDEOS) for f in range(length)]
    for v, f in frames:
        pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
        pixels[..., 0], pixels[..., 1] = 20 * v, 10 * f
        pixels[..., 2] = np.arange(SIZE[1])  # tells where a window starts
        Image.fromarray(pixels).save(folder / f"{v}_{f}.png")
    frames = [frames[i] for i in np.random.default_rng(0).permutation(len(frames))]
    corners = np.array([[3.0 * f + 2, 2.0 * v + 5] for v, f in frames])
    read = assemble(
        folder,
        ["boat"],
        [f"{v}_{f}.png" for v, f in frames],
        np.tile(np.array(SIZE, dtype=np.int32), (len(frames), 1)),
        [1] * len(frames),
        np.hstack([corners, corners + 6]),
        np.zeros(len(frames), dtype=np.int64),
    )
    column = np.array(frames)
    keys = column[:, 1] % 3 == 0
    every = np.full(len(frames), -1)
    names = tuple(f"video {v}" for v in range(len(VIDEOS)))
    return replace(read, video=VideoFrames(names, column[:, 0], column[:, 1], keys, every))


def clips(annotations: Annotations, seed: int = 0, **options) -> ClipSet:
    transforms = [Flip(0.5, 0.5), Scale(0.8, 1.5), Crop(24)]
    windows = RandomWindows(32, (0.5, 2.0))
    return ClipSet(annotations, BilateralReferences(2), windows, transforms, seed, **options)


def whole(annotations: Annotations, **options) -> ClipSet:
    return ClipSet(annotations, BilateralReferences(**options), WholeImages())


def shown(image: torch.Tensor) -> tuple[int, int]:
    """Video and frame of pixels."""
    return int(image[0, 0, 0]) // 20, int(image[1, 0, 0]) // 10


def assert_same(a: ClipBatch, b: ClipBatch) -> None:
    assert torch.equal(a.images, b.images)
    assert (a.references, a.sizes, a.files) == (b.references, b.sizes, b.files)
    for one, other in zip(a.targets, b.targets, strict=True):
        assert torch.equal(one.boxes, other.boxes)


def test_key_frames_are_shown_once_an_epoch_with_frames_from_both_sides(videos):
    samples = whole(videos)
    assert len(samples) == 3 + 1 + 2
    seen = set()
    for position in range(len(samples)):
        clip = samples[position]
        video, frame = shown(clip.key.image)
        seen.add((video, frame))
        assert clip.key.file.endswith(f"{video}_{frame}.png")
        assert clip.key.target.boxes[0, 0] == 3 * frame + 2
        drawn = [shown(image) for image in clip.references]
        assert all(v == video for v, _ in drawn)
        assert drawn == sorted(drawn)
        sides = {f < frame for _, f in drawn}
        if VIDEOS[video] == 1:
            assert drawn == [(video, frame)]
        else:
            assert sides == {f < frame for f in range(VIDEOS[video]) if f != frame}
    assert seen == {(0, 0), (0, 3), (0, 6), (1, 0), (2, 0), (2, 3)}


def test_all_frames_of_a_clip_go_through_the_same_window_and_transforms(videos):
    samples = clips(videos)
    moved = 0
    for position in range(30):
        clip = samples[position]
        for reference in clip.references:
            assert reference.shape == clip.key.image.shape
            assert torch.equal(reference[2], clip.key.image[2])  # the same places of the image
            moved += shown(reference) != shown(clip.key.image)
    assert moved > 20


def test_a_clip_follows_from_the_seed_and_the_position_alone(videos):
    first, again = clips(videos), clips(videos)
    for position in (11, 2, 30):
        one, other = first[position], again[position]
        assert torch.equal(one.key.image, other.key.image)
        assert all(map(torch.equal, one.references, other.references))
    drawn = [[shown(r) for r in whole(videos, radius=7)[p].references] for p in range(24)]
    assert drawn == [[shown(r) for r in whole(videos, radius=7)[p].references] for p in range(24)]


def test_references_are_drawn_anew_in_every_epoch(videos):
    samples = whole(videos)
    drawn: dict[str, set[tuple[tuple[int, int], ...]]] = {}
    for position in range(8 * len(samples)):
        clip = samples[position]
        drawn.setdefault(clip.key.file, set()).add(tuple(shown(r) for r in clip.references))
    assert len(drawn[str(videos.root / "0_3.png")]) > 3


def test_a_window_drawn_again_is_that_of_the_references_too(videos):
    def losing(sample, random):
        """Ignores objects that the blue value of the first pixel picks, after a draw."""
        random.random()
        ignore = sample.target.ignore | bool(sample.image[2, 0, 0] % 2)
        return replace(sample, target=replace(sample.target, ignore=ignore))

    samples = ClipSet(
        videos, BilateralReferences(2), RandomWindows(24), [losing, Flip()], redraw=True
    )
    counted = 0
    for position in range(30):
        clip = samples[position]
        counted += clip.key.dropped.total
        assert all(torch.equal(r[2], clip.key.image[2]) for r in clip.references)
        assert all(shown(r)[0] == shown(clip.key.image)[0] for r in clip.references)
    assert counted


def test_frames_of_another_size_are_no_references(videos):
    assert videos.video is not None
    sizes = videos.sizes.copy()
    sizes[(videos.video.videos == 0) & (videos.video.frames >= 4)] = (30, 30)
    changed = replace(videos, sizes=sizes)
    samples = ClipSet(changed, BilateralReferences(9), WholeImages())
    assert samples.runs.changes == 1
    for image in range(len(changed)):
        frame, length = samples.runs.frame(image)
        run = [samples.runs.image(image, f) for f in range(length)]
        assert run[frame] == image
        assert (sizes[run] == sizes[image]).all()
        assert len(set(videos.video.videos[run].tolist())) == 1
    lengths = {samples.runs.frame(i)[1] for i in np.flatnonzero(videos.video.videos == 0).tolist()}
    assert lengths == {4}


def test_images_without_videos_are_their_own_references(videos):
    samples = whole(replace(videos, video=None))
    assert len(samples) == sum(VIDEOS)
    clip = samples[3]
    (reference,) = clip.references
    assert torch.equal(reference, clip.key.image)


def test_a_missing_frame_is_named(videos):
    files = np.array([f.replace("0_", "lost_") if f[2:3] != "3" else f for f in videos.files])
    samples = whole(replace(videos, files=files))
    with pytest.raises(DataError, match=r"lost_\d\.png: no such file"):
        [samples[position] for position in range(6)]


def test_videos_without_key_frames_cannot_be_trained_on(videos):
    video = replace(videos.video, keys=np.zeros(len(videos), dtype=np.bool_))
    with pytest.raises(DataError, match="none of its 14 frames is a key frame"):
        whole(replace(videos, video=video))


def test_a_batch_holds_the_key_frames_then_the_references_clip_by_clip(videos):
    samples = whole(videos)
    (batch,) = loader(samples, 6, workers=0, divisor=16)
    assert isinstance(batch, ClipBatch)
    assert len(batch) == 6
    assert batch.images.shape == (6 + sum(batch.references), 3, 48, 64)
    assert batch.sizes == (SIZE,) * 6
    at = 6
    for position in range(6):
        clip = samples[position]
        assert batch.references[position] == len(clip.references)
        assert torch.equal(batch.images[position, :, :40, :56], clip.key.image)
        assert torch.equal(batch.targets[position].boxes, clip.key.target.boxes)
        for reference in clip.references:
            assert torch.equal(batch.images[at, :, :40, :56], reference)
            at += 1
    assert (batch.images[:, :, 40:, :] == torch.tensor([124, 116, 104])[:, None, None]).all()


def test_batches_do_not_depend_on_workers_nor_on_where_a_run_resumes(videos):
    alone = list(loader(clips(videos), 4, workers=0, steps=4))
    for a, b in zip(alone, loader(clips(videos), 4, workers=2, steps=4), strict=True):
        assert_same(a, b)
    rest = list(loader(clips(videos), 4, workers=0, start_step=2, steps=4))
    for a, b in zip(alone[2:], rest, strict=True):
        assert_same(a, b)


def test_processes_share_out_the_clips_of_a_batch(videos):
    (all_of_it,) = loader(clips(videos), 4, workers=0)
    parts = [next(iter(loader(clips(videos), 4, workers=0, rank=r, world=2))) for r in (0, 1)]
    assert all_of_it.files == parts[0].files + parts[1].files
    assert all_of_it.references == parts[0].references + parts[1].references


def test_an_error_of_the_data_is_raised_as_it_is(videos, tmp_path: Path):
    samples = whole(replace(videos, root=tmp_path))
    with pytest.raises(DataError, match="no such file"):
        list(loader(samples, 2, workers=1))
