import torch

from tinyscope.data.dropped import dropped_header, dropped_rows, size_names
from tinyscope.types import Dropped


def test_sizes_are_named_as_they_are_binned():
    assert size_names() == ("< 2 px", "2-8 px", "8-16 px", "16-32 px", "> 32 px")


def test_rows_hold_counts_by_size_and_their_sum_most_frequent_first():
    small, large = (torch.tensor([[0.0, 0, side, side]]) for side in (3, 40))
    rare = Dropped.of("cut", small)
    frequent = Dropped.of("shrunk", torch.cat([small, small, large]))
    rows = dropped_rows(rare + frequent + rare)
    assert rows == [("shrunk", 0, 2, 0, 0, 1, 3), ("cut", 0, 2, 0, 0, 0, 2)]
    assert len(dropped_header()) == len(rows[0])


def test_nothing_lost_makes_no_row():
    assert dropped_rows(Dropped()) == []
