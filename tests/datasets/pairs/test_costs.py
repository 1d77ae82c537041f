"""Pairs for other costs: optimal on samples, inverse, with the variances they claim, and named where they cannot be."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from brenier.datasets import (
    CostPair,
    convex_cost_pair,
    coordinatewise_pair,
    monotone_pair,
    power_radial_pair,
    sparse_pair,
)
from brenier.errors import DataError
from brenier.transport.costs import (
    Cost,
    Elastic,
    LogCosh,
    Mahalanobis,
    Power,
    SeparablePower,
    SquaredEuclidean,
)

DOUBLE: dict[str, Any] = {"dtype": torch.float64}
COSTS = [
    SquaredEuclidean(),
    Power(1.2),
    Power(1.5),
    Power(3.0),
    SeparablePower(1.5),
    SeparablePower(3.0),
    Elastic(0.25),
    LogCosh(0.7),
]
PAIRS = {
    **{f"convex {cost}": convex_cost_pair(cost, 3, **DOUBLE) for cost in COSTS},
    "convex d=16": convex_cost_pair(Power(1.5), 16, seed=1, **DOUBLE),
    "convex d=1": convex_cost_pair(Power(1.5), 1, **DOUBLE),
    "convex metric": convex_cost_pair(
        Mahalanobis([[2.0, 1.0], [1.0, 3.0]]), 2, **DOUBLE
    ),
    "convex, another's g": convex_cost_pair(
        SquaredEuclidean(), 3, slopes_of=Elastic(0.25), **DOUBLE
    ),
    "sparse": sparse_pair(**DOUBLE),
    **{
        f"radial {p}": power_radial_pair(p, d, **DOUBLE)
        for p, d in ((1.2, 2), (1.5, 8), (3.0, 2))
    },
    **{f"coordinatewise {p}": coordinatewise_pair(p, 16, **DOUBLE) for p in (1.5, 3.0)},
    **{f"monotone {p}": monotone_pair(p, **DOUBLE) for p in (1.5, 2.0, 3.0)},
}


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


def cost_matrix(cost: Cost, x: Tensor, z: Tensor) -> Tensor:
    """c(x_i, z_j): (n, d), (m, d) -> (n, m)."""
    return torch.stack([cost.value(z - each) for each in x])


def moved_by_assignment(pair: CostPair, cost: Cost, x: Tensor) -> int:
    """How many rows x (n, d) an exact assignment gives another partner than the map does."""
    _, partner = linear_sum_assignment(cost_matrix(cost, x, pair.forward(x)).numpy())
    return int((torch.from_numpy(partner) != torch.arange(len(x))).sum())


def crowd(pair: CostPair, deviation: float, generator: torch.Generator) -> Tensor:
    """300 rows about one of the source, close enough for an exchange of partners to pay where a map is not optimal."""
    centre = pair.source(1, generator).double()
    noise = torch.randn(300, pair.dim, generator=generator, dtype=torch.float64)
    return centre + deviation * noise


def test_no_row_gains_by_another_partner(pair, generator):
    for x in (
        pair.source(300, generator).double(),
        crowd(pair, 0.3, generator),
        crowd(pair, 0.03, generator),
    ):
        assert moved_by_assignment(pair, pair.cost, x) == 0


@pytest.mark.parametrize(
    ("cost", "other"),
    [(Power(3.0), Power(1.2)), (Elastic(0.25), SquaredEuclidean())],
    ids=str,
)
def test_for_another_cost_the_map_is_not_optimal(cost, other, generator):
    # So that the test above can fail.
    pair = PAIRS[f"convex {cost}"]
    crowds = [crowd(pair, 0.03, generator) for _ in range(6)]
    assert sum(moved_by_assignment(pair, other, x) for x in crowds) > 50


def test_backward_is_the_inverse(pair, generator):
    z, x = pair.target_with_preimage(500, generator)
    z, x = z.double(), x.double()
    found = pair.backward(z)
    torch.testing.assert_close(found, x, rtol=1e-8, atol=1e-7)
    assert float((pair.forward(found) - z).norm(dim=1).max()) < 1e-8


def test_variances_are_those_of_samples(pair, generator):
    z, x = pair.target_with_preimage(60_000, generator)
    for samples, variance in ((x, pair.variance_source), (z, pair.variance_target)):
        squares = (samples - samples.mean(0)).square().sum(1)
        error = 4 * float(squares.std()) / 60_000**0.5
        assert abs(float(squares.mean()) - variance) < error + 2e-3 * variance


def test_displacements_are_about_as_long_as_the_source_is_wide(pair, generator):
    z, x = pair.target_with_preimage(5000, generator)
    moved = float((z - x).square().sum(1).mean())
    assert 0.05 < moved / pair.variance_source < 4


@settings(max_examples=12, deadline=None)
@given(
    cost=st.sampled_from(COSTS),
    dim=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
def test_every_seed_has_an_inverse(cost, dim, seed):
    pair = convex_cost_pair(cost, dim, seed, **DOUBLE)
    z = pair.target(200, torch.Generator().manual_seed(seed))
    assert float((pair.forward(pair.backward(z)) - z).norm(dim=1).max()) < 1e-8


def test_sparse_pairs_move_few_features_and_leave_the_others_exactly(generator):
    pair = sparse_pair(30, 3, 0.25)
    z, x = pair.target_with_preimage(5000, generator)
    moved = (z != x).double().mean(0)
    assert int((moved > 0).sum()) == 3
    assert float(moved.max()) > 0.5
    # The features that stay take part: with their values changed the moved ones go elsewhere.
    still = moved == 0
    changed = torch.where(still, x.flip(0), x)
    there = pair.forward(changed)
    assert torch.equal(there[:, still], changed[:, still])
    assert float((there - z)[:, ~still].abs().mean()) > 1e-3


def test_elastic_pairs_move_few_coordinates_of_a_row(generator):
    pair = convex_cost_pair(Elastic(0.25), 16)
    z, x = pair.target_with_preimage(2000, generator)
    assert 0.5 < float((z == x).double().mean()) < 0.95
    assert int((z != x).any(0).sum()) > 8  # others elsewhere


def test_log_cosh_stays_within_its_domain(generator):
    pair = convex_cost_pair(LogCosh(0.1), 8, **DOUBLE)
    z, x = pair.target_with_preimage(2000, generator)
    slopes = pair.cost.gradient(z - x)
    assert float(slopes.abs().max()) < 0.91 * 0.1
    with pytest.raises(DataError, match="slopes_of: g has a slope"):
        convex_cost_pair(LogCosh(0.1), 8, slopes_of=Power(2.0))


def test_one_g_serves_two_costs(generator):
    cost = Power(3.0)
    first = convex_cost_pair(cost, 4, seed=5, **DOUBLE)
    second = convex_cost_pair(SquaredEuclidean(), 4, seed=5, slopes_of=cost, **DOUBLE)
    x = first.source(100, generator)
    torch.testing.assert_close(
        cost.gradient(first.forward(x) - x), second.forward(x) - x
    )


def test_monotone_pairs_are_skewed_and_increase(generator):
    pair = monotone_pair(2.0, **DOUBLE)
    z, x = pair.target_with_preimage(20_000, generator)
    order = x[:, 0].argsort()
    assert bool((z[order, 0].diff() > 0).all())
    centred = z - z.mean()
    assert float(centred.pow(3).mean() / centred.square().mean() ** 1.5) > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_and_maps_keep_their_precision(dtype):
    pair = convex_cost_pair(Power(1.5), 3, dtype=dtype)
    first, again = (pair.target(50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.dtype == pair.backward(first).dtype == dtype
    other = convex_cost_pair(Power(1.5), 3, seed=1, dtype=dtype)
    x = pair.source(50, torch.Generator().manual_seed(3))
    assert not torch.allclose(other.forward(x), pair.forward(x))


def test_rows_without_an_inverse_are_named():
    with pytest.raises(DataError, match="z: of 1 rows the inverse was not found"):
        convex_cost_pair(Power(1.5), 2).backward(torch.tensor([[float("nan"), 0.0]]))


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (lambda: convex_cost_pair(Power(1.5), 0), "dim: is 0"),
        (lambda: sparse_pair(0), "dim: is 0"),
        (lambda: sparse_pair(3, 4), "moved: is 4"),
        (lambda: sparse_pair(3, 0), "moved: is 0"),
        (lambda: sparse_pair(sparsity=0.0), "sparsity: must be"),
        (lambda: power_radial_pair(1.0), "p: must be"),
        (lambda: coordinatewise_pair(1.0, 2), "p: must be"),
        (lambda: coordinatewise_pair(2.0, 0), "dim: is 0"),
        (lambda: coordinatewise_pair(2.0, 2, strength=0.0), "strength: is 0"),
        (lambda: monotone_pair(0.5), "p: must be"),
    ],
)
def test_what_cannot_be_is_named(build, fault):
    with pytest.raises(DataError, match=fault):
        build()
