"""The most frequent values and rows."""

import torch

from brenier.statistics import top_row, top_values


def test_the_most_frequent_value_of_every_column() -> None:
    rows = torch.tensor([[1.0, 5.0], [2.0, 5.0], [2.0, 6.0], [3.0, 5.0]]).double()
    found = top_values(rows)
    assert found.values.tolist() == [2, 5]
    assert found.shares.tolist() == [0.5, 0.75]


def test_values_that_are_all_different_have_the_share_of_one_row() -> None:
    assert top_values(torch.randn(8, 3).double()).shares.tolist() == [1 / 8] * 3


def test_the_most_frequent_row_is_one_in_all_its_columns() -> None:
    rows = torch.tensor([[0.0, 1.0], [0.0, 2.0], [-0.0, 1.0], [3.0, 1.0]]).double()
    found = top_row(rows)
    assert (found.number, found.share) == (0, 0.5)  # minus zero is zero
