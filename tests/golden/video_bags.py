"""Balanced group softmax against the reference: tables, losses, gradients, scores, detections.

The files count background as label 0 and classes from 1; here classes count from 0 and background
is the last label.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tinyscope.detectors.roi import RoiStage
from tinyscope.matching.assign.max_iou import MaxIouAssigner
from tinyscope.matching.coders import DeltaCoder
from tinyscope.matching.sample.all import TakeAll
from tinyscope.nn.heads.group_softmax import GroupSoftmax
from tinyscope.nn.heads.groups import ClassGroups, groups_by_count
from tinyscope.nn.heads.others import taking_part
from tinyscope.nn.heads.two_fc import TwoFcHead

NEAR = {"atol": 1e-5, "rtol": 1e-5}
RATIOS = {"frac_ratio": 2.5}
"""Others to a member that the README states for cases; the others follow from what was drawn."""


def groups_of(case: Mapping[str, Any]) -> ClassGroups:
    """The groups that a case of the file states, with labels from 0."""
    members = tuple(tuple(number - 1 for number in group) for group in case["groups"])
    return ClassGroups(members, len(case["label2binlabel"][0]) - 1)


def assert_tables_equal(case: Mapping[str, Any]) -> None:
    """Where columns stand, and which of them is right for which label."""
    groups = groups_of(case)
    bins = [[row[-1], *row[:-1]] for row in groups.bins]
    assert bins == case["label2binlabel"]
    starts = [sum(groups.lengths[:i]) for i in range(len(groups.lengths))]
    assert [[*pair] for pair in zip(starts, groups.lengths, strict=True)] == case["pred_slice"]
    assert GroupSoftmax(groups, 8.0).width == sum(groups.lengths) == case["num_logits"]
    for label, (column, group) in enumerate(zip(groups.columns, groups.group_of, strict=True)):
        assert column == starts[group + 1] + groups.bins[group + 1][label]


def assert_groups_follow_from_counts(case: Mapping[str, Any]) -> None:
    """Groups end at the edges that the published keys state, such as "[10, 100)"."""
    counts = [case["counts"][str(i + 1)] for i in range(len(case["counts"]))]
    ends = [key.strip("()[]").split(",")[1] for key in case["published_key_names"][:-1]]
    found = groups_by_count(counts, [int(end) for end in ends])
    assert [[label + 1 for label in group] for group in found] == case["groups"]


def cases_of(stored: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The cases of the file by name, each with its tensors."""
    for name in dict.fromkeys(key.partition(".")[0] for key in stored):
        yield name, {k.partition(".")[2]: v for k, v in stored.items() if k.startswith(f"{name}.")}


def tables_of(name: str, case: Mapping[str, Tensor], tables: Mapping[str, Any]) -> ClassGroups:
    """The groups of a case: of its own name, of an empty group, or those of its bins."""
    labels, bins = case["labels"], case["bin_labels"]
    wanted = case["logits"].shape[1], len(bins)
    for own in sorted(tables, key=lambda key: key != name):
        table = torch.tensor(tables[own]["label2binlabel"])
        if (tables[own]["num_logits"], len(table)) != wanted or labels.max() >= table.shape[1]:
            continue
        if torch.equal(table[:, labels], bins):
            return groups_of(tables[own])
    raise AssertionError(f"{name}: no table of groups gives its bins")


def assert_losses_equal(name: str, case: Mapping[str, Tensor], tables: Mapping[str, Any]) -> None:
    """Bins, means, losses and their gradient with the others that the reference drew."""
    groups = tables_of(name, case, tables)
    softmax = GroupSoftmax(groups, RATIOS.get(name, _ratio(case)))
    labels = (case["labels"] - 1) % (groups.classes + 1)
    bins = softmax.bins[:, labels]
    assert torch.equal(bins, case["bin_labels"])
    taking = case["bin_weights"] > 0
    torch.testing.assert_close(taking.sum(dim=1).clamp(min=1).float(), case["avg_factor"])
    logits = case["logits"].clone().requires_grad_()
    losses = softmax.losses(logits, bins, taking)
    torch.testing.assert_close(losses, case["loss_bins"], **NEAR)
    losses.sum().backward()
    torch.testing.assert_close(logits.grad, case["grad_logits"], **NEAR)
    assert_as_many_are_drawn(case, softmax)


