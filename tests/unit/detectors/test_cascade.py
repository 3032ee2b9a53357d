from typing import Any

import pytest
import torch
from torch import nn

from tinyscope.analysis.complexity import complexity
from tinyscope.cli.schema import recipe_schema
from tinyscope.detectors.build import build
from tinyscope.detectors.cascade import CascadeStage
from tinyscope.detectors.proposals import Proposals
from tinyscope.detectors.roi import RoiStage
from tinyscope.errors import SettingsError
from tinyscope.matching.assign.max_iou import MaxIouAssigner
from tinyscope.matching.coders import DeltaCoder
from tinyscope.matching.sample.all import TakeAll
from tinyscope.nn.heads.class_softmax import ClassSoftmax
from tinyscope.nn.heads.two_fc import TwoFcHead
from tinyscope.settings import check_part
from tinyscope.types import Pyramid, Target

SIZES = [(32, 40), (30, 36)]


class Says(nn.Module):
    """A head that says the same of every proposal; there are two classes."""

    classes = 2

    def __init__(self, logits: tuple[float, ...], deltas: list[list[float]]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.deltas = torch.tensor(deltas)

    def forward(self, features):
        count = len(features)
        return self.logits.expand(count, -1), self.deltas.expand(count, -1, -1)

    layer = ClassSoftmax(2)
    scores, best = TwoFcHead.scores, TwoFcHead.best
    class_deltas = TwoFcHead.class_deltas
    per_class = True

    def loss(self, logits, deltas, labels, targets):
        return {"classification": logits.sum() * 0 + len(labels), "box": targets.sum()}


def stage(head: nn.Module, positive: float = 0.5, **options) -> RoiStage:
    assigner = MaxIouAssigner(positive=positive, negative=positive, rescue=None)
    options = {"score_threshold": 0.0, "nms": 1.0, **options}
    return RoiStage(head, assigner, TakeAll(), DeltaCoder(), pool=2, **options)


def fresh(**options) -> RoiStage:
    return stage(TwoFcHead(4, 2, 2, width=8), **options)


def pyramid() -> Pyramid:
    generator = torch.Generator().manual_seed(0)
    return Pyramid((torch.randn(2, 4, 8, 10, generator=generator),), (4,))


def proposals() -> list[Proposals]:
    boxes = torch.tensor([[4.0, 4, 12, 14], [20, 20, 30, 28], [5, 5, 14, 15]])
    return [Proposals(boxes, torch.tensor([0.9, 0.5, 0.1])), Proposals(boxes[:1], torch.ones(1))]


def targets() -> list[Target]:
    boxes = torch.tensor([[5.0, 4, 12, 13]])
    one = Target(boxes, torch.tensor([1]), torch.tensor([False]))
    return [one, Target.empty()]


def boxes() -> list[torch.Tensor]:
    return [p.boxes for p in proposals()]


def test_a_cascade_of_one_is_the_stage_itself():
    torch.manual_seed(0)
    alone = fresh()
    cascade = CascadeStage([alone])
    wanted = alone.loss(pyramid(), proposals(), targets(), SIZES)
    found = cascade.loss(pyramid(), proposals(), targets(), SIZES)
    assert found == {f"{name}_1": loss for name, loss in wanted.items()}
    for ours, theirs in zip(
        cascade.classify(pyramid(), boxes(), SIZES),
        alone.classify(pyramid(), boxes(), SIZES),
        strict=True,
    ):
        torch.testing.assert_close(ours.scores, theirs.scores)
        torch.testing.assert_close(ours.boxes, theirs.boxes)


def test_boxes_move_by_their_best_class_and_then_by_the_last_stage():
    right, down = [0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0]
    first = Says((0.0, 2.0, 5.0), [down, right])  # background is last and does not move a box
    second = Says((1.0, 0.0, 0.0), [[0.0] * 4, down])
    said = CascadeStage([stage(first), stage(second)]).classify(pyramid(), boxes(), SIZES)
    wide = boxes()[1] + torch.tensor([4.0, 0, 4, 0])  # half of its 8 px to the right
    torch.testing.assert_close(said[1].boxes[:, 0], wide)
    torch.testing.assert_close(said[1].boxes[:, 1], wide + torch.tensor([0.0, 5, 0, 5]))


def test_boxes_are_cut_at_the_image_between_stages():
    first = Says((1.0, 0.0, 0.0), [[2.0, 0.0, 0.0, 0.0]] * 2)
    second = Says((1.0, 0.0, 0.0), [[0.0] * 4] * 2)
    said = CascadeStage([stage(first), stage(second)]).classify(pyramid(), boxes(), SIZES)
    assert said[0].boxes[1, 0].tolist() == [40.0, 20.0, 40.0, 28.0]


@pytest.mark.parametrize("average", ["scores", "logits"])
def test_what_stages_say_is_averaged(average):
    rows = [torch.tensor(r) for r in ((3.0, -1.0, 0.0), (0.0, 4.0, 0.5))]
    heads = [stage(Says(tuple(r.tolist()), [[0.0] * 4] * 2)) for r in rows]
    said = CascadeStage(heads, average=average).classify(pyramid(), boxes(), SIZES)
    mean = torch.stack(rows).mean(dim=0).softmax(dim=0)
    if average == "scores":
        mean = torch.stack([r.softmax(dim=0) for r in rows]).mean(dim=0)
    torch.testing.assert_close(said[0].scores, mean.expand(3, -1))


def test_losses_are_weighed_and_numbered():
    heads = [fresh() for _ in range(3)]
    torch.manual_seed(1)
    halved = CascadeStage(heads).loss(pyramid(), proposals(), targets(), SIZES)
    own = CascadeStage(heads, loss_weights=(1.0, 2.0, 0.0))
    chosen = own.loss(pyramid(), proposals(), targets(), SIZES)
    assert [*halved] == [f"{name}_{i}" for i in (1, 2, 3) for name in ("classification", "box")]
    torch.testing.assert_close(chosen["classification_1"], halved["classification_1"])
    torch.testing.assert_close(chosen["classification_2"], 4 * halved["classification_2"])
    assert chosen["classification_3"] == chosen["box_3"] == 0


def test_the_next_stage_learns_from_moved_boxes_without_the_added_objects():
    seen = []

    class Recorder(TakeAll):
        def __call__(self, assigned, target, priors, scores=None):
            seen.append((priors.boxes, scores))
            return super().__call__(assigned, target, priors, scores)

    first = Says((2.0, 1.0, 0.0), [[0.0, 0.5, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]])
    second = stage(Says((0.0, 0.0, 0.0), [[0.0] * 4] * 2))
    second.sampler = Recorder()
    CascadeStage([stage(first), second]).loss(pyramid(), proposals(), targets(), SIZES)
    moved, scores = seen[0]
    # The object of class 1 and its proposal go right by their own class; background, by the best
    # class 0, down. Positives come first; the object is added anew, where it is.
    expected = torch.tensor(
        [[8.0, 4, 16, 14], [9.5, 5, 18.5, 15], [20, 24, 30, 32], [5, 4, 12, 13]]
    )
    by_place = moved[moved[:, 0].argsort()]
    torch.testing.assert_close(by_place, expected[expected[:, 0].argsort()])
    best = torch.tensor([2.0, 1.0, 0.0]).softmax(dim=0)[0].item()
    assert sorted(scores.tolist()) == pytest.approx([best] * 3 + [1.0])
    assert len(seen[1][0]) == 1  # the other image: one proposal, no object


def test_later_stages_do_not_teach_earlier_ones_through_boxes():
    torch.manual_seed(0)
    heads = [fresh(), fresh()]
    losses = CascadeStage(heads).loss(pyramid(), proposals(), targets(), SIZES)
    (losses["classification_2"] + losses["box_2"]).backward()
    assert all(p.grad is None for p in heads[0].parameters())


@pytest.mark.parametrize(
    ("count", "weights", "words"),
    [(0, None, "stages is empty"), (2, (1.0,), "has 1 values for 2 stages")],
)
def test_stages_and_weights_that_do_not_fit_are_refused(count, weights, words):
    with pytest.raises(ValueError, match=words):
        CascadeStage([fresh() for _ in range(count)], loss_weights=weights)


PART = {
    "name": "boxes",
    "head": {"name": "two_fc", "width": 8},
    "assigner": {"name": "max_iou"},
    "sampler": {"name": "random"},
    "coder": {"name": "delta"},
}
CASCADE = {"name": "cascade", "stages": [PART, PART]}


def model(roi: dict[str, Any]) -> dict[str, Any]:
    rpn = {**PART, "name": "proposals", "head": {"name": "rpn"}, "priors": {"name": "anchors"}}
    backbone = {"name": "resnet", "depth": 18, "width": 8}
    neck = {"name": "fpn", "channels": 8}
    return {"name": "two_stage", "backbone": backbone, "neck": neck, "rpn": rpn, "roi": roi}


def test_stages_are_checked_where_they_stand():
    checked = check_part(CASCADE, "model.roi", "roi")
    assert [s["sampler"]["count"] for s in checked["stages"]] == [256, 256]
    wrong = {**CASCADE, "stages": [PART, {**PART, "coder": {"name": "delta", "std": 1}}]}
    with pytest.raises(SettingsError, match=r"model\.roi\.stages\.1\.coder\.std: .* mean stds"):
        check_part(wrong, "model.roi", "roi")
    with pytest.raises(SettingsError, match=r"model\.roi\.stages: got .*; must be a list of parts"):
        check_part({**CASCADE, "stages": PART}, "model.roi", "roi")
    with pytest.raises(SettingsError, match=r"model\.roi\.stages: must be given"):
        check_part({"name": "cascade"}, "model.roi", "roi")
    with pytest.raises(SettingsError, match=r"stages\.0.*no stage named 'cascade'"):
        check_part({**CASCADE, "stages": [CASCADE]}, "model.roi", "roi")


def test_the_schema_shows_what_stands_in_a_list_of_stages():
    definitions = recipe_schema()["$defs"]
    cascade = definitions["part_roi"]["oneOf"][1]
    assert cascade["properties"]["stages"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/part_stages"},
    }
    assert "stages" in cascade["required"]
    (boxes,) = definitions["part_stages"]["oneOf"]
    assert boxes["properties"]["coder"] == {"$ref": "#/$defs/part_coder"}


def test_every_stage_is_counted():
    with torch.device("meta"):
        once, twice = (
            complexity(build(model(roi), 1), (64, 64), rois=10).together("roi")
            for roi in (PART, CASCADE)
        )
    assert twice.published == 2 * once.published > 0
    assert twice.parameters == 2 * once.parameters


def test_a_cascade_without_stages_is_refused_with_its_place():
    with pytest.raises(SettingsError, match=r"model\.roi: stages is empty"):
        build(model({**CASCADE, "stages": []}), 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("score_threshold", 0.1),
        ("nms", 0.3),
        ("decay", "linear"),
        ("decay_floor", 0.1),
        ("limit", 5),
    ],
)
def test_an_option_without_effect_is_refused_and_its_place_is_named(option, value):
    said = {**PART, option: value}
    words = rf"model\.roi\.stages\.0\.{option}: got {value}, .* set model\.roi\.stages\.1\.{option}"
    with pytest.raises(SettingsError, match=words):
        build(model({**CASCADE, "stages": [said, PART]}), 1)
    build(model({**CASCADE, "stages": [PART, said]}), 1)
