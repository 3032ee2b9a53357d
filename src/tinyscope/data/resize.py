"""A sample at another size, with boxes scaled by the true factor of each axis."""

from tinyscope.data.sampling import Sampling, resampled
from tinyscope.types import Dropped, Sample, Size, Target


def resized(
    sample: Sample, size: Size, min_side: float = 1.0, sampling: Sampling = "antialiased"
) -> Sample:
    """The sample with its image resampled to `size`, bilinear.

    Boxes scale by new over old pixels of each axis, which is what the kernel does to the pixels
    (pixel centers lie at halves). An object that shrinks below `min_side` pixels in width or
    height becomes ignored and is counted.
    """
    if size == sample.size:
        return sample
    image = resampled(sample.image, size, sampling)
    target, dropped = resized_target(sample.target, sample.size, size, min_side)
    return Sample(image, target, sample.image_id, sample.file, sample.dropped + dropped)


def resized_target(
    target: Target, before: Size, after: Size, min_side: float = 1.0
) -> tuple[Target, Dropped]:
    """The target of an image that goes from one size to another, and the objects it lost."""
    factors = target.boxes.new_tensor((after[1] / before[1], after[0] / before[0]))
    boxes = target.boxes * factors.repeat(2)
    sides = boxes[:, 2:] - boxes[:, :2]
    shrunk = sides < target.boxes[:, 2:] - target.boxes[:, :2]
    lost = ((sides < min_side) & shrunk).any(dim=1) & ~target.ignore
    reason = f"smaller than {min_side:g} px after resizing: now ignored"
    changed = Target(boxes, target.labels, target.ignore | lost)
    return changed, Dropped.of(reason, target.boxes[lost])


def scaled_size(size: Size, factor: float) -> Size:
    """Height and width times `factor`, rounded, at least one pixel each."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
