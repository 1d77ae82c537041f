"""Sinkhorn's iteration: the potentials of POT, both marginals, and finite numbers whatever the costs."""

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier.statistics import (
    SinkhornSettings,
    entropic_plan,
    entropic_self_potential,
)
from brenier.statistics.sinkhorn import soft_minimum

EXACT = SinkhornSettings(sinkhorn_steps=20_000, marginal_tol=1e-12)


def costs(x: Tensor, z: Tensor) -> Tensor:
    """|x - z|^2/2: (n, m)."""
    return 0.5 * (x.unsqueeze(1) - z).square().sum(-1)


def two_samples(n: int = 12, m: int = 17, dim: int = 2) -> Tensor:
    """Costs between two samples."""
    return costs(normal(n, dim), 1 + 2 * normal(m, dim, seed=1))


def shares(between: Tensor, f: Tensor, g: Tensor, epsilon: float) -> Tensor:
    """The plan of some potentials: (n, m), of sum one."""
    scores = (f.unsqueeze(1) + g - between) / epsilon
    return torch.exp(scores) / between.numel()


def centred(potential: Tensor) -> Tensor:
    """A potential without the constant that it is only known up to."""
    return potential - potential.mean()


# ---- soft minima


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_a_soft_minimum_is_a_mean_of_exponentials(epsilon: float) -> None:
    between, g = two_samples(), normal(17, seed=3)
    means = torch.exp((g - between) / epsilon).mean(1)
    torch.testing.assert_close(
        soft_minimum(between, g, epsilon), -epsilon * means.log()
    )


def test_a_cold_one_is_the_c_transform() -> None:
    between, g = two_samples(), normal(17, seed=3)
    torch.testing.assert_close(
        soft_minimum(between, g, 1e-9), (between - g).amin(1), rtol=0, atol=1e-7
    )


def test_it_leaves_costs_and_potential_alone() -> None:
    between, g = two_samples(), normal(17, seed=3)
    kept = between.clone(), g.clone()
    soft_minimum(between, g, 0.5)
    entropic_plan(between, 0.5, g)
    assert torch.equal(between, kept[0])
    assert torch.equal(g, kept[1])


# ---- plans


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 5.0, 500.0])
@pytest.mark.parametrize(("n", "m"), [(12, 17), (17, 12), (1, 5), (5, 1), (1, 1)])
def test_both_marginals_are_uniform(n: int, m: int, epsilon: float) -> None:
    between = two_samples(n, m)
    plan = shares(between, *entropic_plan(between, epsilon, settings=EXACT), epsilon)
    torch.testing.assert_close(plan.sum(0), torch.full((m,), 1 / m).double())
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n).double())


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_potentials_are_those_of_pot(epsilon: float) -> None:
    ot = pytest.importorskip("ot")
    between = two_samples()
    _, log = ot.bregman.sinkhorn_log(
        [], [], between.numpy(), epsilon, numItermax=20_000, stopThr=1e-13, log=True
    )
    f, g = entropic_plan(between, epsilon, settings=EXACT)
    for own, other in ((f, log["log_u"]), (g, log["log_v"])):
        expected = epsilon * centred(torch.from_numpy(other))
        torch.testing.assert_close(centred(own), expected, rtol=1e-7, atol=1e-8)


def test_where_it_stops_the_marginal_is_wrong_by_so_much_at_most() -> None:
    between, epsilon = two_samples(40, 30), 0.2
    settings = SinkhornSettings(sinkhorn_steps=5000, marginal_tol=1e-2)
    plan = shares(between, *entropic_plan(between, epsilon, settings=settings), epsilon)
    error = float((plan.sum(0) * 30 - 1).abs().mean())
    assert error < 1e-2
    exact = entropic_plan(between, epsilon, settings=EXACT)
    far = entropic_plan(between, epsilon, settings=SinkhornSettings(25, 25, 0.0))
    near = entropic_plan(between, epsilon, settings=SinkhornSettings(500, 25, 0.0))
    distances = [
        float((centred(each.target) - centred(exact.target)).abs().max())
        for each in (far, near)
    ]
    assert distances[1] < distances[0]


