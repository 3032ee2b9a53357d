import pytest
import torch

from tinyscope.detectors.build import build
from tinyscope.detectors.matching import match, match_batch, standing
from tinyscope.errors import SettingsError
from tinyscope.matching.assign.hierarchical import HierarchicalAssigner
from tinyscope.matching.assign.max_iou import MaxIouAssigner
from tinyscope.matching.priors import Points
from tinyscope.matching.sample.all import TakeAll
from tinyscope.nn.necks.fpn import FPN
from tinyscope.types import Target

PRIORS = Points((4, 8), side=3.0)(((12, 16), (6, 8)), torch.device("cpu"))
BACKBONE = {"name": "resnet", "depth": 18, "width": 8, "strides": [4, 8, 16]}
MODEL = {
    "name": "dense",
    "backbone": BACKBONE,
    "neck": {"name": "fpn", "channels": 32},
    "head": {"name": "fcos", "depth": 1},
    "priors": {"name": "fields"},
    "assigner": {"name": "hierarchical"},
    "sampler": {"name": "all"},
    "coder": {"name": "distance"},
}


def target(*rows: tuple[float, ...], ignore: tuple[int, ...] = ()) -> Target:
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    flags[list(ignore)] = True
    return Target(boxes, torch.arange(len(boxes)), flags)


TARGETS = [
    target((3, 3, 9, 8), (20, 20, 40, 44), (30, 0, 50, 16), ignore=(2,)),
    target(),
    target((40, 30, 43, 34)),
]


@pytest.mark.parametrize("assigner", [HierarchicalAssigner(), MaxIouAssigner(0.3, 0.2)])
def test_a_batch_learns_what_its_images_do(assigner):
    found = match_batch(PRIORS, TARGETS, assigner, TakeAll(), ignore_threshold=0.5)
    for learned, one in zip(found, TARGETS, strict=True):
        alone = match(PRIORS, one, assigner, TakeAll(), ignore_threshold=0.5)
        assert torch.equal(learned.positive, alone.positive)
        assert torch.equal(learned.negative, alone.negative)
        assert torch.equal(learned.labels, alone.labels)
        assert torch.equal(learned.boxes, alone.boxes)


def test_an_assigner_that_takes_batches_gets_the_batch():
    carried = HierarchicalAssigner(shrink=0.3, carry=True)
    twice = [TARGETS[0], TARGETS[0]]
    found = match_batch(PRIORS, twice, carried, TakeAll(), ignore_threshold=0.5)
    assert not torch.equal(found[0].positive, found[1].positive)


def test_images_that_have_the_same_priors_are_assigned_as_a_batch():
    carried = HierarchicalAssigner(shrink=0.3, carry=True)
    twice = [TARGETS[0], TARGETS[0]]
    chosen = standing(PRIORS, [(48, 64)] * 2, overhang=0.0, divisor=None)
    assert chosen is not None
    assert not chosen[0].all()
    found = match_batch(PRIORS, twice, carried, TakeAll(), ignore_threshold=0.5, chosen=chosen)
    left = [
        m.positive
        for m in match_batch(PRIORS[chosen[0]], twice, carried, TakeAll(), ignore_threshold=0.5)
    ]
    places = chosen[0].nonzero()[:, 0]
    assert all(torch.equal(m.positive, places[rows]) for m, rows in zip(found, left, strict=True))
    assert not torch.equal(*left)


def test_priors_are_not_carried_to_an_image_that_has_others():
    carried = HierarchicalAssigner(carry=True)
    chosen = standing(PRIORS, [(48, 64), (30, 40)], overhang=0.0, divisor=None)
    with pytest.raises(ValueError, match=r"carry: images of a batch have \[\d+, \d+\] priors"):
        match_batch(PRIORS, TARGETS[:2], carried, TakeAll(), ignore_threshold=0.5, chosen=chosen)
    carrying = {**MODEL, "assigner": {"name": "hierarchical", "carry": True}}
    for option in ("overhang", "own_padding"):
        with pytest.raises(SettingsError, match=rf"model\.{option}: got 8.*assigner\.carry"):
            build({**carrying, option: 8}, classes=2)
    build(carrying, classes=2)


def test_priors_that_an_image_does_not_have_are_no_rivals_and_learn_nothing():
    corner = target((0, 0, 3, 3))
    assigner = HierarchicalAssigner()
    chosen = standing(PRIORS, [(48, 64)], overhang=0.0, divisor=None)
    assert chosen is not None
    (found,) = match_batch(
        PRIORS, [corner], assigner, TakeAll(), ignore_threshold=0.5, chosen=chosen
    )
    (free,) = match_batch(PRIORS, [corner], assigner, TakeAll(), ignore_threshold=0.5)
    used = torch.cat([found.positive, found.negative])
    assert torch.equal(used.sort().values, chosen[0].nonzero()[:, 0])
    assert len(found.positive) >= 3  # the nearest of those that do not reach out
    assert not chosen[0][free.positive].all()
    assert standing(PRIORS, [(48, 64)], overhang=None, divisor=None) is None


