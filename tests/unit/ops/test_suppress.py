import pytest
import torch
from torchvision.ops import box_iou, nms

from tinyscope.ops import suppress
from tinyscope.ops.suppress import nms_per_class, soft_nms_per_class


def crowd(count, objects, classes, seed=0, shift=0.0):
    """Boxes around `objects` places, with some equal scores."""
    rng = torch.Generator().manual_seed(seed)
    centers = torch.rand(objects, 2, generator=rng) * 300
    sides = 2 + 18 * torch.rand(objects, 2, generator=rng)
    which = torch.randint(objects, (count,), generator=rng)
    jitter = torch.randn(count, 2, generator=rng)
    boxes = torch.cat([centers[which] - sides[which] / 2, centers[which] + sides[which] / 2], 1)
    scores = (torch.rand(count, generator=rng) * 200).round() / 200
    labels = torch.randint(classes, (count,), generator=rng)
    return boxes + torch.cat([jitter, jitter], 1) + shift, scores, labels


def class_by_class(boxes, scores, labels, threshold):
    rows = [
        here[nms(boxes[here], scores[here], threshold)]
        for label in labels.unique()
        for here in [(labels == label).nonzero()[:, 0]]
    ]
    rows = torch.cat(rows).sort().values
    return rows[scores[rows].argsort(descending=True, stable=True)]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("count", "objects", "classes"), [(1, 1, 1), (400, 40, 1), (600, 30, 5)])
def test_equals_torchvision_class_by_class(monkeypatch, sparse, threshold, count, objects, classes):
    monkeypatch.setattr(suppress, "SPARSE_FROM", 0 if sparse else 10**9)
    monkeypatch.setattr(suppress, "CROWD", 10**9)
    boxes, scores, labels = crowd(count, objects, classes)
    kept = nms_per_class(boxes, scores, labels, threshold)
    assert torch.equal(kept, class_by_class(boxes, scores, labels, threshold))


def test_crowds_and_scattered_boxes_give_the_same_rows_either_way(monkeypatch):
    boxes, scores, labels = crowd(3000, 5, 2)
    monkeypatch.setattr(suppress, "SPARSE_FROM", 0)
    quick = nms_per_class(boxes, scores, labels, 0.5)
    assert torch.equal(quick, class_by_class(boxes, scores, labels, 0.5))


@pytest.mark.parametrize("sparse", [False, True])
def test_far_from_the_origin_many_classes_lose_no_precision(monkeypatch, sparse):
    monkeypatch.setattr(suppress, "SPARSE_FROM", 0 if sparse else 10**9)
    boxes, scores, labels = crowd(200, 20, 80)
    # Sixteenths of a pixel are exact at 60,000, but not if 80 classes are moved apart as well.
    boxes = (boxes * 16).round() / 16
    near = nms_per_class(boxes, scores, labels, 0.5)
    far = nms_per_class(boxes + 60_000, scores, labels, 0.5)
    assert torch.equal(near, far)


@pytest.mark.parametrize("sparse", [False, True])
def test_no_boxes_give_no_rows(monkeypatch, sparse):
    monkeypatch.setattr(suppress, "SPARSE_FROM", 0 if sparse else 10**9)
    none = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert nms_per_class(*none, 0.5).shape == (0,)
    rows, scores = soft_nms_per_class(*none)
    assert rows.shape == scores.shape == (0,)


def test_limit_keeps_the_best():
    boxes, scores, labels = crowd(300, 60, 3)
    assert torch.equal(
        nms_per_class(boxes, scores, labels, 0.5, 7), nms_per_class(boxes, scores, labels, 0.5)[:7]
    )


def test_threshold_one_keeps_all_even_equal_boxes():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4]])
    kept = nms_per_class(boxes, torch.tensor([0.1, 0.2]), torch.tensor([0, 0]), 1.0)
    assert kept.tolist() == [1, 0]


def one_by_one(boxes, scores, labels, decay, iou_threshold, sigma, score_threshold):
    """Soft-NMS as the paper's pseudocode states it."""
    scores, left, done = scores.clone().double(), list(range(len(boxes))), []
    iou = box_iou(boxes, boxes).double() * (labels[:, None] == labels[None])
    left = [i for i in left if scores[i] >= score_threshold]
    while left:
        best = max(left, key=lambda i: (float(scores[i]), -i))
        done.append(best)
        left.remove(best)
        for i in left:
            if decay == "gaussian":
                scores[i] *= torch.exp(-(iou[best, i] ** 2) / sigma)
            elif iou[best, i] >= iou_threshold:
                scores[i] *= 1 - iou[best, i]
        left = [i for i in left if scores[i] >= score_threshold]
    return done, scores


@pytest.mark.parametrize("decay", ["linear", "gaussian"])
@pytest.mark.parametrize("seed", range(4))
def test_soft_suppression_equals_the_sequential_algorithm(decay, seed):
    boxes, scores, labels = crowd(120, 15, 2, seed)
    # Distinct scores: with ties the order hangs on the last bit.
    scores = scores + torch.arange(len(scores)) * 1e-5
    rows, found = soft_nms_per_class(boxes, scores, labels, decay=decay, score_threshold=0.01)
    expected, expected_scores = one_by_one(boxes, scores, labels, decay, 0.3, 0.5, 0.01)
    assert set(rows.tolist()) == set(expected)
    torch.testing.assert_close(found.double(), expected_scores[rows], rtol=1e-4, atol=1e-6)
    assert found.tolist() == sorted(found.tolist(), reverse=True)


@pytest.mark.parametrize("rows", [3, 5, 7])  # float32 is above 0.3, and below 0.7
def test_linear_decay_starts_at_the_threshold(rows):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, rows]])
    for threshold, expected in ((rows / 10, 0.8 * (1 - rows / 10)), (rows / 10 + 1e-6, 0.8)):
        _, scores = soft_nms_per_class(
            boxes,
            torch.tensor([0.9, 0.8]),
            torch.tensor([0, 0]),
            decay="linear",
            iou_threshold=threshold,
        )
        torch.testing.assert_close(scores, torch.tensor([0.9, expected]))


def test_a_score_that_decays_to_the_floor_stays_and_one_below_goes():
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 4], [0, 4, 8, 8]])
    scores = torch.tensor([0.9, 0.25, 0.24])  # half of them remains
    rows, found = soft_nms_per_class(
        boxes, scores, torch.zeros(3, dtype=torch.int64), decay="linear", score_threshold=0.125
    )
    assert rows.tolist() == [0, 1]
    assert found.tolist() == [scores[0], 0.125]


def test_soft_suppression_leaves_its_input_alone():
    boxes, scores, labels = crowd(50, 3, 1)
    before = scores.clone()
    soft_nms_per_class(boxes, scores, labels)
    assert torch.equal(scores, before)
