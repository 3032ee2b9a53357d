"""Flow-guided aggregation, balanced group softmax and video data against the reference."""

import pytest
import video_bags
import video_clips
import video_detector
import video_network
import video_parts
import video_scores
import video_windows
from golden_files import Topic

TOPIC = Topic("video_longtail")


@pytest.mark.parametrize("file", TOPIC.cases("flow_warp*.safetensors"))
def test_maps_are_warped_by_flow(file):
    video_parts.assert_warps(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("state_dict_flownet*.json"))
def test_weights_of_flow_have_their_names(file):
    video_parts.assert_flow_names(TOPIC.companion(file))


@pytest.mark.parametrize("file", TOPIC.cases("flownet*.safetensors"))
def test_flow_is_predicted(file):
    manifest = TOPIC.companion("state_dict_flownet_simple.json")
    video_parts.assert_flows(TOPIC.tensors(file), manifest)


@pytest.mark.parametrize("file", TOPIC.cases("embed_aggregator*.safetensors"))
def test_maps_are_aggregated(file):
    video_parts.assert_aggregates(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("fgfa_clip*.safetensors"))
def test_clips_and_windows_are_aggregated(file):
    video_windows.check_clips(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("ref_indices*.json"))
def test_windows_hold_the_frames_of_the_reference(file):
    video_windows.check_windows(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("fgfa_full*.safetensors"))
def test_the_whole_network_gathers_and_judges_as_the_reference(file):
    manifest = TOPIC.companion("state_dict_fgfa_faster_rcnn_r50_dc5.json")
    video_network.assert_network_equal(TOPIC.tensors(file), manifest)


def group_tables():
    """Every division into groups, by its name."""
    return {k: v for file in TOPIC.cases("bags_groups*.json") for k, v in TOPIC.json(file).items()}


@pytest.mark.parametrize("file", TOPIC.cases("bags_groups*.json"))
def test_groups_follow_from_counts_and_have_their_columns(file):
    for case in TOPIC.json(file).values():
        video_bags.assert_tables_equal(case)
        video_bags.assert_groups_follow_from_counts(case)


@pytest.mark.parametrize("file", TOPIC.cases("bags*.safetensors"))
def test_groups_learn_and_score_as_the_reference(file):
    for name, case in video_bags.cases_of(TOPIC.tensors(file)):
        video_bags.assert_losses_equal(name, case, group_tables())
        video_bags.assert_scores_equal(name, case, group_tables())
        if "loss_bbox" in case:
            video_bags.assert_box_loss_equals(name, case, group_tables())


@pytest.mark.parametrize("file", TOPIC.cases("detector*.safetensors"))
def test_detections_by_groups_equal_the_reference(file):
    stored = TOPIC.tensors(file)
    if any(key.startswith("post_bags.") for key in stored):
        video_bags.assert_detections_equal(stored, group_tables())


@pytest.mark.parametrize("file", TOPIC.cases("vid_groups_published*.json"))
def test_published_tables_are_ours_without_a_place_for_others(file):
    video_bags.assert_published_is_ours_without_others(TOPIC.json(file))


DETECTORS = TOPIC.cases("detector*.safetensors")


@pytest.mark.parametrize("file", DETECTORS)
def test_anchors_stand_where_they_are_published(file):
    video_detector.assert_anchors_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", DETECTORS)
def test_proposals_learn_as_published(file):
    video_detector.assert_proposals_learn(TOPIC.tensors(file))


@pytest.mark.parametrize("file", DETECTORS)
def test_proposals_are_those_published(file):
    video_detector.assert_proposals_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", DETECTORS)
def test_classes_learn_as_published(file):
    video_detector.assert_classes_learn(TOPIC.tensors(file))


@pytest.mark.parametrize("file", DETECTORS)
def test_detections_are_those_published(file):
    video_detector.assert_detections_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("state_dict_*fgfa*.json"))
def test_published_weights_have_their_places(file):
    video_detector.assert_names_fit(TOPIC.companion(file))


@pytest.mark.parametrize("file", TOPIC.cases("trainable*.json"))
def test_what_is_published_as_frozen_is(file):
    video_detector.assert_learns(TOPIC.companion(file))


@pytest.mark.parametrize("file", TOPIC.cases("ref_indices*.json"))
def test_references_are_drawn_as_published(file):
    content = TOPIC.json(file)
    for case in content.get("bilateral_uniform", ()):
        video_clips.assert_references_equal(case)
    if "image_dataset" in content:
        video_clips.assert_stills_are_their_references(content["image_dataset"])


@pytest.mark.parametrize("file", TOPIC.cases("pipeline*.safetensors"))
def test_frames_of_a_clip_are_changed_as_published(file):
    video_clips.assert_clips_equal(TOPIC.tensors(file))


@pytest.mark.parametrize("file", TOPIC.cases("resize_pad*.json"))
def test_frames_are_resized_and_padded_as_published(file):
    for case in TOPIC.json(file):
        video_clips.assert_sizes_equal(case)


@pytest.mark.parametrize("file", TOPIC.cases("lr_schedule*.json"))
def test_learning_rates_are_those_published(file):
    video_clips.assert_rates_equal(TOPIC.json(file))


@pytest.mark.parametrize("file", TOPIC.cases("vid_data_eval*.json"))
def test_published_files_are_converted_row_by_row(file, tmp_path):
    video_clips.assert_files_are_converted(TOPIC.json(file), tmp_path)


@pytest.mark.parametrize("file", TOPIC.cases("vid_data_eval*.json"))
def test_frames_to_train_on_are_those_published(file, tmp_path):
    video_clips.assert_frames_to_train_on_are_those_published(TOPIC.json(file), tmp_path)


@pytest.mark.parametrize("file", TOPIC.cases("vid_data_eval*.json"))
def test_detections_in_frames_are_scored_as_by_coco(file, tmp_path):
    video_scores.assert_coco_scores(TOPIC.json(file), tmp_path)


@pytest.mark.parametrize("file", TOPIC.cases("vid_data_eval*.json"))
def test_detections_in_frames_are_scored_as_officially(file, tmp_path):
    video_scores.assert_official_scores(TOPIC.json(file), tmp_path)


def test_every_file_is_read():
    assert not (wrong := TOPIC.unread()), "\n".join(wrong)
