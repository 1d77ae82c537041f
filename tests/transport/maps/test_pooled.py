"""The distance over all covariates: closed forms, rows that count more than once, and lent covariates."""

import math
from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import Conditional, ConditionalMap, Quadratic
from brenier.statistics import standard_error
from brenier.transport.coordinates import CovariateRows, covariate_coordinates
from brenier.transport.maps import CountedRows, pooled_distance
from brenier.transport.maps.pooled import _balanced, _with_lenders

SHIFT = torch.tensor([3.0, -1.0], dtype=torch.float64)


def shifted_by(c: Tensor, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Source rows, and those rows moved by c SHIFT, which is the optimal map at c."""
    x = normal(len(c), 2, seed=seed)
    return x, x + c * SHIFT


def affine_maps() -> ConditionalMap:
    """The maps at every c between Gaussian fits, nearly shifts by c SHIFT."""
    c = torch.linspace(-1, 1, 2000, dtype=torch.float64).unsqueeze(-1)
    x, z = shifted_by(c)
    unit = torch.ones(2, dtype=torch.float64)
    sides = CovariateRows(x, c), CovariateRows(z, c)
    network = Conditional(Quadratic(5).double(), 2)
    return ConditionalMap(network, covariate_coordinates(*sides, unit), tol=1e-10)


def counted(rows: Tensor, index: Tensor, **changes: Any) -> CountedRows:
    """Rows that are all different and count once, but for what is said."""
    once = torch.ones(len(rows), dtype=torch.int64)
    own = {"times": once, "observation": torch.arange(len(rows)), "lender": None}
    return CountedRows(rows, index, **{**own, **changes})


@pytest.fixture(scope="module")
def transport() -> ConditionalMap:
    return affine_maps()


@pytest.fixture(scope="module")
def samples() -> tuple[Tensor, Tensor, Tensor]:
    """Values of the covariate, and rows of either side at them."""
    c = 2 * torch.rand(500, 1, generator=torch.Generator().manual_seed(2)).double() - 1
    return c, *shifted_by(c, seed=3)


Samples = tuple[Tensor, Tensor, Tensor]


def test_it_is_the_root_of_the_mean_square_over_values(
    transport: ConditionalMap, samples: Samples
) -> None:
    """Of coupled samples the dual value is E |c SHIFT|^2 / 2 whatever their noise."""
    c, x, z = samples
    index = transport.conditions.encode_index(c, "c", len(c))
    found = pooled_distance(transport, counted(x, index), counted(z, index), True)
    expected = float((c * SHIFT).square().sum(-1).mean()) ** 0.5
    assert found.w2 == pytest.approx(expected, rel=1e-2)
    assert found.primal == pytest.approx(expected, rel=3e-2)
    assert found.lower == pytest.approx(found.w2, rel=1e-6)
    assert (found.rows, found.unconverged, found.held_out) == ((500, 500), 0, True)
    assert found.unit == "units of the data"
    assert found.certified


def test_rows_that_count_once_measure_what_a_plain_map_measures(
    transport: ConditionalMap, samples: Samples
) -> None:
    """Where all rows have one value it is the distance of the map there."""
    _, x, z = samples
    c = torch.full((500, 1), 0.3, dtype=torch.float64)
    index = transport.conditions.encode_index(c, "c", 500)
    found = pooled_distance(transport, counted(x, index), counted(z, index), False)
    plain = transport.at(0.3).distance(x, z)
    for name in ("w2", "w2_error", "lower", "primal", "primal_error"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=1e-9)
    assert found.rows == plain.rows
    assert not found.held_out


def test_counting_twice_is_being_there_twice_but_for_the_error(
    transport: ConditionalMap, samples: Samples
) -> None:
    c, x, z = samples
    index = transport.conditions.encode_index(c, "c", len(c))
    times = 1 + torch.arange(500) % 3
    again = torch.repeat_interleave(torch.arange(500), times)
    count_z = counted(z, index)
    one = pooled_distance(transport, counted(x, index, times=times), count_z, True)
    two = pooled_distance(transport, counted(x[again], index[again]), count_z, True)
    three = pooled_distance(
        transport, counted(x[again], index[again], observation=again), count_z, True
    )
    assert one.w2 == pytest.approx(two.w2, rel=1e-12)
    assert one.primal == pytest.approx(two.primal, rel=1e-12)
    assert one.w2_error == pytest.approx(three.w2_error, rel=1e-9)
    assert one.w2_error > two.w2_error  # which takes copies for evidence
    assert (one.rows, two.rows, three.rows) == ((500, 500), (len(again), 500), one.rows)


# ---- errors


def test_terms_that_count_once_are_left_as_they_are() -> None:
    terms = normal(50)
    found = _balanced(terms, counted(normal(50, 2), normal(50, 1)))
    torch.testing.assert_close(found, terms)


def test_the_error_of_counted_terms_is_that_of_their_weighted_mean() -> None:
    """Over many draws of the terms, their counts being fixed."""
    times = 1 + torch.arange(40) % 7
    rows = counted(normal(40, 2), normal(40, 1), times=times)
    means, errors = [], []
    for seed in range(2000):
        balanced = _balanced(5 + normal(40, seed=seed), rows)
        means.append(float(balanced.mean()))
        errors.append(standard_error(balanced))
    spread = float(torch.tensor(means).std())
    assert sum(errors) / len(errors) == pytest.approx(spread, rel=0.05)
    assert sum(means) / len(means) == pytest.approx(5.0, abs=5 * spread / 2000**0.5)


def test_copies_of_a_row_are_one_observation() -> None:
    """Terms of ten rows, each there with twenty conditions: what rows add does not average away."""
    observation = torch.arange(200) % 10
    rows = counted(normal(200, 2), normal(200, 1), observation=observation)
    means, errors = [], []
    for seed in range(2000):
        terms = normal(10, seed=seed)[observation] + 0.1 * normal(
            200, seed=10**6 + seed
        )
        balanced = _balanced(terms, rows)
        assert len(balanced) == 10
        means.append(float(balanced.mean()))
        errors.append(standard_error(balanced))
    spread = float(torch.tensor(means).std())
    assert sum(errors) / len(errors) == pytest.approx(spread, rel=0.05)
    assert spread > 0.25


@pytest.mark.parametrize("shared", [1.0, -0.5, 0.0])
def test_lent_conditions_are_shared_by_both_sides(shared: float) -> None:
    """Terms a_i + b_k of rows i with the conditions of k, and terms `shared` b_k + e_k of the other side."""
    n, m, copies = 30, 40, 4
    observation = torch.arange(copies * n) % n
    means, errors = [], []
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        lender = torch.randint(m, (copies * n,), generator=generator)
        a, b, e = (normal(k, seed=3 * seed + j) for j, k in enumerate((n, m, m)))
        rows = counted(
            normal(copies * n, 2),
            normal(copies * n, 1),
            observation=observation,
            lender=lender,
        )
        mean, error = _with_lenders(
            a[observation] + b[lender],
            rows,
            lender,
            2 + shared * b + e,
            counted(normal(m, 2), normal(m, 1)),
        )
        means.append(mean)
        errors.append(error**2)
    spread = float(torch.tensor(means).std())
    assert sum(means) / 1000 == pytest.approx(2.0, abs=5 * spread / 1000**0.5)
    found = math.sqrt(sum(errors) / 1000)
    assert 0.93 * spread < found < (1.12 if shared >= 0 else 1.6) * spread


def test_which_side_is_lent_its_conditions_does_not_matter(
    transport: ConditionalMap, samples: Samples
) -> None:
    c, x, z = samples
    index = transport.conditions.encode_index(c, "c", len(c))
    lender = torch.arange(500).flip(0)
    errors = []
    for source, target in (
        (counted(x, index[lender], lender=lender), counted(z, index)),
        (counted(x, index), counted(z, index[lender], lender=lender)),
    ):
        found = pooled_distance(transport, source, target, True)
        assert found.w2_error > 0
        assert math.isfinite(found.primal_error)
        errors.append(found.w2_error)
    own = pooled_distance(transport, counted(x, index), counted(z, index), True)
    assert min(errors) > 0.9 * own.w2_error
