"""Receptive fields, similarities, assignment and targets of the reference, compared with ours."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from rfla_files import numbered, target
from torch import Tensor

from tinyscope.detectors.matching import match_batch
from tinyscope.matching.assign.hierarchical import (
    HierarchicalAssigner,
    claims,
    resembling,
    shrunk,
)
from tinyscope.matching.coders import DeltaCoder, DistanceCoder
from tinyscope.matching.fields import PUBLISHED, ReceptiveFields
from tinyscope.matching.sample.all import TakeAll
from tinyscope.matching.taking_part import taking_part
from tinyscope.nn.heads.fcos import centerness
from tinyscope.ops.boxes import overlaps
from tinyscope.ops.gaussians import Kind, paired_distance, similarity
from tinyscope.types import BACKGROUND, IGNORED, Matches, Priors, Size, Target

CPU = torch.device("cpu")
KINDS: dict[str, Kind] = {
    "kl": "kullback_leibler",
    "kl_10": "kullback_leibler_10",
    "exp_kl": "kullback_leibler_exp",
    "wd": "wasserstein",
    "iou": "iou",
    "iof": "iou",  # what its name says it is not
    "giou": "giou",
}


def assert_constants_equal(case: Any) -> None:
    """The fields of the levels, the shapes of the priors, and the grid they stand in."""
    assert list(PUBLISHED.values()) == case["trf_p2_to_p7"]
    shapes = [name for name, part in case.items() if "base_anchors" in part]
    assert shapes, "no level's shapes to compare"
    for name in shapes:
        _assert_shapes_equal(case[name])
    _assert_grid_equal(case["grid_example"], case["valid_flags_example"])


def _assert_shapes_equal(expected: Mapping[str, Any]) -> None:
    strides = expected["strides"]
    shapes = torch.tensor(expected["base_anchors"])  # (levels, ratios, 4)
    assert [len(level) for level in shapes] == expected["num_base"]
    # The file has neither; those of its first level must do for all.
    width, height = (shapes[0, :, 2:] - shapes[0, :, :2]).double().unbind(dim=1)
    ratios = [round(ratio, 4) for ratio in (height / width).tolist()]
    side = (width * height).sqrt().mean().item()
    fraction = float(Fraction(side / expected["trf"][0]).limit_denominator(100))
    for fields, given in ((expected["trf"], "network"), (None, tuple(map(float, expected["trf"])))):
        maker = ReceptiveFields(
            strides,
            fields,
            receptive_fields=given,
            fraction=fraction,
            ratios=tuple(ratios),
            offset=0.0,
        )
        priors = maker([(1, 1)] * len(strides), CPU)
        torch.testing.assert_close(priors.boxes, shapes.flatten(0, 1), rtol=1e-5, atol=1e-5)


def _assert_grid_equal(grid: Mapping[str, Any], valid: Mapping[str, Any]) -> None:
    sizes = [tuple(size) for size in grid["feat_sizes"]]
    strides = [grid["image_hw"][0] // size[0] for size in sizes]
    priors = _anchors(strides, sizes)
    for level in range(len(sizes)):
        boxes = priors.boxes[priors.levels == level]
        assert len(boxes) == grid["counts"][level]
        for rows, key in ((slice(7), "first7"), (slice(-2, None), "last2")):
            expected = torch.tensor(grid[key][level])
            torch.testing.assert_close(boxes[rows][: len(expected)], expected, rtol=1e-5, atol=1e-5)
    chosen = taking_part(priors, tuple(valid["pad_shape"]), divisor=1)
    counts = torch.bincount(priors.levels[chosen], minlength=len(sizes))
    assert counts.tolist() == valid["true_counts"]


def assert_similarities_equal(case: Mapping[str, Tensor]) -> None:
    """Every mode of the file, relative error at most 1e-5."""
    assert any(key.startswith("out.") for key in case), "no similarities to compare"
    for key, expected in case.items():
        mode = key.removeprefix("out.").removesuffix(".double")
        if mode == "center_distance2":
            found = paired_distance(case["gts"][:, None], case["priors"][None], "center")
        elif key.startswith("out."):
            found = similarity(case["gts"], case["priors"], KINDS[mode])
        else:
            continue
        # Boxes that nearly touch have a giou of nearly 0, which is a difference.
        nothing = 1e-6 if mode == "giou" else 0.0
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=nothing)


def assert_assignments_equal(tensors: Mapping[str, Tensor], cases: Any) -> None:
    """Codes of both rounds and of the whole, exactly; similarities to 1e-5."""
    assert cases, "no cases to compare"
    for name, case in cases.items():
        _assert_assignment_equals(name, case, tensors)


def _assert_assignment_equals(name: str, case: Any, tensors: Mapping[str, Tensor]) -> None:
    fields = tensors[f"priors.{_prior_set(name, tensors)}"]
    boxes = tensors[f"{name}/gts"]
    settings = case["settings"]
    first, second = settings.get("topk", (3, 1))
    kind = KINDS[settings.get("assign_metric", "kl")]
    assigner = HierarchicalAssigner(
        first=first,
        second=second,
        shrink=settings.get("ratio", 0.9),
        distance=kind,
        ignore=0.8,
        inside="published" if settings.get("inside") else False,
    )
    before = fields.clone()
    found = assigner(Priors.of_boxes(fields), boxes)
    assert torch.equal(fields, before), "the priors of the caller changed"
    # The file has the first round without regard to regions that are to be ignored.
    round_one = _first_round(fields, boxes, assigner, torch.zeros(len(fields), dtype=torch.bool))
    spared = _spared(settings, shrunk(fields, assigner.shrink), tensors)
    if spared.any():  # by the published rule, which spares them from the first round alone
        spared_one = _first_round(fields, boxes, assigner, spared)
        rest = HierarchicalAssigner(
            first=second, second=0, shrink=1.0, distance=kind, ignore=assigner.ignore
        )
        round_two = rest(Priors.of_boxes(shrunk(fields, assigner.shrink)), boxes)
        found = torch.where(spared_one >= 0, spared_one, round_two)
    expected = {"gt_inds": found, "stage1": round_one}
    for key, rows in expected.items():
        wrong = _codes(rows) != tensors[f"{name}/{key}"].long()
        if name.endswith("degenerate"):  # boxes 0 and 1 are decided by the last bits of float32
            wrong &= ~torch.isin(tensors[f"{name}/{key}"], torch.tensor([1, 2], dtype=torch.int8))
        assert not wrong.any(), f"{name}: {key} differs at {wrong.nonzero()[:5, 0].tolist()}"
    _assert_tensors_equal(name, fields, boxes, assigner, tensors)


def _assert_tensors_equal(
    name: str,
    fields: Tensor,
    boxes: Tensor,
    assigner: HierarchicalAssigner,
    tensors: Mapping[str, Tensor],
) -> None:
    smaller = shrunk(fields, assigner.shrink)
    found = {
        "D1": lambda: similarity(boxes, fields, assigner.distance),
        "D2": lambda: similarity(boxes, smaller, assigner.distance),
        "max_overlaps": lambda: _best(similarity(boxes, smaller, assigner.distance)),
        "priors_after": lambda: smaller,
    }
    for key, value in found.items():
        if (expected := tensors.get(f"{name}/{key}")) is not None:
            torch.testing.assert_close(value(), expected, rtol=1e-5, atol=1e-6)


def _best(scores: Tensor) -> Tensor:
    return scores.amax(dim=0) if len(scores) else scores.new_zeros(scores.shape[1])


def _first_round(
    fields: Tensor, boxes: Tensor, assigner: HierarchicalAssigner, spared: Tensor
) -> Tensor:
    """Codes of the first round, which the reference gives the ignore rule too."""
    assert assigner.ignore is not None
    kept = fields[~spared]
    rows = claims(kept, [boxes], assigner.first, assigner.distance)[0]
    like = resembling(kept, [boxes], assigner.ignore, assigner.distance)[0]
    result = torch.full((len(fields),), BACKGROUND)
    result[~spared] = rows.masked_fill((rows < 0) & like, IGNORED)
    return result


def _spared(settings: Mapping[str, Any], fields: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """Priors (p,) that regions to be ignored cover, by the overlap that the settings name."""
    threshold = settings.get("ignore_iof_thr", -1)
    if threshold <= 0:
        return torch.zeros(len(fields), dtype=torch.bool)
    return (overlaps(tensors["ignore_boxes"], fields) > threshold).any(dim=0)


def _codes(assigned: Tensor) -> Tensor:
    """As the reference has them: 0 background, from 1 on the objects, -1 ignored."""
    return torch.where(assigned >= 0, assigned + 1, torch.where(assigned == IGNORED, -1, 0))


def _prior_set(name: str, tensors: Mapping[str, Tensor]) -> str:
    """The longest name of a set of priors that the case's begins with."""
    sets = [key.removeprefix("priors.") for key in tensors if key.startswith("priors.")]
    return max((s for s in sets if name.startswith(s)), key=len)


