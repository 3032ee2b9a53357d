"""Windows and tiles as batches of targets."""

import pytest
import torch

from tinyscope.analysis.assignment_views import PredictionViews, TrainingViews
from tinyscope.data.cut import CutRule
from tinyscope.data.locate import locate
from tinyscope.data.synthetic import write_synthetic
from tinyscope.data.training_set import TrainingSet, target_of
from tinyscope.data.transforms.flip import Flip
from tinyscope.data.windows.aimed import RandomWindows
from tinyscope.settings import PredictSettings
from tinyscope.tiling.cut import grid_windows


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    write_synthetic(folder, {"train": 3, "val": 1}, size=(96, 112))
    return locate(folder, "train")


def test_training_views_are_the_samples_of_the_training(annotations):
    def samples():
        return TrainingSet(annotations, RandomWindows(64), [Flip()], seed=3)

    views = TrainingViews(samples(), 5, batch=2, limit=500)
    batches = list(views)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    for number, view in enumerate(view for batch in batches for view in batch):
        sample = samples()[number]
        assert (view.number, view.size, view.file) == (number, sample.size, sample.file)
        torch.testing.assert_close(view.target.boxes, sample.target.boxes)
        assert view.dropped.total == sample.dropped.total
        assert torch.equal(views.show(view), sample.image)


def test_without_a_number_an_epoch_is_shown_up_to_a_limit(annotations):
    samples = TrainingSet(annotations, RandomWindows(64, per_image=2.0))
    assert TrainingViews(samples, None, 2, limit=500).count == 6
    assert TrainingViews(samples, None, 2, limit=4).count == 4
    assert TrainingViews(samples, 9, 2, limit=4).count == 9


def test_tiles_are_those_of_prediction_each_once(annotations):
    settings = PredictSettings(tile=64, overlap=16)
    views = PredictionViews(annotations, settings, CutRule(), 0, None, 500)
    found = {(v.image, v.frame): v for (v,) in views}
    expected = {
        (image, tuple(frame))
        for image, (height, width) in enumerate(annotations.sizes.tolist())
        for frame in grid_windows((height, width), (64, 64), 16).tolist()
    }
    assert set(found) == expected
    assert len(expected) == views.total == views.count
    (image, frame), view = next(iter(found.items()))
    target, _ = CutRule()(target_of(annotations, image)[0], frame)
    torch.testing.assert_close(view.target.boxes, target.boxes)
    assert views.show(view).shape[-2:] == view.size == (64, 64)


def test_scale_and_zooms_enlarge_what_is_seen(annotations):
    settings = PredictSettings(scale=2.0, zooms=(1.0, 3.0))
    views = PredictionViews(annotations, settings, CutRule(), 0, None, 500)
    assert views.total == 6
    for (view,) in views:
        target, _ = target_of(annotations, view.image)
        height, width = annotations.sizes[view.image].tolist()
        factor = view.size[0] // height
        assert view.size == (factor * height, factor * width)
        torch.testing.assert_close(view.target.boxes, factor * target.boxes)
        assert views.show(view).shape[-2:] == view.size
    assert sorted(v.size[0] // annotations.sizes[v.image][0] for (v,) in views) == [2] * 3 + [6] * 3
