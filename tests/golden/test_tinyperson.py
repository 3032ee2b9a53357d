"""The TinyPerson baselines against the reference implementation (README of the topic's folder)."""

import re

import pytest
import tinyperson_evaluation
import tinyperson_merging
import tinyperson_models
import tinyperson_scale_match
from golden_files import Topic
from manifests import assert_maps
from necks import assert_pyramid_equals
from tinyperson_tiling import assert_tiles_equal, assert_windows_equal

TOPIC = Topic("tinyperson")

PUBLISHED = {
    "manifest_faster_rcnn.json": "tinyperson/faster_rcnn_resnet50_imagenet",
    "manifest_adap_retinanet.json": "tinyperson/adap_retinanet_resnet50_imagenet",
    "manifest_adap_fcos.json": "tinyperson/adap_fcos_resnet50_imagenet",
}
"""Recipes of the published detectors that have names and shapes of tensors."""
SIZE = re.compile(r"flops_(\d+)x(\d+)\.json")
COUNTED = [
    (file, name) for file in TOPIC.cases("flops_*x*.json") for name in sorted(TOPIC.json(file))
]
FUSION = (0.48, 0.66, 1.06)
"""Factors of the stored pyramid, fine to coarse, as its README says."""


@pytest.mark.parametrize("file", TOPIC.cases("manifest_*.json"))
def test_names_and_shapes_of_a_published_detector_have_their_place(file):
    assert_maps(TOPIC.json(file), PUBLISHED[file], ["model.backbone.weights=null"])


@pytest.mark.parametrize("file", TOPIC.cases("fcos_neck*.safetensors"))
def test_the_pyramid_equals_the_reference(file):
    assert_pyramid_equals(TOPIC.tensors(file), 1e-5, extra="conv_output")


@pytest.mark.parametrize("file", TOPIC.cases("salpha_fpn*.safetensors"))
def test_a_pyramid_with_factors_equals_the_reference(file):
    tinyperson_models.assert_fused_pyramid_equals(TOPIC.tensors(file), FUSION)


@pytest.mark.parametrize("file", TOPIC.cases("salpha_statistics*.json"))
def test_factors_are_those_of_the_reference(file):
    content = TOPIC.json(file)
    for case in content["cases"]:
        tinyperson_models.assert_statistic_equals(case)
    for row in content["ratio_examples"]:
        tinyperson_models.assert_factors_equal(row["counts_P2_to_P6"], row["factors_45_34_23"])


@pytest.mark.parametrize("file", TOPIC.cases("anchors*.json"))
def test_anchors_equal_the_reference(file):
    for name, expected in TOPIC.json(file).items():
        tinyperson_models.assert_anchors_equal(name, expected)


@pytest.mark.parametrize("file", TOPIC.cases("fcos_head*.json"))
def test_the_head_of_adap_fcos_equals_the_reference(file):
    case = tinyperson_models.FcosCase(
        TOPIC.tensors(file.replace(".json", ".safetensors")), TOPIC.json(file)
    )
    case.assert_points_equal()
    case.assert_targets_equal()
    case.assert_outputs_equal()
    case.assert_losses_equal()
    case.assert_detections_equal()


@pytest.mark.parametrize(("file", "name"), COUNTED)
def test_a_detector_costs_as_much_as_published(file, name):
    size = SIZE.fullmatch(file)
    assert size, f"the size is not in the name {file}"
    tinyperson_models.assert_costs_equal(name, TOPIC.json(file)[name], (int(size[2]), int(size[1])))


@pytest.mark.parametrize("file", TOPIC.cases("tiling_windows*.json"))
def test_images_are_cut_as_by_the_reference(file):
    assert_windows_equal(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("tiling_annotations*.json"))
def test_tiles_show_what_those_of_the_reference_show(file):
    assert_tiles_equal(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("scale_match*.json"))
def test_scale_match_equals_the_reference(file):
    case = TOPIC.json(file)
    tinyperson_scale_match.assert_histograms_equal(case)
    tinyperson_scale_match.assert_maps_equal(case)
    tinyperson_scale_match.assert_draws_equal(case)
    tinyperson_scale_match.assert_image_sizes_equal(case)
    tinyperson_scale_match.assert_resize_equals(case)


@pytest.mark.parametrize("file", TOPIC.cases("merge_offline*.json"))
def test_files_of_tiles_are_merged_as_by_the_reference(file):
    tinyperson_merging.assert_files_merge_equal(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("merge_runtime*.safetensors"))
def test_tiles_are_merged_while_predicting_as_by_the_reference(file):
    tinyperson_merging.assert_tiles_merge_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("merge_proposals*.safetensors"))
def test_proposals_of_all_levels_are_merged_as_by_the_reference(file):
    tinyperson_merging.assert_proposals_merge_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("eval_*.json"))
def test_persons_are_scored_as_by_the_reference(file, tmp_path):
    tinyperson_evaluation.assert_case_equals(TOPIC.json(file), tmp_path)


@pytest.mark.parametrize("file", TOPIC.cases("timing*.json"))
def test_scoring_takes_a_tenth_of_the_reference(file):
    tinyperson_evaluation.assert_fast(TOPIC.json(file))


def test_every_file_is_read():
    assert not TOPIC.unread()