def assert_proposal_targets_equal(tensors: Mapping[str, Tensor], case: Any) -> None:
    """What the anchors of the first stage learn, as published and relative to whole anchors."""
    levels = [x.shape[-2:] for x in numbered(tensors, "in.feat")]
    padded = case["image_metas"][0]["pad_shape"]
    priors = _anchors([padded[0] // size[0] for size in levels], [(*s,) for s in levels])
    targets = [target(boxes) for boxes in numbered(tensors, "in.gt")]
    tags = [key for key in case if key != "image_metas"]
    assert tags, "no settings to compare"
    for tag in tags:
        overhang = None if tag.startswith("faster") else 0.0
        chosen = [
            taking_part(priors, _size(meta["img_shape"]), overhang=overhang)
            & taking_part(priors, _size(meta["pad_shape"]), divisor=1)
            for meta in case["image_metas"]
        ]
        matches = match_batch(
            priors,
            targets,
            HierarchicalAssigner(ignore=0.8, distance=KINDS["wd" if "wd" in tag else "kl"]),
            TakeAll(),
            ignore_threshold=1.0,
            chosen=chosen,
        )
        _assert_proposals_learn(tag, priors, matches, tensors)
        positives = sum(len(m.positive) for m in matches)
        assert positives == case[tag]["num_total_pos"]
        assert sum(len(m.negative) for m in matches) == case[tag]["num_total_neg"]


def _assert_proposals_learn(
    tag: str, priors: Priors, matches: list[Matches], tensors: Mapping[str, Tensor]
) -> None:
    found = torch.cat([_with_image(i, m.positive) for i, m in enumerate(matches)])
    expected = tensors[f"{tag}.out.pos_index"].long()
    assert torch.equal(found, expected)
    used = tensors[f"{tag}.out.label_weight"] > 0
    object_label = 0
    background = used & (tensors[f"{tag}.out.label"] != object_label)
    for i, m in enumerate(matches):
        assert torch.equal(m.negative, background[i].nonzero()[:, 0])
    boxes = torch.cat([m.boxes for m in matches])
    expected = tensors[f"{tag}.out.pos_gt_box"]  # decoded again from what they are encoded as
    torch.testing.assert_close(boxes, expected, rtol=1e-5, atol=1e-5)
    for coder, key in (
        (DeltaCoder(encoding_shrink=0.9), "pos_target"),
        (DeltaCoder(), "pos_target_unshrunk_anchor"),
    ):
        encoded = coder.encode(priors[found[:, 1]], boxes)
        torch.testing.assert_close(encoded, tensors[f"{tag}.out.{key}"], rtol=1e-5, atol=1e-5)


def assert_point_targets_equal(tensors: Mapping[str, Tensor], case: Any) -> None:
    """What the points of FCOS learn, in a batch and by each image alone."""
    results = case["results"]
    boxes, labels = numbered(tensors, "in.gt"), numbered(tensors, "in.label")
    targets = [target(b, k) for b, k in zip(boxes, labels, strict=True)]
    tags = [tag for tag in results if not tag.startswith("carry")]
    assert tags, "no settings to compare"
    for tag in tags:
        priors = _points(tag, case, tensors, _size(case["image_hw"]))
        first = re.search(r"_k(\d+)", tag)
        assigner = HierarchicalAssigner(first=int(first[1]) if first else 3, carry=True)
        alone = HierarchicalAssigner(first=assigner.first)
        matches = _matched(priors, targets, assigner)
        classes = len(tensors["w.conv_cls.bias"])
        for key, learned in (
            ("labels", matches),
            ("labels_images_alone", _matched(priors, targets, alone)),
        ):
            labels = torch.stack([_labels(m, len(priors), classes) for m in learned])
            assert torch.equal(labels, tensors[f"{tag}.out.{key}"].long()), f"{tag}: {key}"
        _assert_points_learn(tag, priors, matches, tensors)


def _assert_points_learn(
    tag: str, priors: Priors, matches: list[Matches], tensors: Mapping[str, Tensor]
) -> None:
    # The reference lists positives level by level, image by image, point by point.
    found = torch.cat([_with_image(i, m.positive) for i, m in enumerate(matches)])
    boxes = torch.cat([m.boxes for m in matches])
    order = _sorted(found)
    expected = tensors[f"{tag}.out.pos_index"].long()
    theirs = _sorted(expected)
    assert torch.equal(found[order], expected[theirs])
    points, boxes = priors[found[order][:, 1]], boxes[order]
    for value, key in (
        (DistanceCoder("none").encode(points, boxes), "pos_target_over_stride"),
        (centerness(points, boxes), "pos_centerness"),
    ):
        torch.testing.assert_close(value, tensors[f"{tag}.out.{key}"][theirs], rtol=1e-5, atol=1e-5)


def assert_carried_fields_equal(tensors: Mapping[str, Tensor], case: Any) -> None:
    """Codes of each image of a batch whose fields shrink from image to image."""
    tags = [tag for tag in case["results"] if tag.startswith("carry")]
    assert tags, "no batches to compare"
    for tag in tags:
        result = case["results"][tag]
        expected = tensors[f"{tag}.gt_inds"].long()
        priors = _points(tag, case, tensors, _size(result["image_hw"]))
        assigner = HierarchicalAssigner(ignore=0.8, carry=True)
        found = assigner.batch(priors, [tensors[f"{tag}.gts"]] * len(expected))
        assert torch.equal(_codes(torch.stack(found)), expected), tag


def _matched(
    priors: Priors, targets: list[Target], assigner: HierarchicalAssigner
) -> list[Matches]:
    return match_batch(priors, targets, assigner, TakeAll(), ignore_threshold=1.0)


def _labels(matches: Matches, count: int, background: int) -> Tensor:
    labels = torch.full((count,), background)
    labels[matches.positive] = matches.labels
    return labels


def _with_image(image: int, priors: Tensor) -> Tensor:
    return torch.stack([torch.full_like(priors, image), priors], dim=1)


def _sorted(pairs: Tensor) -> Tensor:
    """The order of (image, prior) pairs by image, then prior."""
    return (pairs[:, 0] * (int(pairs[:, 1].max()) + 1) + pairs[:, 1]).argsort()


def _anchors(strides: list[int], sizes: list[Size]) -> Priors:
    maker = ReceptiveFields(
        strides, receptive_fields="published", ratios=(0.5, 1.0, 2.0), offset=0.0
    )
    return maker(sizes, CPU)


def _points(tag: str, case: Any, tensors: Mapping[str, Tensor], size: Size) -> Priors:
    """Those of an image of `size`, of the levels whose maps the file has by the tag's first."""
    start = re.search(r"p\d", tag)
    assert start, f"levels of an unknown name: {tag}"
    maps = list(numbered(tensors, f"{start[0]}.in.feat"))
    first = case["image_hw"][0] // maps[0].shape[-2]
    strides = [first * 2**i for i in range(len(maps))]
    maker = ReceptiveFields(strides, receptive_fields="published")
    return maker([(-(-size[0] // s), -(-size[1] // s)) for s in strides], CPU)


def _size(shape: list[int]) -> Size:
    return shape[0], shape[1]
