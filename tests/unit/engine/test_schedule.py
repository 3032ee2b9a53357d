import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.engine.schedule import Schedule
from tinyscope.errors import SettingsError

SHAPES = ("constant", "multistep", "cosine", "restart")


@given(st.sampled_from(SHAPES), st.integers(20, 2000), st.integers(0, 19), st.floats(0, 1))
def test_a_factor_lies_between_nought_and_one(shape, steps, warmup_steps, ratio):
    schedule = Schedule(shape, steps, (0.4, 0.8), 0.5, warmup_steps, ratio)
    assert all(0 <= schedule(step) <= 1 for step in range(steps))


@given(st.sampled_from(SHAPES), st.integers(20, 500), st.integers(1, 19))
def test_warm_up_starts_at_its_ratio_and_leaves_later_steps_alone(shape, steps, warmup_steps):
    cold = Schedule(shape, steps, (0.4, 0.8), 0.5)
    warm = Schedule(shape, steps, (0.4, 0.8), 0.5, warmup_steps, 0.25)
    assert warm(0) == pytest.approx(0.25 * cold(0))
    assert all(warm(s) < cold(s) for s in range(warmup_steps))
    assert all(warm(s) == cold(s) for s in range(warmup_steps, steps))


@pytest.mark.parametrize("milestones", [(0.5, 0.75), (50.0, 75.0)])
def test_multistep_falls_at_its_milestones(milestones):
    schedule = Schedule("multistep", 100, milestones, 0.1)
    factors = [schedule(step) for step in (0, 49, 50, 74, 75, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_all_the_way_and_is_half_in_the_middle():
    schedule = Schedule("cosine", 1000)
    factors = [schedule(step) for step in range(1000)]
    assert all(a > b for a, b in itertools.pairwise(factors))
    assert factors[0] == 1
    assert factors[500] == pytest.approx(0.5)
    assert factors[-1] < 1e-5


def test_restart_begins_each_stretch_lower_than_the_last():
    schedule = Schedule("restart", 100, (0.2, 0.6), 0.5)
    assert [schedule(s) for s in (0, 20, 60)] == pytest.approx([1, 0.5, 0.25])
    assert max(schedule(19), schedule(59), schedule(99)) < 0.01


@given(st.integers(1, 500), st.floats(0.01, 0.99), st.floats(0, 1))
def test_flat_cosine_is_one_and_then_a_cosine(steps, milestone, floor):
    schedule = Schedule("flat_cosine", steps, (milestone,), floor=floor)
    edge = round(milestone * steps)
    assert all(schedule(step) == 1 for step in range(min(edge + 1, steps)))
    fall = Schedule("cosine", max(1, steps - edge), floor=floor)
    assert all(schedule(step) == fall(step - edge) for step in range(edge, steps))


@pytest.mark.parametrize("milestones", [(), (0.2, 0.6)])
def test_flat_cosine_needs_one_milestone(milestones):
    with pytest.raises(SettingsError, match=r"train\.milestones: .* must be one number"):
        Schedule("flat_cosine", 100, milestones)


def test_a_run_of_one_step_has_a_schedule():
    assert [Schedule(shape, 1, (0.67, 0.92))(0) for shape in SHAPES] == [1, 1, 1, 1]


def test_a_constant_warm_up_stays_low_until_it_is_over():
    schedule = Schedule("constant", 60, warmup_steps=10, warmup_ratio=0.25, warmup="constant")
    assert [schedule(step) for step in (0, 9, 10, 59)] == [0.25, 0.25, 1, 1]


@pytest.mark.parametrize("warmup_steps", [60, 500])
def test_a_warm_up_ends_within_the_run(warmup_steps):
    with pytest.raises(SettingsError, match=r"train\.warmup_steps: .* less than the 60 .* to 6 or"):
        Schedule("constant", 60, warmup_steps=warmup_steps)
    assert Schedule("constant", 60, warmup_steps=59)(59) == 1


@pytest.mark.parametrize("milestones", [(0.9, 0.5), (50.0, 50.0), (100.0,), (0.5, 120.0), (0.0,)])
def test_milestones_out_of_order_or_place_are_refused(milestones):
    with pytest.raises(SettingsError, match=r"train\.milestones: .* inside the 100 steps"):
        Schedule("multistep", 100, milestones)
    Schedule("cosine", 100, milestones)  # has no milestones: they may be anything
