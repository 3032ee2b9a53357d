"""Means over views equal a plain loop over leaders and views."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.ops.vote import mean_of_views

ACROSS, DOWN, SIDE = st.integers(0, 12), st.integers(0, 1), st.integers(5, 8)  # crowded


@st.composite
def found_in_views(draw):
    count, total = draw(st.integers(1, 4)), draw(st.integers(0, 15))
    rows = draw(
        st.lists(
            st.tuples(ACROSS, DOWN, SIDE, SIDE, st.integers(0, 1)),
            min_size=total,
            max_size=total,
        )
    )
    views = draw(st.lists(st.integers(0, count - 1), min_size=len(rows), max_size=len(rows)))
    scores = draw(st.lists(st.integers(1, 32), min_size=len(rows), max_size=len(rows)))
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], float).reshape(-1, 4)
    labels = np.array([row[4] for row in rows], int)
    return boxes, np.array(scores, float) / 32, labels, np.array(views, int), count


def iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inter = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return inter / (sum(areas) - inter)


def by_loops(boxes, scores, labels, views, count, threshold):
    leaders, joined = [], {}
    for row in np.argsort(-scores, kind="stable"):
        near = [m for m in leaders if labels[m] == labels[row]]
        near = [(iou(boxes[m], boxes[row]), -n, m) for n, m in enumerate(near)]
        overlap, _, leader = max(near, default=(0, 0, None))
        if overlap > threshold:
            joined[leader].setdefault(views[row], row)  # best first: later ones are silent
        else:
            leaders.append(row)
            joined[row] = {views[row]: row}
    out = []
    for leader in leaders:
        rows = list(joined[leader].values())
        weight = scores[rows]
        out.append(((boxes[rows] * weight[:, None]).sum(0) / weight.sum(), weight.sum() / count))
    return out, labels[leaders]


@given(found_in_views())
def test_means_are_those_of_plain_loops(case):
    boxes, scores, labels, views, count = case
    expected, names = by_loops(boxes, scores, labels, views, count, 0.45)
    tensors = [torch.from_numpy(part) for part in (boxes, scores, labels, views)]
    means, total, kept = mean_of_views(*tensors, count, 0.45)
    order = np.argsort([-score for _, score in expected], kind="stable")
    assert len(means) == len(expected)
    for row, place in enumerate(order):
        box, score = expected[place]
        np.testing.assert_allclose(total[row], score)
        np.testing.assert_allclose(means[row], box)
        assert kept[row] == names[place]


def test_a_box_joins_no_leader_that_is_worse():
    # The second overlaps the third most, which the first leaves as a leader of its own.
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [5, 0, 15, 10]])
    scores, labels = torch.tensor([0.9, 0.7, 0.5]), torch.zeros(3).long()
    means, total, _ = mean_of_views(boxes, scores, labels, torch.tensor([0, 1, 1]), 2)
    left = 0.7 * 3 / 1.6
    torch.testing.assert_close(means, torch.tensor([[left, 0, 10 + left, 10], [5, 0, 15, 10]]))
    torch.testing.assert_close(total, torch.tensor([0.8, 0.25]))
