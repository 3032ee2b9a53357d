"""SSPNet's neck, supervision, sampler and detectors against the published implementation."""

import pytest
import sspnet_sampling
from golden_files import Topic
from sspnet_attention import (
    assert_neck_equals,
    assert_rule_equals,
    assert_supervision_equals,
    assert_targets_equal,
    settings,
)
from sspnet_looks import assert_looks_equal
from sspnet_merging import assert_decay_equals, assert_files_merge_equal
from sspnet_models import (
    StoredModel,
    assert_costs_equal,
    assert_names_and_shapes,
    assert_neck_costs_equal,
)
from sspnet_parts import FoveaCase, assert_priors_equal

TOPIC = Topic("sspnet")


@pytest.mark.parametrize("file", TOPIC.cases("neck_*.safetensors"))
def test_the_neck_equals_the_reference(file):
    assert_neck_equals(TOPIC.tensors(file), settings(TOPIC.folder / file))


@pytest.mark.parametrize("file", TOPIC.cases("sampler_*.safetensors"))
def test_background_is_drawn_as_by_the_reference(file):
    said = sspnet_sampling.settings_of(TOPIC, file)
    sspnet_sampling.assert_case_equals(TOPIC.tensors(file), said)


@pytest.mark.parametrize("file", TOPIC.cases("sampler_meta*.json"))
def test_cases_of_the_sampler_are_what_their_table_says(file):
    sspnet_sampling.assert_table_equals(TOPIC.json(file), TOPIC)


@pytest.mark.parametrize("file", TOPIC.cases("att_target*.safetensors"))
def test_attention_is_to_show_what_the_reference_paints(file):
    assert_targets_equal(TOPIC.tensors(file), settings(TOPIC.folder / file))


@pytest.mark.parametrize("file", TOPIC.cases("att_*rule*.json"))
def test_sizes_are_of_the_levels_of_the_reference(file):
    assert_rule_equals(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("att_loss*.safetensors"))
def test_the_supervision_equals_the_reference(file):
    assert_supervision_equals(TOPIC.tensors(file), settings(TOPIC.folder / file))


@pytest.mark.parametrize("file", TOPIC.cases("soft_nms*.safetensors"))
def test_detections_decay_as_by_the_reference(file):
    assert_decay_equals(TOPIC.tensors(file), settings(TOPIC.folder / file))


@pytest.mark.parametrize("file", TOPIC.cases("tile_merge*.json"))
def test_tiles_are_merged_as_by_the_reference(file, tmp_path):
    assert_files_merge_equal(TOPIC.json(file), tmp_path)


@pytest.mark.parametrize("file", TOPIC.cases("anchors*.safetensors"))
def test_priors_equal_the_reference(file):
    assert_priors_equal(TOPIC.tensors(file), settings(TOPIC.folder / file))


@pytest.mark.parametrize("file", TOPIC.cases("fovea*.safetensors"))
def test_fovea_equals_the_reference(file):
    case = FoveaCase(TOPIC.tensors(file), settings(TOPIC.folder / file))
    case.assert_targets_equal()
    case.assert_losses_equal()
    case.assert_detections_equal()


@pytest.mark.parametrize("file", TOPIC.cases("manifest_*.json"))
def test_names_and_shapes_of_published_detectors_have_their_place(file):
    assert_names_and_shapes(file, TOPIC.json(file))


@pytest.mark.parametrize(
    ("file", "name"),
    [(f, n) for f in TOPIC.cases("flops*.json") for n in TOPIC.json(f)["models"]],
)
def test_detectors_cost_as_much_as_published(file, name):
    said = TOPIC.json(file)
    assert_costs_equal(name, said["models"][name], said)


@pytest.mark.parametrize("file", TOPIC.cases("flops*.json"))
def test_parts_of_the_neck_cost_as_much_as_published(file):
    said = TOPIC.json(file)
    assert_neck_costs_equal(said["neck_parts"], said)


@pytest.fixture(scope="module", params=TOPIC.cases("model_*.json"))
def stored(request):
    """A whole detector, one at a time, and the tensors beside its file."""
    tensors = TOPIC.tensors(request.param.replace(".json", ".safetensors"))
    return StoredModel(TOPIC.json(request.param)), tensors


def test_a_whole_detector_is_filled_as_the_reference(stored):
    stored[0].assert_filled()


def test_what_a_whole_detector_computes_equals_the_reference(stored):
    stored[0].assert_maps_equal()


def test_what_a_whole_detector_finds_equals_the_reference(stored):
    stored[0].assert_detections_equal(stored[1])


def test_what_a_whole_detector_finds_in_two_looks_equals_the_reference(stored):
    assert_looks_equal(stored[0], stored[1]["det_aug"])


def test_what_a_whole_detector_learns_equals_the_reference(stored):
    stored[0].assert_losses_equal()


def test_every_file_is_read():
    assert not (wrong := TOPIC.unread()), "\n".join(wrong)
