"""Two JSON files to numbers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyscope.engine.evaluate import evaluate_files
from tinyscope.errors import DataError
from tinyscope.formats.coco import read_annotations, write_detections
from tinyscope.formats.tables import DetectionTable


def write(folder: Path) -> tuple[Path, Path]:
    truth = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "boat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
    }
    found = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.9}]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(found))
    return folder / "truth.json", folder / "found.json"


def test_two_files_give_numbers_stamped_with_their_names(tmp_path: Path) -> None:
    truth, found = write(tmp_path)
    result = evaluate_files(truth, found, {"name": "tiny", "thresholds": [0.5]})
    assert result["AP50_8-16"] == pytest.approx(1)
    assert result.stamp["truth"] == str(truth)
    assert result.stamp["found"] == str(found)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    truth, found = write(tmp_path)
    found.write_text(found.read_text().replace('"image_id": 1', '"image_id": 2'))
    with pytest.raises(DataError, match="image_id 2 is no image of the data set"):
        evaluate_files(truth, found)


def test_torch_is_not_needed_to_score_files(tmp_path: Path) -> None:
    truth, found = write(tmp_path)
    code = (
        "import sys; from tinyscope.engine.evaluate import evaluate_files as e; "
        f"assert e({str(truth)!r}, {str(found)!r})['AP'] > 0.99; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_truth_itself_scores_1_on_real_data(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "sirst_v2" / "annotations" / "test.json"
    truth = read_annotations(path)
    table = DetectionTable(
        images=np.repeat(np.arange(len(truth)), np.diff(truth.offsets)),
        boxes=truth.boxes,
        scores=truth.areas / truth.areas.max(),
        labels=truth.labels,
    )
    write_detections(table, truth, tmp_path / "found.json")
    result = evaluate_files(path, tmp_path / "found.json", "tiny")
    assert result["AP"] == pytest.approx(1)
    assert result.counts(0.0).missed == 0
