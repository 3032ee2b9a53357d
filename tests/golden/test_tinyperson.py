"""The TinyPerson baselines against the reference implementation (README of the topic's folder)."""

import pytest
import tinyperson_scale_match
from golden_files import Topic
from manifests import assert_maps
from necks import assert_pyramid_equals
from tinyperson_tiling import assert_windows_equal

TOPIC = Topic(
    "tinyperson",
    pending={
        "anchors.json": "the baselines' priors",
        "eval_*.json": "the TinyPerson protocol",
        "fcos_head.*": "the Adap-FCOS head",
        "flops_*.json": "the cost of whole detectors",
        "merge_*": "TinyPerson's merging of tiles",
        "salpha_*": "S-alpha",
        "tiling_annotations.json": "TinyPerson's tiling",
        "timing.json": "the TinyPerson protocol",
    },
)

PUBLISHED = {
    "manifest_faster_rcnn.json": ("quick/faster_rcnn", []),
    "manifest_adap_retinanet.json": ("quick/retinanet", []),
    "manifest_adap_fcos.json": (
        "quick/small",
        [
            "model.backbone={name: resnet}",
            "model.neck={channels: 256, norm: null, coarsest: 64, extra: conv_output}",
            "model.head={depth: 4, norm: none}",
        ],
    ),
}
"""Settings of the published detectors that have names and shapes of tensors."""


@pytest.mark.parametrize("file", TOPIC.cases("manifest_*.json"))
def test_names_and_shapes_of_a_published_detector_have_their_place(file):
    assert_maps(TOPIC.json(file), *PUBLISHED[file])


@pytest.mark.parametrize("file", TOPIC.cases("fcos_neck*.safetensors"))
def test_the_pyramid_equals_the_reference(file):
    assert_pyramid_equals(TOPIC.tensors(file), 1e-5, extra="conv_output")


@pytest.mark.parametrize("file", TOPIC.cases("tiling_windows*.json"))
def test_images_are_cut_as_by_the_reference(file):
    assert_windows_equal(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("scale_match*.json"))
def test_scale_match_equals_the_reference(file):
    case = TOPIC.json(file)
    tinyperson_scale_match.assert_histograms_equal(case)
    tinyperson_scale_match.assert_maps_equal(case)
    tinyperson_scale_match.assert_draws_equal(case)
    tinyperson_scale_match.assert_image_sizes_equal(case)
    tinyperson_scale_match.assert_resize_equals(case)


@pytest.mark.parametrize("part", TOPIC.pending_cases())
def test_of_a_part_to_come(part):
    pytest.skip(f"to be built: {part}")


def test_every_file_is_read():
    assert not TOPIC.unread()
