"""SSPNet's neck, supervision, sampler and detectors against the published implementation."""

import pytest
import sspnet_merging
import sspnet_sampling
from golden_files import Topic
from sspnet_attention import (
    assert_neck_equals,
    assert_rule_equals,
    assert_supervision_equals,
    assert_targets_equal,
    settings,
)

TOPIC = Topic(
    "sspnet",
    pending={
        "anchors.safetensors": "its priors",
        "fovea.safetensors": "the Fovea head",
        "model_*": "its detectors",
        "manifest_*": "its detectors",
        "flops.json": "its detectors",
    },
)


@pytest.mark.parametrize("file", TOPIC.cases("neck_*.safetensors"))
def test_the_neck_equals_the_reference(file):
    assert_neck_equals(TOPIC.tensors(file), settings(TOPIC.folder / file))


@pytest.mark.parametrize("file", TOPIC.cases("sampler_*.safetensors"))
def test_background_is_drawn_as_by_the_reference(file):
    settings = sspnet_sampling.settings_of(TOPIC, file)
    sspnet_sampling.assert_case_equals(TOPIC.tensors(file), settings)


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
    settings = sspnet_merging.settings_of(TOPIC.folder / file)
    sspnet_merging.assert_decay_equals(TOPIC.tensors(file), settings)


@pytest.mark.parametrize("file", TOPIC.cases("tile_merge*.json"))
def test_tiles_are_merged_as_by_the_reference(file, tmp_path):
    sspnet_merging.assert_files_merge_equal(TOPIC.json(file), tmp_path)


@pytest.mark.parametrize("reason", TOPIC.pending_cases())
def test_pending(reason):
    pytest.skip(f"to be built: {reason}")


def test_every_file_is_read():
    assert not (wrong := TOPIC.unread()), "\n".join(wrong)
