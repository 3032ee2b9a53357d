"""Classes in groups: what is refused, and where their columns stand."""

import pytest

from tinyscope.errors import SettingsError
from tinyscope.nn.heads import HEADS
from tinyscope.nn.heads.groups import ClassGroups, groups_by_count


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (((0, 2),), r"of the labels \[1, 3\] stand in none; give each of 0 to 3 to one group"),
        (((0, 1), (1, 2, 3)), r"of the labels \[1\] stand in several places"),
        (((0, 1, 2, 3, 3),), r"of the labels \[3\] stand in several places"),
        (((0, 1), (2, 3, 4, 9)), r"of the labels \[4, 9\] are no classes"),
        (((0, 0), (5,)), r"\[1, 2, 3\] stand in none; \[0\] stand in several places; \[5\] are no"),
        ((), r"\[0, 1, 2, 3\] stand in none"),
    ],
)
def test_groups_that_do_not_divide_the_classes_are_refused(members, message):
    with pytest.raises(SettingsError, match=message):
        ClassGroups(members, 4)


@pytest.mark.parametrize("name", ["two_fc", "retina", "fcos", "fovea"])
def test_every_head_says_where_its_groups_are_wrong(name):
    given = {"channels": 4, "strides": (4,), "classes": 3, "priors_per_cell": 1, "pool": 2}
    with pytest.raises(SettingsError, match=r"^model\.head: groups: of the labels \[2\] stand in"):
        HEADS.build({"name": name, "groups": [[0], [1]]}, "model.head", **given)
    with pytest.raises(SettingsError, match=r"^model\.head\.groups"):
        HEADS.build({"name": name, "groups": [[-1]]}, "model.head", **given)


def test_columns_stand_group_by_group_in_the_order_of_labels():
    groups = ClassGroups(((3, 0), (), (1, 2)), 4)
    assert groups.lengths == [2, 3, 1, 3]
    assert groups.columns == [3, 7, 8, 4]  # 0 1: background, foreground; 2, 5, 6: others
    assert groups.group_of == [0, 2, 2, 0]
    assert groups.bins == [[1, 1, 1, 1, 0], [1, 0, 0, 2, 0], [0] * 5, [0, 1, 2, 0, 0]]


def test_a_count_on_an_edge_belongs_to_the_group_above():
    assert groups_by_count([9, 10, 99, 100, 0]) == ((0, 4), (1, 2), (3,), ())
    assert groups_by_count([], [5]) == ((), ())
