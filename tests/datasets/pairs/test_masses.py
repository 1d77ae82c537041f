"""Unbalanced pairs: densities, optimality on samples, and outliers that come from nowhere."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from brenier.datasets import outlier_pair, separable_pair, unbalanced_pair
from brenier.errors import DataError
from brenier.transport.costs import Elastic, Power, SquaredEuclidean

DOUBLE: dict[str, Any] = {"dtype": torch.float64}
N = 60_000


def bounds(values):
    """Mean of values (n,), and four standard errors."""
    return float(values.mean()), 4 * float(values.std()) / len(values) ** 0.5


CASES = [
    (SquaredEuclidean(), 1.0, 1.0, 2),
    (Power(1.5), 1.0, 0.5, 2),
    (Power(3.0), 0.5, math.inf, 3),
    (Elastic(0.1), math.inf, 1.0, 16),
]


@pytest.mark.parametrize(
    "case", [*CASES[:-1], pytest.param(CASES[-1], marks=pytest.mark.slow)], ids=str
)
def test_reweighted_samples_are_each_other_s_image(case, generator):
    """Of mu weighted by growth, the image is nu weighted by what is explained: moments of both agree."""
    cost, source, target, dim = case
    pair = unbalanced_pair(cost, source, target, dim, **DOUBLE)
    x, z = pair.source(20_000, generator), pair.target(20_000, generator)
    growth, explained = pair.growth(x), pair.explained(z)
    direction = torch.randn(dim, generator=generator).double()
    for moment in (
        lambda a: a @ direction,
        lambda a: (a @ direction).square(),
        lambda a: torch.linalg.vector_norm(a, dim=1).cos(),
    ):
        sides = []
        for points, weight in ((pair.forward(x), growth), (z, explained)):
            weight = weight / weight.mean()
            mean = float((weight * moment(points)).mean())
            error = bounds(weight * (moment(points) - mean))[1]
            sides.append((mean, error))
        (first, one), (second, other) = sides
        assert abs(first - second) < math.hypot(one, other)
    # The test can fail: without the weights of a side that is not exact, means differ.
    if math.isfinite(source) and math.isfinite(target):
        plain = bounds(pair.forward(x)[:, 0])[0] - bounds(z[:, 0])[0]
        assert abs(plain) > 0.01


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_exact_side_has_no_weights(case, generator):
    cost, source, target, dim = case
    pair = unbalanced_pair(cost, source, target, dim, **DOUBLE)
    x, z = pair.source(500, generator), pair.target(500, generator)
    for rho, weight in ((source, pair.growth(x)), (target, pair.explained(z))):
        assert bool((weight > 0).all())
        assert (float(weight.std()) == 0) == math.isinf(rho)


def test_the_source_has_the_density_it_says(generator):
    """On the line, against quadrature: a histogram of samples."""
    pair = unbalanced_pair(Power(1.5), 0.4, 1.0, 1, **DOUBLE)
    x = pair.source(N, generator)[:, 0].numpy()
    edge = 1 + 2 / math.sqrt(2)
    edges = np.linspace(-edge, edge, 21)
    grid = np.linspace(-edge, edge, 20 * 50 + 1)
    middle = (grid[1:] + grid[:-1]) / 2
    points = torch.from_numpy(middle)[:, None]
    density = np.exp(-(middle**2) / 2) / pair.growth(points).numpy()
    share = density.reshape(20, 50).sum(1)
    share /= share.sum()
    counts, _ = np.histogram(x, edges)
    assert counts.sum() == N
    sd = np.sqrt(N * share * (1 - share))
    assert float((np.abs(counts - N * share) / sd).max()) < 4.5
    flat = np.exp(-(middle**2) / 2).reshape(20, 50).sum(1)
    assert float(np.abs(counts / N - flat / flat.sum()).max()) > 0.01  # it matters


@pytest.mark.parametrize(
    ("cost", "rho"),
    [(SquaredEuclidean(), (1.0, 1.0)), (Power(1.5), (2.0, 0.5))],
    ids=str,
)
def test_the_plan_is_that_of_an_exact_solver(cost, rho):
    """300 points on the line: the dual value of g, the primal value of the plan and POT's optimum agree."""
    ot = pytest.importorskip("ot", reason="POT is an optional dependency")
    source, target = rho
    pair = unbalanced_pair(cost, source, target, 1, **DOUBLE)
    x = torch.linspace(-1.9, 1.9, 300).double()[:, None]
    z = pair.forward(x)
    plan = torch.full((300,), 1 / 300).double()
    a, b = plan / pair.growth(x), plan / pair.explained(z)
    costs = torch.stack([cost.value(z - each) for each in x])

    def divergence(part, whole):
        return float((part * (part / whole).log() - part + whole).sum())

    def value(matrix):
        moved = float((matrix * costs).sum())
        first, second = divergence(matrix.sum(1), a), divergence(matrix.sum(0), b)
        return moved + source * first + target * second

    g, envelope = source * pair.growth(x).log(), -target * pair.explained(z).log()
    dual = -source * (a * torch.expm1(g / source)).sum()
    dual = float(dual - target * (b * torch.expm1(-envelope / target)).sum())
    primal = value(plan.diag() + 1e-300)
    assert primal == pytest.approx(dual, abs=1e-10)
    found = ot.unbalanced.mm_unbalanced(
        a.numpy(),
        b.numpy(),
        costs.numpy(),
        reg_m=rho,
        div="kl",
        numItermax=2000,
        stopThr=1e-15,
    )
    solved = value(torch.from_numpy(found) + 1e-300)
    assert primal - 1e-9 < solved < (1 + 1e-4) * primal  # it comes from above
    assert value(1.02 * plan.diag() + 1e-300) > primal + 1e-6


