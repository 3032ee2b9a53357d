import torch

from tinyscope.matching.coders import FoveaCoder
from tinyscope.matching.priors import Points
from tinyscope.nn.heads.fovea import FoveaHead
from tinyscope.types import DenseOutputs, Matches, Pyramid

PYRAMID = Pyramid((torch.randn(2, 4, 3, 4), torch.randn(2, 4, 2, 2)), (4, 8))


def matches(rows: list[int]) -> Matches:
    count = len(rows)
    return Matches(
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor([r for r in range(16) if r not in rows]),
        torch.zeros(count, dtype=torch.int64),
        torch.tensor([[1.0, 1, 7, 9]]).repeat(count, 1),
    )


def test_outputs_are_a_row_for_every_point():
    outputs = FoveaHead(4, (4, 8), 3, depth=1)(PYRAMID)
    assert outputs.logits.shape == (2, 16, 3)
    assert outputs.deltas.shape == (2, 16, 4)
    assert outputs.quality is None


def test_classes_are_divided_by_positives_and_images_and_boxes_by_positives():
    head = FoveaHead(4, (4, 8), 1, depth=1)
    priors = Points((4, 8))(PYRAMID.sizes, torch.device("cpu"))
    outputs = head(PYRAMID)

    def sums(rows: list[list[int]], images: slice) -> tuple[torch.Tensor, torch.Tensor]:
        part = DenseOutputs(outputs.pyramid, outputs.logits[images], outputs.deltas[images])
        losses = head.loss(part, [matches(r) for r in rows], priors, FoveaCoder())
        count = sum(map(len, rows))
        return losses["classification"] * (count + len(rows)), losses["box"] * max(count, 1)

    first, second = sums([[0, 1, 14]], slice(0, 1)), sums([[]], slice(1, 2))
    assert second[1] == 0
    assert second[1].requires_grad
    for both, one, other in zip(sums([[0, 1, 14], []], slice(None)), first, second, strict=True):
        torch.testing.assert_close(both, one + other)


def test_every_point_starts_with_the_same_low_score():
    head = FoveaHead(4, (4, 8), 1, depth=0, prior_probability=0.02)
    flat = Pyramid(tuple(torch.zeros_like(x) for x in PYRAMID.levels), PYRAMID.strides)
    torch.testing.assert_close(head(flat).logits.sigmoid(), torch.full((2, 16, 1), 0.02))
