"""SSPNet's weighted negative sampler against stored weights and frequencies of draws."""

from collections.abc import Mapping
from typing import Any

import torch
from golden_files import Topic
from safetensors import safe_open
from torch import Tensor

from tinyscope.matching.assign.max_iou import MaxIouAssigner
from tinyscope.matching.sample.weighted_negative import WeightedNegativeSampler
from tinyscope.types import BACKGROUND, IGNORED, Priors, Target

DRAWS = 2000
ASSIGNER = MaxIouAssigner(positive=0.5, negative=0.3, rescue=0.3)


def settings_of(topic: Topic, file: str) -> dict[str, Any]:
    """What a case says of itself, as numbers and truth values."""
    with safe_open(topic.folder / file, "pt") as opened:
        words = opened.metadata()
    kinds = {"True": True, "False": False}
    return {k: kinds[v] if v in kinds else float(v) for k, v in words.items()}


def assert_case_equals(case: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
    """Assignment, weights of the candidates, counts, and how often each of them is drawn."""
    objects = case["gts"]
    boxes, scores = case["boxes"][:, :4], None
    assigned = ASSIGNER(Priors.of_boxes(boxes), objects)
    assert assigned.tolist() == _rows(case["gt_inds"])
    if settings["conf"]:
        scores = case["boxes"][:, 4]
    if settings["add_gt_as_proposals"]:  # before the boxes, as sure as can be
        boxes, assigned = torch.cat([objects, boxes]), torch.cat([_count(objects), assigned])
        scores = None if scores is None else torch.cat([torch.ones(len(objects)), scores])
    assert assigned.tolist() == _rows(case["gt_inds_after"])
    sampler = WeightedNegativeSampler(int(settings["num"]), settings["pos_fraction"])
    target = Target(objects, _count(objects), torch.zeros(len(objects), dtype=torch.bool))
    priors = Priors.of_boxes(boxes)
    torch.manual_seed(0)
    matches = sampler(assigned, target, priors, scores)
    assert len(matches.positive) == settings["n_pos"]
    assert len(matches.negative) == settings["n_neg"]
    if settings["n_pos"] == int((assigned >= 0).sum()):
        assert matches.positive.tolist() == case["pos_inds"].tolist()
    candidates = (assigned == BACKGROUND).nonzero()[:, 0]
    if "neg_inds" in case:
        assert matches.negative.tolist() == case["neg_inds"].tolist() == candidates.tolist()
        return
    assert candidates.tolist() == case["neg_gallery"].tolist()
    preference = sampler.preference(
        boxes[candidates], objects, None if scores is None else scores[candidates]
    )
    torch.testing.assert_close(preference.exp(), case["neg_weight"], rtol=0, atol=1e-6)
    torch.testing.assert_close(preference.softmax(0), case["neg_prob"], rtol=0, atol=1e-6)
    counts = torch.zeros(len(boxes))
    for _ in range(DRAWS):
        counts[sampler(assigned, target, priors, scores).negative] += 1
    assert counts.sum() == DRAWS * settings["n_neg_expected"]
    expected = case["neg_inclusion_freq"]
    spread = (expected * (1 - expected) * (1 / DRAWS + 1 / settings["draws"])).sqrt()
    errors = (counts[candidates] / DRAWS - expected) / spread.clamp(min=1e-4)
    # In standard errors: of a hundred candidates none is off by 4.5 in one of 1500 runs.
    assert errors.abs().max() < 4.5
    assert errors.square().mean() < 1.8


def assert_table_equals(table: Mapping[str, Mapping[str, Any]], topic: Topic) -> None:
    """The settings of all cases in one file say what the cases say."""
    compared = 0
    for name, row in table.items():
        file = f"sampler_{name}.safetensors"
        if topic.has(file):
            assert settings_of(topic, file) == row
            compared += 1
    assert compared, "none of the table's cases is there"


def _rows(of_reference: Tensor) -> list[int]:
    """Objects count from 1 there, 0 is background and -1 ignored."""
    values = {0: BACKGROUND, -1: IGNORED}
    return [values.get(v, v - 1) for v in of_reference.tolist()]


def _count(objects: Tensor) -> Tensor:
    return torch.arange(len(objects))