def test_balanced_is_the_limit(generator):
    pair = unbalanced_pair(SquaredEuclidean(), math.inf, math.inf, 2, **DOUBLE)
    z, x = pair.target_with_preimage(1000, generator)
    torch.testing.assert_close(pair.forward(x), z)
    assert float(x.norm(dim=1).max()) <= 2  # 1 + 2 / 2


@pytest.mark.parametrize("dim", [1, 2, pytest.param(16, marks=pytest.mark.slow)])
def test_variances_and_inverses_of_unbalanced_pairs(dim, generator):
    pair = unbalanced_pair(Power(1.5), 1.0, 1.0, dim, **DOUBLE)
    z, x = pair.target_with_preimage(N, generator)
    some = slice(0, 2000)
    torch.testing.assert_close(pair.backward(z[some]), x[some], rtol=0, atol=1e-8)
    own = pair.source(N, generator)
    for samples, variance in ((own, pair.variance_source), (z, pair.variance_target)):
        squares = (samples - samples.mean(0)).square().sum(1)
        mean, error = bounds(squares)
        assert abs(mean - variance) < error + 3e-3 * variance


def test_samples_are_many_or_none_and_follow_the_generator():
    pair = unbalanced_pair(Power(1.5), 0.3, 0.3, 2)
    for n in (0, 1, 5000):
        first, again = (
            pair.target(n, torch.Generator().manual_seed(1)) for _ in range(2)
        )
        assert first.shape == (n, 2)
        assert first.dtype == torch.float32
        assert torch.equal(first, again)
    assert pair.source(7, torch.Generator()).shape == (7, 2)


def test_outliers_are_a_cluster_far_from_the_rest(generator):
    pair = outlier_pair(0.05, 10.0)
    clean = separable_pair(2)
    z = pair.target(N, generator)
    far = z.norm(dim=1) > 8.5
    share = float(far.double().mean())
    assert abs(share - 0.05) < 5 * math.sqrt(0.05 * 0.95 / N) + 0.001
    assert float(z[far].mean(0).norm()) == pytest.approx(10, abs=0.1)
    x = pair.source(100, generator)
    assert torch.equal(pair.forward(x), clean.forward(x))
    assert (pair.variance_source, pair.variance_target) == (
        clean.variance_source,
        clean.variance_target,
    )
    back, preimage = pair.target_with_preimage(100, generator)
    torch.testing.assert_close(pair.forward(preimage), back)  # without outliers


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (lambda: unbalanced_pair(Power(1.5), 0.0, 1.0, 2), "rho_source: is 0"),
        (lambda: unbalanced_pair(Power(1.5), 1.0, -1.0, 2), "rho_target: is -1"),
        (lambda: unbalanced_pair(Power(1.5), 1.0, 1e-3, 2), "rho_target: so small"),
        (lambda: unbalanced_pair(Power(1.5), 1.0, 1.0, 0), "dim: is 0"),
        (lambda: outlier_pair(1.0), "share: is 1"),
        (lambda: outlier_pair(0.1, 0.0), "distance: is 0"),
        (lambda: outlier_pair(dim=0), "dim: is 0"),
    ],
)
def test_what_cannot_be_is_named(build, fault):
    with pytest.raises(DataError, match=fault):
        build()
