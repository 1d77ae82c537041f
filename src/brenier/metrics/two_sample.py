"""The exact test of two samples for one law, for users."""

from __future__ import annotations

import math
import numbers

import torch
from torch import Tensor

from brenier.datasets import check_tensors
from brenier.errors import DataError
from brenier.statistics import STATISTICS, TwoSampleTest, compared_samples

LEAST_POINTS = 20  # numerical floor: fewer units have too few permutations


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

    A value counts by its rank within its column, so that units, logarithms and wild values do not matter. "auto" looks
    for changes in single columns (shifts, spreads, shapes, ends), then in pairs of columns, then in whole rows; what
    this costs beside a test that knows what it looks for is some percent of power.

    Args:
        x, z: (n, d), (m, d), independent rows. With one row on a side the answer is that nothing can be said.
        statistic: "auto", or one of its parts alone: "columns", "pairs" of columns, "kernel"; or "energy".
        permutations: of the pooled rows. They bound p from below.
        max_points: units of the smaller side that are permuted, at most; None for 2,000. Above it the units are groups
            of rows. "auto" and its parts still use all rows, at hardly any loss of power; of a side that is more than
            four times as large as the other they use a part, which adds at most a tenth to the standard errors.
            "energy" looks at one row of every group: a shift must then be sqrt(rows / max_points) times as large to be
            found as often.
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
    _check_whole("seed", seed, 0)
    if 1 / (1 + permutations) > level:
        raise DataError(
            f"permutations: are {permutations}, with which no p-value can reach the level {level:g}; "
            f"give at least {math.ceil(1 / level - 1e-9) - 1}"
        )
    if max_points is not None:
        _check_whole("max_points", max_points, LEAST_POINTS)
    generator = torch.Generator().manual_seed(seed)
    return compared_samples(x, z, statistic, permutations, level, generator, max_points)


def _check_whole(name: str, value: object, least: int) -> None:
    """Raise unless a setting is a whole number that is large enough."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value < 2**63:  # type: ignore[operator]
        raise DataError(
            f"{name}: is {value!r}; give a whole number of at least {least}"
        )
