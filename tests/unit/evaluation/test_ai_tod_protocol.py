"""The protocol of AI-TOD and optimal LRP by cases that can be counted by hand."""

import numpy as np
import pytest
from evaluation_cases import found_of, truth_of

from tinyscope.engine.loop import check_monitor
from tinyscope.errors import SettingsError
from tinyscope.evaluation import Result, evaluate
from tinyscope.evaluation.ai_tod import PUBLISHED_FIGURES, published_figures

A, B = (0, 0, 10, 10), (50, 50, 60, 60)
SHIFTED = (0, 2, 10, 12)  # IoU 2/3 with A
HALF = (0, 0, 10, 5)  # IoU 1/2 with A
FAR = (200, 200, 210, 210)


def scored(rows, found, **options) -> Result:
    return evaluate(truth_of(rows), found_of(found), {"name": "ai_tod", **options})


def test_the_least_error_is_taken_where_it_comes_first() -> None:
    # From 0.9 up: one false, two missed; 0.8: a hit with IoU 2/3; 0.7: an exact one; 0.6: false.
    rows = [(0, 0, A), (0, 0, B)]
    found = [(0, 0, FAR, 0.9), (0, 0, SHIFTED, 0.8), (0, 0, B, 0.7), (0, 0, FAR, 0.6)]
    result = scored(rows, found)
    assert result["oLRP"] == pytest.approx((1 / 3 / 0.5 + 1) / 3)
    assert result["oLRP_loc"] == pytest.approx(1 / 6)
    assert result["oLRP_fp"] == pytest.approx(1 / 3)
    assert result["oLRP_fn"] == 0
    assert result["oLRP_score"] == 0.7
    assert result["oLRP_tiny"] == result["oLRP"]
    assert result["oLRP_small"] == -1
    assert result.per_class["boat"]["oLRP"] == result["oLRP"]
    assert result.per_size["tiny"]["oLRP_fp"] == result["oLRP_fp"]
    assert "oLRP_fn" in result.table


def test_the_threshold_of_the_error_is_the_first() -> None:
    found = [(0, 0, SHIFTED, 0.8)]
    assert scored([(0, 0, A)], found)["oLRP"] == pytest.approx(1 / 3 / 0.5)
    low = scored([(0, 0, A)], found, thresholds=[0.25, 0.75])
    assert low["oLRP"] == pytest.approx(1 / 3 / 0.75)
    high = scored([(0, 0, A)], found, thresholds=[0.75, 0.9])
    assert high["oLRP"] == 1


@pytest.mark.parametrize(
    "found", [[], [(0, 0, FAR, 0.9)], [(0, 0, FAR, 0.9), (0, 0, HALF, 0.8), (0, 0, FAR, 0.7)]]
)
def test_where_nothing_is_gained_the_error_is_one(found) -> None:
    result = scored([(0, 0, A)], found)
    assert result["oLRP"] == result["oLRP_fn"] == 1
    assert np.isnan(result.figures["oLRP_loc"][0, 0])
    assert result["oLRP_loc"] == result["oLRP_fp"] == result["oLRP_score"] == -1


def test_a_hit_exactly_at_the_threshold_gains_nothing_but_is_a_hit() -> None:
    result = scored([(0, 0, A)], [(0, 0, HALF, 0.8)])
    assert (result["oLRP"], result["oLRP_loc"], result["oLRP_fn"]) == (1, 0.5, 0)


def test_areas_on_an_edge_are_of_two_sizes_and_medium_has_no_end() -> None:
    rows = [(0, 0, (0, 0, 8, 8)), (0, 0, (20, 20, 36, 36)), (0, 0, (50, 50, 650, 650))]
    result = scored(rows, [])
    sizes = ("all", "verytiny", "tiny", "small", "medium")
    assert [result.objects(size=size) for size in sizes] == [3, 1, 2, 1, 1]


def test_flags_other_than_crowds_are_not_looked_at_unless_asked_for() -> None:
    truth = truth_of([(0, 0, A), (0, 0, B)], ignore=[False, True])
    found = found_of([(0, 0, A, 0.9)])
    published = evaluate(truth, found, "ai_tod")
    clean = evaluate(truth, found, {"name": "ai_tod", "ignore": "region"})
    assert (published["AR"], clean["AR"]) == (0.5, 1)
    assert (published.stamp["objects"], clean.stamp["objects"]) == (2, 1)


def test_published_names_have_their_numbers_or_minus_one() -> None:
    figures = published_figures(scored([(0, 0, A)], [(0, 0, A, 0.9)], optimal_lrp=False))
    assert list(figures) == list(PUBLISHED_FIGURES)
    assert figures["AP_t"] == pytest.approx(1)
    assert figures["AR@m2"] == 1
    assert figures["AP25"] == figures["AP_vt"] == figures["oLRP"] == -1
    assert published_figures(scored([(0, 0, A)], [], limits=[100]))["AR@m1"] == -1


def test_proposals_without_classes_are_scored_with_all_classes_together() -> None:
    truth = truth_of([(0, 0, A), (0, 1, B)], names=("boat", "person"))
    found = found_of([(0, 1, A, 0.9), (0, 0, B, 0.8)])
    assert evaluate(truth, found, "ai_tod")["AP"] == 0
    together = evaluate(truth, found, {"name": "ai_tod", "classes": "together"})
    assert together["AP"] == pytest.approx(1)
    assert together.names == ("all",)


def test_an_error_is_no_number_to_choose_weights_by() -> None:
    numbers = dict(scored([(0, 0, A)], []))
    with pytest.raises(SettingsError, match="oLRP is an error, of which less is better"):
        check_monitor("oLRP", numbers)
    with pytest.raises(SettingsError, match="the first is that of optimal LRP and has"):
        scored([], [], thresholds=[1.0])
