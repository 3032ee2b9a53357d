"""Groups of classes that are proposed for their counts."""

import pytest

from tinyscope.analysis.class_groups import propose_groups


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ([5, 50, 500, 5000], ((0,), (1,), (2,), (3,))),
        ([5, 5000, 7], ((0, 2), (1,))),  # no empty group is proposed
        ([0, 50, 500], ((0,), (1,), (2,))),
        ([2000, 90_000, 150_000, 2500], ((0, 3), (1, 2))),  # all beyond the published edges
        ([3000, 4_000_000, 50_000], ((0,), (2,), (1,))),
    ],
)
def test_every_class_is_in_one_group_and_no_group_is_empty(counts, groups):
    found = propose_groups(counts)
    assert found.groups == groups
    assert found.setting == str([list(group) for group in groups])


@pytest.mark.parametrize("counts", [[], [5], [0, 0], [100, 900, 300], [9, 11], [0, 500, 600]])
def test_classes_of_similar_frequency_need_no_groups(counts):
    assert propose_groups(counts).groups == ()


def test_edges_that_are_asked_for_are_taken():
    found = propose_groups([100, 900, 300], [300])
    assert found.groups == ((0,), (1, 2))
    assert found.edges == (300,)
