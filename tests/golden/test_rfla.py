"""Receptive-field assignment, its hosts, DetectoRS and AI-TOD's scores against the reference."""

import pytest
import rfla_evaluation
from golden_files import Topic
from rfla_detectors import (
    assert_fresh,
    assert_maps_detectors,
    assert_module_equals,
    assert_recursion_equals,
    case_of,
    cases,
)
from rfla_hosts import (
    assert_fcos_equals,
    assert_maps_host,
    assert_proposals_equal,
    assert_retina_equals,
    assert_whole_detector_equals,
)
from rfla_matching import (
    assert_assignments_equal,
    assert_carried_fields_equal,
    assert_constants_equal,
    assert_point_targets_equal,
    assert_proposal_targets_equal,
    assert_similarities_equal,
)

TOPIC = Topic("rfla")

RUNS = [
    (file, case, run)
    for file in TOPIC.cases("eval_expected*.json")
    for case, content in TOPIC.json(file)["cases"].items()
    for run in content["runs"]
]


@pytest.mark.parametrize(("file", "case", "run"), RUNS)
def test_scores_equal_the_published_evaluator(file, case, run, tmp_path):
    content = TOPIC.json(file)
    rfla_evaluation.assert_names_are_those_published(content["stat_names"])
    truth, rows = TOPIC.companion(f"eval_{case}_gt.json"), TOPIC.companion(f"eval_{case}_det.json")
    expected = content["cases"][case]["runs"][run]
    rfla_evaluation.assert_run_equals(truth, rows, expected, run, tmp_path)


@pytest.mark.parametrize(
    ("file", "case"),
    [(f, case) for f in TOPIC.cases("sac*.safetensors") for case in cases(TOPIC.tensors(f))],
)
def test_the_convolutions_and_views_of_detectors_equal_the_reference(file, case):
    assert_module_equals(case_of(TOPIC.tensors(file), case))


@pytest.mark.parametrize("file", TOPIC.cases("rfp*.safetensors"))
def test_the_recursive_pyramid_equals_the_reference(file):
    assert_recursion_equals(TOPIC.tensors(file), TOPIC.companion("detectors_info.json"))


@pytest.mark.parametrize("file", TOPIC.cases("manifest_detectors*.json"))
def test_names_and_shapes_of_detectors_have_their_place(file):
    assert_maps_detectors(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("detectors_info*.json"))
def test_a_fresh_switchable_convolution_is_the_reference_s(file):
    assert_fresh(TOPIC.companion(file)["fresh_sac"])


@pytest.mark.parametrize("file", TOPIC.cases("rf_constants*.json"))
def test_receptive_fields_as_priors_equal_the_reference(file):
    assert_constants_equal(TOPIC.companion(file))


@pytest.mark.parametrize("file", TOPIC.cases("rfd*.safetensors"))
def test_similarities_of_boxes_equal_the_reference(file):
    assert_similarities_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("hla*.safetensors"))
def test_hierarchical_assignment_equals_the_reference(file):
    cases_of_file = TOPIC.companion(file.replace(".safetensors", "_cases.json"))
    assert_assignments_equal(TOPIC.tensors(file), cases_of_file)


@pytest.mark.parametrize("file", TOPIC.cases("rpn*.safetensors"))
def test_targets_of_proposals_equal_the_reference(file):
    case = TOPIC.companion(file.replace(".safetensors", ".json"))
    assert_proposal_targets_equal(TOPIC.tensors(file), case)


@pytest.mark.parametrize("file", TOPIC.cases("fcos*.safetensors"))
def test_targets_of_points_equal_the_reference(file):
    case = TOPIC.companion(file.replace(".safetensors", ".json"))
    assert_point_targets_equal(TOPIC.tensors(file), case)
    assert_carried_fields_equal(TOPIC.tensors(file), case)


@pytest.mark.parametrize("file", TOPIC.cases("rpn*.safetensors"))
def test_losses_and_proposals_of_the_first_stage_equal_the_reference(file):
    case = TOPIC.companion(file.replace(".safetensors", ".json"))
    assert_proposals_equal(TOPIC.tensors(file), case)


@pytest.mark.parametrize("file", TOPIC.cases("retina*.safetensors"))
def test_losses_and_detections_of_retinanet_equal_the_reference(file):
    case = TOPIC.companion(file.replace(".safetensors", ".json"))
    assert_retina_equals(TOPIC.tensors(file), case)


@pytest.mark.parametrize("file", TOPIC.cases("fcos*.safetensors"))
def test_losses_and_detections_of_fcos_equal_the_reference(file):
    case = TOPIC.companion(file.replace(".safetensors", ".json"))
    assert_fcos_equals(TOPIC.tensors(file), case)


@pytest.mark.parametrize("file", TOPIC.cases("e2e_*.safetensors"))
def test_whole_detectors_equal_the_reference(file):
    kind = file.removeprefix("e2e_").removesuffix(".safetensors")
    assert_whole_detector_equals(kind, TOPIC.tensors(file), TOPIC.companion("e2e.json")[kind])


@pytest.mark.parametrize("file", TOPIC.cases("manifest_*.json"))
def test_names_and_shapes_of_hosts_have_their_place(file):
    assert_maps_host(TOPIC.json(file))


@pytest.mark.parametrize("reason", TOPIC.pending_cases())
def test_pending(reason):
    pytest.skip(f"to be built: {reason}")


def test_every_file_is_read():
    assert not (wrong := TOPIC.unread()), "\n".join(wrong)
