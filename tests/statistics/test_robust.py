"""Extreme values are told apart from the tails and clusters of honest laws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from brenier.statistics import Extreme, Found, extremes

Generator = np.random.Generator
Law = Callable[[Generator, int], np.ndarray]


def zero_inflated(share: float, law: Law) -> Law:
    return lambda rng, n: np.where(rng.random(n) < share, 0.0, law(rng, n))


def far_cluster(distance: float, share: float) -> Law:
    return lambda rng, n: rng.normal(size=n) + distance * (np.arange(n) < share * n)


CLEAN: dict[str, Law] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "t of 5": lambda rng, n: rng.standard_t(5, size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "counts": lambda rng, n: rng.poisson(1.0, size=n),
    "rare counts": lambda rng, n: rng.poisson(0.05, size=n),
    "overdispersed counts": lambda rng, n: rng.negative_binomial(0.5, 0.1, size=n),
    "rare one of two": lambda rng, n: rng.random(n) < 0.01,
    "constant": lambda rng, n: np.full(n, 3.0),
    "rain": zero_inflated(0.6, lambda rng, n: rng.gamma(0.8, 5, n)),
    "clipped": lambda rng, n: np.minimum(rng.lognormal(size=n), 3),
    "cluster of 2 %": far_cluster(20, 0.02),
    "cluster of 5 %": far_cluster(20, 0.05),
}


def found_in(values: np.ndarray) -> list[Extreme]:
    columns = np.asarray(values, dtype=float).reshape(len(values), -1)
    return extremes(torch.from_numpy(columns))


def spoilt(
    share: float, value: Law, law: Law = CLEAN["normal"], n: int = 1000
) -> np.ndarray:
    """Values of a law, some of which are others."""
    rng = np.random.default_rng(0)
    values = np.asarray(law(rng, n), dtype=float)
    bad = rng.choice(n, max(1, int(share * n)), replace=False)
    values[bad] = value(rng, len(bad))
    return values


def repeated(value: float) -> Law:
    return lambda rng, n: np.full(n, value)


@pytest.mark.parametrize("n", [30, 300, 3000])
@pytest.mark.parametrize("law", CLEAN.values(), ids=CLEAN)
def test_nothing_of_an_honest_law_is_extreme(law: Law, n: int) -> None:
    wrong = [
        seed for seed in range(30) if found_in(law(np.random.default_rng(seed), n))
    ]
    assert len(wrong) <= 1, wrong


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 20, 50, 100, 1000])
@pytest.mark.parametrize("law", CLEAN.values(), ids=CLEAN)
def test_fewer_than_one_honest_sample_in_a_hundred_is_extreme(law: Law, n: int) -> None:
    seeds = 1000 if n < 1000 else 300
    wrong = [
        seed for seed in range(seeds) if found_in(law(np.random.default_rng(seed), n))
    ]
    most = (
        0.03 if "cluster" in "".join(k for k, v in CLEAN.items() if v is law) else 0.01
    )
    assert len(wrong) <= most * seeds  # a cluster of one row is a wild row


@pytest.mark.parametrize("share", [0.002, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("value", [-999.0, -9999.0, 9999.0, 1e20])
def test_a_repeated_value_far_from_all_others_is_a_code(
    value: float, share: float
) -> None:
    [found] = found_in(spoilt(share, repeated(value)))
    assert (found.kind, found.value) == (Found.CODE, value)


@pytest.mark.parametrize("law", ["counts", "lognormal", "rain", "uniform"])
def test_codes_are_seen_in_columns_of_every_kind(law: str) -> None:
    [found] = found_in(spoilt(0.02, repeated(-999), CLEAN[law]))
    assert (found.kind, found.value) == (Found.CODE, -999)


def test_zero_is_a_code_where_all_others_are_far_from_it() -> None:
    values = spoilt(0.02, repeated(0), lambda rng, n: rng.normal(1013, 10, n))
    assert [(each.kind, each.value) for each in found_in(values)] == [(Found.CODE, 0)]


@pytest.mark.parametrize("value", [40.0, 1e3, -1e6, 1e20])
def test_one_wild_row_in_a_thousand_is_found(value: float) -> None:
    values = spoilt(0, repeated(value))
    [found] = found_in(values)
    column = torch.from_numpy(values).unsqueeze(-1)
    assert (found.kind, found.value) == (Found.WILD, value)
    assert found.holds(column).flatten().tolist() == (values == value).tolist()


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05])
def test_rows_in_other_units_are_wild_at_both_ends(share: float) -> None:
    values = spoilt(share, lambda rng, n: 1000 * rng.normal(size=n))
    found = found_in(values)
    assert {each.kind for each in found} == {Found.WILD}
    held = sum(
        int(each.holds(torch.from_numpy(values).unsqueeze(-1)).sum()) for each in found
    )
    assert held >= 0.9 * share * 1000


def test_a_cluster_far_away_is_a_cluster_and_nothing_wild() -> None:
    [found] = found_in(far_cluster(1e4, 0.02)(np.random.default_rng(0), 1000))
    assert found.kind is Found.CLUSTER


HEAVY: dict[str, Law] = {
    "exp(3N)": lambda rng, n: rng.lognormal(0, 3, n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "Pareto": lambda rng, n: rng.pareto(1, n),
}


@pytest.mark.parametrize("law", HEAVY.values(), ids=HEAVY)
def test_heavy_tails_are_told_from_wild_rows(law: Law) -> None:
    kinds = [
        [each.kind for each in found_in(law(np.random.default_rng(seed), 2000))]
        for seed in range(10)
    ]
    assert kinds.count([Found.TAIL]) >= 9


def test_every_column_is_looked_at() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 30))
    rows[7, 11], rows[::50, 23] = 1e6, -999
    found = {each.column: each.kind for each in found_in(rows)}
    assert found == {11: Found.WILD, 23: Found.CODE}


def test_of_few_rows_nothing_is_said() -> None:
    assert not found_in(np.array([0.0, 1e9, 1.0, 2.0]))