def test_priors_get_the_fields_of_backbone_and_neck():
    model = build(MODEL, classes=2)
    # 43, 99, 211 by ResNet-18, then two cells more by the smoothing of the pyramid.
    assert model.priors.fields == (43 + 8, 99 + 16, 211 + 32)
    override = {**MODEL, "priors": {"name": "fields", "receptive_fields": [34, None, 200.5]}}
    assert build(override, classes=2).priors.fields == (34.0, 99 + 16, 200.5)


def test_parts_that_do_not_say_their_kernels_need_fields_by_hand(monkeypatch):
    monkeypatch.delattr(FPN, "chains")
    with pytest.raises(SettingsError, match=r"model\.priors: .*no field is known of the strides"):
        build(MODEL, classes=2)
    by_hand = {"name": "fields", "receptive_fields": [40, 90, 200]}
    assert build({**MODEL, "priors": by_hand}, classes=2).priors.fields == (40.0, 90.0, 200.0)


@pytest.mark.parametrize(("option", "value"), [("overhang", 0), ("own_padding", 32)])
def test_a_detector_leaves_out_priors_that_images_do_not_have(option, value):
    images = torch.zeros(1, 3, 64, 128, dtype=torch.uint8)
    sizes = [(30, 30)]

    def negatives(**options: int) -> int:
        torch.manual_seed(0)
        model = build({**MODEL, **options}, classes=2).eval()
        outputs = model(images)
        seen = []
        loss = model.head.loss
        model.head.loss = lambda outputs, matches, *rest: (
            seen.extend(len(m.negative) for m in matches) or loss(outputs, matches, *rest)
        )
        model.loss(outputs, [target()], sizes)
        return sum(seen)

    everywhere = 16 * 32 + 8 * 16 + 4 * 8
    assert negatives() == everywhere
    left = negatives(**{option: value})
    # Padded on its own, the image has 32 px; of squares of 25.5 px one lies inside of its 30.
    assert left == (8 * 8 + 4 * 4 + 2 * 2 if option == "own_padding" else 1)


SMALL = {
    **MODEL,
    "backbone": {"name": "resnet", "depth": 18, "width": 8},
    "neck": {"name": "fpn", "channels": 8, "coarsest": 64},
    "priors": {"name": "points"},
    "overhang": 0,
}
PUBLISHED = {"ranges": [[1, 32], [16, 64], [32, 128], [64, 256], [128, 512]]}


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({"name": "fovea"}, {1, 2, 3}),
        ({"name": "fovea", **PUBLISHED}, {1, 2}),
        ({"name": "fovea", "nearest": False, "sigma": 1.0}, {1, 2, 3}),
        ({"name": "center"}, {1, 2}),
        ({"name": "max_iou"}, None),
        ({"name": "hierarchical"}, None),
    ],
)
def test_a_level_without_priors_in_an_image_leaves_the_others_as_they_are(options, levels):
    model = build({**SMALL, "assigner": options}, classes=1)
    priors = model.priors([(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)], torch.device("cpu"))
    (chosen,) = standing(priors, [(40, 40)], overhang=0.0, divisor=None)
    assert set(priors.levels[chosen].tolist()) == {0, 1, 2, 3}
    for rows in ((2.0, 3.0, 38.0, 39.0),), ((2.0, 3.0, 38.0, 39.0), (9.0, 9.0, 12.0, 12.0)):
        (found,) = match_batch(
            priors,
            [target(*rows)],
            model.assigner,
            TakeAll(),
            ignore_threshold=0.5,
            chosen=[chosen],
        )
        assert chosen[torch.cat([found.positive, found.negative])].all()
        large = found.positive[found.boxes[:, 2] == 38]
        assert levels is None or set(priors.levels[large].tolist()) <= levels
        assert levels is None or len(large)


def test_the_coarsest_level_that_an_image_has_takes_no_objects_that_are_too_large():
    center = build({**SMALL, "assigner": {"name": "center", "range_factor": 1.0}}, classes=1)
    fovea = build({**SMALL, "assigner": {"name": "fovea", "ranges": [[0, 1]] * 5}}, classes=1)
    priors = center.priors([(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)], torch.device("cpu"))
    (chosen,) = standing(priors, [(40, 40)], overhang=0.0, divisor=None)
    for model in (center, fovea):
        (found,) = match_batch(
            priors,
            [target((0, 0, 200, 200))],
            model.assigner,
            TakeAll(),
            ignore_threshold=0.5,
            chosen=[chosen],
        )
        assert not len(found.positive)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"assigner": {"name": "fovea", "ranges": [[1, 8], [4, 16]]}},
            r"model\.assigner: ranges has 2 pairs, but the neck has 5 levels \(strides \(4, .*give",
        ),
        (
            {"priors": {"name": "anchors"}},
            r"model\.head: a head fcos predicts from one prior .* are 3 per cell; choose .*points",
        ),
        (
            {"priors": {"name": "anchors"}, "head": {"name": "fovea"}},
            r"model\.head: a head fovea predicts from one prior .* are 3 per cell; choose .*points",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_when_they_are_built(changes, words):
    with pytest.raises(SettingsError, match=words):
        build({**SMALL, **changes}, classes=1)
