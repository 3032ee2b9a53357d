"""Numbers of classes by how frequent they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_cases import found_of, truth_of
from video_cases import film_of

from tinyscope.engine.loop import check_monitor
from tinyscope.errors import DataError, SettingsError
from tinyscope.evaluation import Result, evaluate
from tinyscope.evaluation.class_groups import group_names, read_counts
from tinyscope.formats.coco import write_annotations

A, FAR = (0, 0, 10, 10), (200, 200, 210, 210)
NAMES = ("boat", "person", "car", "kite")
COUNTS = {"boat": 500, "person": 100, "car": 20, "kite": 0}
ROWS = [(0, 0, A), (0, 1, A), (0, 2, A)]
FOUND = [(0, 0, A, 0.9), (0, 1, FAR, 0.9), (0, 1, A, 0.8), (0, 3, FAR, 0.5)]


def scored(**options: Any) -> Result:
    options = {"name": "tiny", **options}
    return evaluate(truth_of(ROWS, names=NAMES), found_of(FOUND), options)


@pytest.mark.parametrize("name", ["coco", "tiny", "vid"])
def test_groups_are_means_over_their_classes(name: str) -> None:
    groups = {"many": ["boat", "person", "kite"], "few": ["car"], "no": []}
    result = scored(name=name, class_groups=groups)
    of = {k: v["AP50"] for k, v in result.per_class.items()}
    assert of == pytest.approx({"boat": 1, "person": 0.5, "car": 0, "kite": -1})
    assert result["AP50_of_many"] == pytest.approx(0.75)  # without the kite, of which there is none
    assert (result["AP50_of_few"], result["AP50_of_no"]) == (0, -1)
    assert scored(name=name, class_groups={"rare": ["kite"]})["AP50_of_rare"] == -1


def test_groups_are_shown_and_written() -> None:
    result = scored(class_groups={"many": ["boat", "person"], "few": ["car"]})
    assert result["AP50_2-8_of_many"] == -1
    assert result["AP50_8-16_of_many"] == pytest.approx(0.75)
    assert result.per_group["many"]["classes"] == result.per_group["many"]["objects"] == 2
    assert "many: boat, person" in result.table
    assert "of no group of classes: kite" in result.table
    content = json.loads(result.to_json())
    assert content["per_group"]["few"]["AP50"] == 0
    assert content["stamp"]["class_groups"] == {"many": ["boat", "person"], "few": ["car"]}
    check_monitor("AP50_of_few", result)
    plain = scored()
    assert not [key for key in plain if "_of_" in key]
    assert {key: value for key, value in result.items() if "_of_" not in key} == dict(plain)


def test_counts_decide_the_groups() -> None:
    result = scored(class_counts=COUNTS)
    assert result.groups == {"many": ("boat", "person"), "medium": ("car",), "few": ("kite",)}
    assert "without an example in training: kite" in result.table
    finer = scored(class_counts=COUNTS, class_edges=[1, 100, 500])
    assert finer.groups == {
        "500+": ("boat",), "100-499": ("person",), "1-99": ("car",), "0-0": ("kite",),
    }  # fmt: skip
    assert group_names([30]) == ("few", "many")


def test_counts_come_from_the_annotations_of_a_training_set(tmp_path: Path) -> None:
    rows = [*[(0, 0, A)] * 3, (0, 1, A), (0, 1, A)]
    marked = [False] * 4 + [True]
    write_annotations(truth_of(rows, names=NAMES, ignore=marked), tmp_path / "train.json")
    assert read_counts(tmp_path / "train.json") == {"boat": 3, "person": 1, "car": 0, "kite": 0}
    result = scored(class_counts=str(tmp_path / "train.json"), class_edges=[1, 2])
    assert result.groups == {"many": ("boat",), "medium": ("person",), "few": ("car", "kite")}
    stamped = json.loads(result.to_json())["stamp"]["options"]["class_counts"]
    assert stamped == {"boat": 3, "person": 1, "car": 0, "kite": 0}
    (tmp_path / "counts.json").write_text(json.dumps(COUNTS))
    assert read_counts(tmp_path / "counts.json") == COUNTS


def test_of_a_video_the_boxes_in_key_frames_are_counted(tmp_path: Path) -> None:
    film = [(t, 0, A, 1) for t in range(4)]
    write_annotations(film_of(film, frames=4, keys=[1, 3]), tmp_path / "keys.json")
    assert read_counts(tmp_path / "keys.json") == {"boat": 2}
    write_annotations(film_of(film, frames=4), tmp_path / "none.json")
    assert read_counts(tmp_path / "none.json") == {"boat": 4}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_groups": {"few": ["bot"]}}, "no class named 'bot'; did you mean boat?"),
        ({"class_groups": {"a": ["boat"], "b": ["boat"]}}, "boat stands there more than once"),
        ({"class_groups": {}, "class_counts": COUNTS}, "remove one of the two"),
        ({"class_counts": {"boat": 1, "car": 2}}, "no count of person, kite; there are those of"),
        ({"class_counts": COUNTS, "class_edges": [5, 5]}, r"class_edges: got \[5, 5\]"),
        ({"class_counts": COUNTS, "class_edges": []}, r"class_edges: got \[\]"),
    ],
)
@pytest.mark.parametrize("name", ["coco", "vid"])
def test_groups_that_contradict_the_classes_are_refused(
    name: str, options: Any, words: str
) -> None:
    with pytest.raises(SettingsError, match=words.replace("?", r"\?")):
        scored(name=name, **options)


def test_a_file_that_holds_no_counts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class_counts names the annotation file of"):
        scored(class_counts=str(tmp_path / "missing.json"))
    (tmp_path / "wrong.json").write_text("[")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        scored(class_counts=str(tmp_path / "wrong.json"))
