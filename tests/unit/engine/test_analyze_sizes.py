"""`tinyscope analyze sizes`, from Python and from the terminal."""

import json

import numpy as np
import pytest
from PIL import Image

import tinyscope
from tinyscope.analysis.size_report import SizeSummary
from tinyscope.cli.main import main
from tinyscope.data.scale_match.histogram import size_histogram
from tinyscope.data.scale_match.sizes import read_histogram
from tinyscope.data.training_set import TrainingSet
from tinyscope.data.transforms.scale_match import scale_match
from tinyscope.data.windows.whole import WholeImages
from tinyscope.engine.analyze_sizes import HISTOGRAM, PICTURE, analyze_sizes
from tinyscope.errors import DataError, SettingsError
from tinyscope.formats import coco


def file_of(path, images):
    """A COCO file of images of 200 x 300 pixels that lists the sides of each one's objects."""
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 300, "height": 200}
            for i in range(len(images))
        ],
        "annotations": [
            {"id": 100 * i + j, "image_id": i, "category_id": 1, "bbox": [9 * j, 7, side, side]}
            for i, sides in enumerate(images)
            for j, side in enumerate(sides)
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    images = [random.uniform(30, 120, 5).round(1).tolist() for _ in range(40)]
    return file_of(tmp_path / "data.json", [*images, []])


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target.json").write_text('{"edges": [4, 12, 20], "probabilities": [3, 1]}')
    return tmp_path / "target.json"


def test_sizes_of_a_set_are_told_without_its_images(data):
    report = analyze_sizes(data)
    assert report.before.objects == 200
    assert report.before.shares["> 32"] > 0.9
    assert sum(report.before.shares.values()) == pytest.approx(1)
    assert report.after is None
    assert report.differences == {}
    assert "target" not in report.table


@pytest.mark.parametrize("match", ["scale", "monotone"])
def test_matching_brings_the_sizes_near_the_target(data, target, match):
    report = analyze_sizes(data, target, match=match, draws=3)
    assert report.differences["before"] > 0.9
    assert report.differences["after"] < 0.45
    assert sum(report.outcomes.values()) == 3 * 41
    assert report.outcomes["no objects"] == 3
    assert "largest difference to the target, of shares below a size: before 1.000" in report.table


def test_the_report_tells_what_training_sees(tmp_path, target):
    data = file_of(tmp_path / "one.json", [[40, 60, 2]])
    report = analyze_sizes(data, target, seed=5)
    Image.new("RGB", (300, 200)).save(tmp_path / "0.png")
    annotations = coco.read_annotations(data)
    sample = TrainingSet(annotations, WholeImages(), [scale_match(target)], seed=5)[0]
    boxes = sample.target.boxes[~sample.target.ignore]
    sides = np.sort((boxes[:, 2] - boxes[:, 0]).mul(boxes[:, 3] - boxes[:, 1]).sqrt().numpy())
    np.testing.assert_allclose(report.after.sizes, sides, rtol=1e-6)
    assert report.lost.total == sample.dropped.total == 1


def test_what_is_written_can_be_a_target(data, tmp_path):
    pytest.importorskip("matplotlib")
    analyze_sizes(str(data), out=str(tmp_path / "a" / "b"))
    picture = (tmp_path / "a" / "b" / PICTURE).read_text()
    assert picture.startswith("<svg")
    histogram = read_histogram(tmp_path / "a" / "b" / HISTOGRAM)
    assert histogram.edges[[0, -1]].tolist() == pytest.approx([30, 120], abs=3)
    again = analyze_sizes(data, tmp_path / "a" / "b" / HISTOGRAM)
    assert again.differences["before"] < 0.03


def test_a_set_or_a_match_that_leaves_no_objects_is_refused(tmp_path, target):
    with pytest.raises(DataError, match="no objects to take sizes from"):
        analyze_sizes(file_of(tmp_path / "empty.json", [[]]))
    speck = file_of(tmp_path / "speck.json", [[3]])
    lost = {"scale_range": [0.1, 0.2], "default_scale": 0.1}
    with pytest.raises(DataError, match=r"speck\.json: no object is left after matching"):
        analyze_sizes(speck, target, options=lost)


def test_wrong_options_are_named(data, target):
    with pytest.raises(SettingsError, match=r"scale_match\.clip: no such option"):
        analyze_sizes(data, target, options={"clip": True})
    with pytest.raises(SettingsError, match="options bins: are for matching; name a target"):
        analyze_sizes(data, options={"bins": 10})
    with pytest.raises(SettingsError, match="draws 0: must be 1 or more"):
        analyze_sizes(data, draws=0)


def test_differences_are_those_of_the_shares():
    few = SizeSummary.of_objects(np.array([10.0, 20.0]))
    assert few.difference(few) == 0
    assert few.difference(SizeSummary.of_objects(np.array([10.0, 30.0]))) == 0.5
    assert few.difference(SizeSummary.of_objects(np.array([300.0]))) == 1
    assert few.steps.sum() == pytest.approx(1)
    histogram = size_histogram(np.full(9, 12.0))
    assert SizeSummary.of_histogram(histogram).shares["12-20"] == 1
    with pytest.raises(ValueError, match="no objects"):
        SizeSummary.of_objects(np.zeros(0))


def test_the_command_prints_and_writes(data, target, tmp_path, capsys):
    arguments = ["analyze", "sizes", str(data), "--target", str(target), "--match", "monotone"]
    file = tmp_path / "s.json"
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--set", "scale_range=[0.05, 1]", "--json", str(file)])
    assert stopped.value.code in (0, None)
    printed = capsys.readouterr().out
    content = json.loads(file.read_text())
    assert content["after"]["objects"] == 200
    assert content["images"] == {"matched": 40, "no objects": 1}
    assert f"{content['difference']['after']:.3f}" in printed
    assert tinyscope.analyze_sizes(data).before.objects == content["before"]["objects"]
