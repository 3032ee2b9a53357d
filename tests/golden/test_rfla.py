"""Receptive-field assignment, its hosts, DetectoRS and AI-TOD's scores against the reference."""

import pytest
import rfla_evaluation
from golden_files import Topic
from rfla_detectors import (
    assert_fresh,
    assert_module_equals,
    assert_recursion_equals,
    case_of,
    cases,
)

TOPIC = Topic(
    "rfla",
    pending={
        "rf_constants.json": "receptive fields",
        "rfd.safetensors": "distances of Gaussians",
        "hla*": "the hierarchical assigner",
        "rpn.*": "its hosts",
        "retina.*": "its hosts",
        "fcos.*": "its hosts",
        "e2e*": "its hosts",
        "manifest_*": "its detectors",
    },
)

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
    truth, rows = TOPIC.json(f"eval_{case}_gt.json"), TOPIC.json(f"eval_{case}_det.json")
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
    assert_recursion_equals(TOPIC.tensors(file), TOPIC.json("detectors_info.json"))


def test_a_fresh_switchable_convolution_is_the_reference_s():
    if said := TOPIC.json("detectors_info.json"):
        assert_fresh(said["fresh_sac"])


@pytest.mark.parametrize("reason", TOPIC.pending_cases())
def test_pending(reason):
    pytest.skip(f"to be built: {reason}")


def test_every_file_is_read():
    assert not (wrong := TOPIC.unread()), "\n".join(wrong)