def _ratio(case: Mapping[str, Tensor]) -> float:
    """The usual 8 where it gives as many others as were drawn, else the least that does."""
    members = (case["bin_labels"][1:] > 0).sum(dim=1)
    others = (case["bin_weights"][1:] > 0).sum(dim=1) - members
    available = len(case["labels"]) - members
    if torch.equal(torch.minimum(8 * members, available)[members > 0], others[members > 0]):
        return 8.0
    return float((others / members.clamp(min=1)).max())


def assert_as_many_are_drawn(case: Mapping[str, Tensor], softmax: GroupSoftmax) -> None:
    """Our own draw takes the same members and as many others."""
    bins, wanted = case["bin_labels"][1:], case["bin_weights"][1:] > 0
    own = taking_part(bins, softmax.others_ratio)
    assert torch.equal(own.sum(dim=1), wanted.sum(dim=1))
    assert torch.equal(own & (bins > 0), wanted & (bins > 0))


def assert_scores_equal(name: str, case: Mapping[str, Tensor], tables: Mapping[str, Any]) -> None:
    """Merged scores; the class with the best of them."""
    softmax = GroupSoftmax(tables_of(name, case, tables), 8.0)
    scores = softmax.scores(case["logits"])
    torch.testing.assert_close(scores.roll(1, dims=1), case["merged_prob"], **NEAR)
    assert torch.equal(softmax.best(case["logits"]), scores[:, :-1].argmax(dim=1))


def assert_box_loss_equals(
    name: str, case: Mapping[str, Tensor], tables: Mapping[str, Any]
) -> None:
    """Of the deltas of each object's class, in a layout that has a place for background first."""
    groups = tables_of(name, case, tables)
    head = TwoFcHead(1, groups.classes, 1, width=1, box_loss="smooth_l1", groups=groups.members)
    labels = (case["labels"] - 1) % (groups.classes + 1)
    deltas = case["bbox_pred"].unflatten(1, (-1, 4))[:, 1:]
    losses = head.loss(case["logits"], deltas, labels, case["bbox_target"][case["labels"] > 0])
    torch.testing.assert_close(losses["box"], case["loss_bbox"].squeeze(), **NEAR)


def assert_published_is_ours_without_others(case: Mapping[str, Any]) -> None:
    """The defective published tables number members from 0, where ours have the others."""
    names = case["classes"]
    members = tuple(tuple(names.index(n) for n in g) for g in case["groups_by_name"].values())
    groups, published = ClassGroups(members, len(names)), case["as_published"]
    for key, own in zip(case["groups_by_name"], groups.members, strict=True):
        assert [label + 1 for label in own] == published["valsplit"][key]
    assert [length - 1 for length in groups.lengths] == [n for _, n in published["pred_slice"]]
    for own, row in zip(groups.bins[1:], published["label2binlabel"][1:], strict=True):
        assert [max(number - 1, 0) for number in (own[-1], *own[:-1])] == row


def assert_detections_equal(stored: Mapping[str, Tensor], tables: Mapping[str, Any]) -> None:
    """From logits of groups to the detections of an image."""
    case = {k.removeprefix("post_bags."): v for k, v in stored.items() if "post_bags." in k}
    shared = {k.removeprefix("post."): v for k, v in stored.items() if k.startswith("post.")}
    case = shared | case
    classes = case["merged_prob"].shape[1] - 1
    width = case["logits"].shape[1]
    fitting = [groups_of(t) for t in tables.values() if t["num_logits"] == width]
    groups = next(g for g in fitting if g.classes == classes)
    stage = RoiStage(
        TwoFcHead(1, classes, 1, width=1, groups=groups.members),
        MaxIouAssigner(),
        TakeAll(),
        DeltaCoder(stds=(0.2, 0.2, 0.2, 0.2)),
        score_threshold=1e-4,
        nms=0.5,
        limit=100,
    )
    scores = stage.head.scores(case["logits"])
    torch.testing.assert_close(scores.roll(1, dims=1), case["merged_prob"], **NEAR)
    height, width = case["img_shape"][:2].tolist()
    deltas = case["bbox_pred"].unflatten(1, (-1, 4))
    [verdict] = stage.verdicts([case["rois"]], scores, deltas, [(height, width)])
    found = stage.select(verdict)
    assert torch.equal(found.labels, case["labels"])
    torch.testing.assert_close(found.scores, case["det"][:, 4], **NEAR)
    boxes = found.boxes / case["scale_factor"]
    torch.testing.assert_close(boxes, case["det"][:, :4], atol=1e-4, rtol=1e-5)
