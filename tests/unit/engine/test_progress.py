import json
import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.engine.display import duration
from tinyscope.engine.progress import Progress, lost_text
from tinyscope.types import Dropped


@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=8))
def test_the_best_score_and_the_evaluations_since_are_known(scores):
    progress = Progress()
    for score in scores:
        progress = progress.scored(score, {"AP50": score})
    numbers = [s for s in scores if not math.isnan(s)]
    if numbers:
        assert progress.best == max(numbers)
        assert scores[len(scores) - 1 - progress.stale] == max(numbers)
    else:
        assert progress.stale == len(scores) - 1


def test_progress_travels_as_json():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 5, 5]])
    progress = Progress().scored(0.1 + 0.2, {"AP50": 0.3, "AP": math.nan})
    progress = progress.lost(Dropped.of("cut", boxes)).lost(Dropped.of("small", boxes[:1]))
    plain = json.loads(json.dumps(progress.to_plain(), allow_nan=False))
    back = Progress.from_plain(plain)
    assert back.to_plain() == progress.to_plain()
    assert back.best == 0.1 + 0.2
    assert back.dropped.total == 3


def test_lost_objects_are_shown_by_reason_and_size():
    text = lost_text(Dropped.of("cut by the window", torch.tensor([[0.0, 0, 5, 5]])))
    assert "2-8 px" in text
    assert "cut by the window" in text


def test_durations_read_like_a_clock():
    assert [duration(s) for s in (4.2, 65.0, 3723.0)] == ["0:04", "1:05", "1:02:03"]
