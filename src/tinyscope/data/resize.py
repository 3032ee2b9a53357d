"""A sample at another size, with boxes scaled by the true factor of each axis."""

from torchvision.transforms.v2.functional import resize

from tinyscope.types import Dropped, Sample, Size, Target


def resized(sample: Sample, size: Size, min_side: float = 1.0) -> Sample:
    """The sample with its image resampled to `size` (bilinear, antialiased).

    Boxes scale by new over old pixels of each axis, which is what the kernel does to the pixels
    (pixel centers lie at halves). An object that shrinks below `min_side` pixels in width or
    height becomes ignored and is counted.
    """
    height, width = sample.size
    if size == (height, width):
        return sample
    image = resize(sample.image, list(size), antialias=True)
    before = sample.target
    boxes = before.boxes * before.boxes.new_tensor((size[1] / width, size[0] / height)).repeat(2)
    after_sides = boxes[:, 2:] - boxes[:, :2]
    shrunk = after_sides < before.boxes[:, 2:] - before.boxes[:, :2]
    lost = ((after_sides < min_side) & shrunk).any(dim=1) & ~before.ignore
    target = Target(boxes, before.labels, before.ignore | lost)
    reason = f"smaller than {min_side:g} px after resizing: now ignored"
    dropped = sample.dropped + Dropped.of(reason, before.boxes[lost])
    return Sample(image, target, sample.image_id, sample.file, dropped)


def scaled_size(size: Size, factor: float) -> Size:
    """Height and width times `factor`, rounded, at least one pixel each."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