@pytest.mark.parametrize("per_kernel", [1, 7, 50])
def test_how_often_the_kernel_is_evaluated_changes_nothing(per_kernel: int) -> None:
    between = two_samples()
    settings = SinkhornSettings(5000, per_kernel, 1e-11)
    found = entropic_plan(between, 0.3, settings=settings)
    expected = entropic_plan(between, 0.3, settings=EXACT)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(centred(own), centred(other), rtol=0, atol=1e-6)


def test_a_start_leads_to_the_same_plan_sooner() -> None:
    between, cold = two_samples(30, 25), 0.5
    warm = entropic_plan(between, 1.0, settings=EXACT).target
    from_warm = entropic_plan(between, cold, warm, EXACT)
    anew = entropic_plan(between, cold, settings=EXACT)
    for own, other in zip(from_warm, anew, strict=True):
        torch.testing.assert_close(centred(own), centred(other), rtol=0, atol=1e-6)
    few = SinkhornSettings(sinkhorn_steps=10, steps_per_kernel=10, marginal_tol=0.0)
    errors = [
        (centred(entropic_plan(between, cold, start, few).target) - centred(anew[1]))
        .abs()
        .max()
        for start in (warm, None)
    ]
    assert errors[0] < errors[1]


def test_rows_that_are_there_twice_have_one_potential() -> None:
    x = normal(6, 2)
    between = costs(torch.cat([x, x]), normal(9, 2, seed=1))
    f, _ = entropic_plan(between, 0.3, settings=EXACT)
    torch.testing.assert_close(f[:6], f[6:])
    once, _ = entropic_plan(between[:6], 0.3, settings=EXACT)
    torch.testing.assert_close(centred(f[:6]), centred(once), rtol=0, atol=1e-8)


@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1.0, 1e3])
def test_far_clusters_and_small_temperatures_are_finite(
    ratio: float, shift: float
) -> None:
    """Costs are up to so many times the temperature, and clusters have other shares on either side."""
    x, z = normal(60, 2), normal(50, 2, seed=1)
    x[:20] += 100
    z[:40] -= 100 + shift
    between = costs(x, z)
    epsilon = float(between.max()) / ratio
    f, g = entropic_plan(between, epsilon)
    assert torch.isfinite(f).all()
    assert torch.isfinite(g).all()
    assert torch.isfinite(shares(between, f, g, epsilon)).all()
    own = entropic_self_potential(costs(x, x), epsilon)
    assert torch.isfinite(own).all()


def test_any_start_will_do() -> None:
    between = two_samples()
    for start in (1e6 * normal(17, seed=4), torch.full((17,), -1e8).double()):
        f, g = entropic_plan(between, 0.1, start)
        assert torch.isfinite(f).all()
        assert torch.isfinite(g).all()


# ---- a sample and itself


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 50.0])
@pytest.mark.parametrize("n", [1, 2, 25])
def test_the_plan_to_itself_is_symmetric_with_uniform_marginals(
    n: int, epsilon: float
) -> None:
    x = normal(n, 2)
    own = costs(x, x)
    f = entropic_self_potential(own, epsilon, settings=EXACT)
    plan = shares(own, f, f, epsilon)
    torch.testing.assert_close(plan, plan.mT)
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n).double())


def test_it_is_the_plan_of_two_equal_samples() -> None:
    x = normal(20, 2)
    own, epsilon = costs(x, x), 0.3
    f = entropic_self_potential(own, epsilon, settings=EXACT)
    g = entropic_plan(own, epsilon, settings=EXACT).target
    torch.testing.assert_close(centred(f), centred(g), rtol=0, atol=1e-7)


def test_it_goes_on_from_a_start() -> None:
    x = normal(20, 2)
    own = costs(x, x)
    f = entropic_self_potential(own, 0.3, settings=EXACT)
    one = SinkhornSettings(sinkhorn_steps=1)
    kept = entropic_self_potential(own, 0.3, f, one)
    torch.testing.assert_close(kept, f, rtol=0, atol=1e-9)
