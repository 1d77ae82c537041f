"""The exact test of two samples for one law, for users."""

from __future__ import annotations

import numbers

import torch
from torch import Tensor

from brenier.datasets import check_tensors
from brenier.errors import DataError
from brenier.statistics import STATISTICS, TwoSampleTest, compared_samples


def two_sample_test(
    x: Tensor,
    z: Tensor,
    *,
    statistic: str = "auto",
    permutations: int = 999,
    max_points: int | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> TwoSampleTest:
    """Test whether two samples are of one law: p = (1 + #{as large}) / (1 + permutations), exact at any n.

    Args:
        x, z: (n, d), (m, d), independent rows. With one row on a side the answer is that nothing can be said.
        statistic: "auto", or one of its parts alone: "columns", "pairs" of columns, "kernel"; or "energy".
        permutations: of the pooled rows. They bound p from below.
        max_points: units of the smaller side that are permuted, at most; None for 2,000. Above it the units are groups
            of rows. "auto" and its parts still use all rows, at hardly any loss of power; "energy" looks at one row of
            every group, and loses what so many rows do not show.
        level: for the statement, and for which columns differ.
        seed: of permutations, groups and kernel.

    Raises:
        DataError: for samples that are not finite or do not fit together, and for settings out of range.
    """
    check_tensors(x=x, z=z)
    if statistic not in STATISTICS:
        raise DataError(
            f"statistic: is {statistic!r}; give one of {', '.join(STATISTICS)}"
        )
    if not (isinstance(level, numbers.Real) and 0 < level < 1):
        raise DataError(f"level: is {level!r}; give a number between 0 and 1")
    _check_whole("permutations", permutations, 1)
    if 1 / (1 + permutations) > level:
        raise DataError(
            f"permutations: are {permutations}, with which no p-value can reach the level {level:g}; "
            f"give at least {int(1 / level)}"
        )
    if max_points is not None:
        _check_whole("max_points", max_points, 2)
    generator = torch.Generator().manual_seed(seed)
    return compared_samples(x, z, statistic, permutations, level, generator, max_points)


def _check_whole(name: str, value: object, least: int) -> None:
    """Raise unless a setting is a whole number that is large enough."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        raise DataError(
            f"{name}: is {value!r}; give a whole number of at least {least}"
        )
