"""Real infrared images of mixed modes, with and without targets, through the whole pipeline."""

import torch

from tinyscope.data.batches import TrainingSet
from tinyscope.data.locate import locate
from tinyscope.data.transforms.flip import Flip
from tinyscope.data.transforms.turn import Turn
from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.types import Sample


def test_boxes_lie_on_the_warm_spots_after_all_steps(real_data):
    annotations = locate(real_data / "sirst_v2", "train")
    windows = RandomWindows(128, scale=(1.0, 2.0), aimed=1.0)
    samples = TrainingSet(annotations, windows, [Flip(0.5, 0.5), Turn()])
    shifts = dict.fromkeys((-4, -2, 0, 2, 4), 0.0)
    for sample in (samples[i] for i in range(60)):
        for shift in shifts:
            shifts[shift] += contrast(sample, shift)
    assert max(shifts, key=lambda s: shifts[s]) == 0
    assert shifts[0] > 1.2 * max(shifts[-2], shifts[2])


def contrast(sample: Sample, shift: int) -> float:
    """Light inside the boxes moved by `shift` pixels right and down, above the median."""
    light = sample.image.float().mean(dim=0)
    middle, total = light.median(), 0.0
    for x1, y1, x2, y2 in (sample.target.boxes.round().int() + shift).clamp(min=0).tolist():
        inside = light[y1:y2, x1:x2]
        total += float(inside.mean() - middle) if inside.numel() else 0.0
    return total / max(1, len(sample.target))


def test_a_set_of_mixed_modes_and_empty_images_batches_as_it_stands(real_data):
    annotations = locate(real_data / "sirst_v2", "train")
    samples = TrainingSet(annotations, RandomWindows(128, scale=(1.0, 2.0), aimed=0.5))
    seen = [samples[i] for i in range(24)]
    assert any(len(s.target) == 0 for s in seen)
    assert any(len(s.target) > 0 for s in seen)
    assert all(s.image.dtype == torch.uint8 and max(s.size) <= 128 for s in seen)
