"""What unbalanced mass makes of the terms of J: closed forms, limits, and an independent solver."""

import math

import numpy as np
import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import DataError, UnbalancedMass
from brenier.transport.dual import priced, share_of_mass, uniform_weights
from brenier.transport.dual.marginals import soft_mean

SOURCE, TARGET = normal(40), normal(30, seed=1)
WEIGHTS = uniform_weights(SOURCE), uniform_weights(TARGET)
MASSES = {
    "both": UnbalancedMass(1.0, 2.0),
    "exact source": UnbalancedMass(math.inf, 0.7),
    "exact target": UnbalancedMass(0.5, math.inf),
}


def value_of(mass: UnbalancedMass, source: Tensor, target: Tensor) -> float:
    """J at the best constant."""
    weights = uniform_weights(source), uniform_weights(target)
    return mass.value(float(mass.loss(source, target, weights)))


def of_constant(mass: UnbalancedMass, k: float) -> float:
    """J of the terms with a constant added to g, which adds it to env as well."""
    source = priced(SOURCE + k, mass.source)
    target = priced(-TARGET - k, mass.target)
    return float(source.mean() + target.mean())


@pytest.mark.parametrize("mass", MASSES.values(), ids=MASSES)
def test_the_value_is_that_at_the_best_constant(mass: UnbalancedMass) -> None:
    found = value_of(mass, SOURCE, TARGET)
    k = mass.constant(SOURCE, TARGET, WEIGHTS)
    assert found == pytest.approx(of_constant(mass, k))
    for other in np.linspace(k - 1, k + 1, 21):
        assert of_constant(mass, float(other)) >= found - 1e-12
    # Adding a constant to g changes nothing.
    assert value_of(mass, SOURCE + 3, TARGET + 3) == pytest.approx(found)


@pytest.mark.parametrize("mass", MASSES.values(), ids=MASSES)
def test_terms_add_up_to_the_value(mass: UnbalancedMass) -> None:
    k = mass.constant(SOURCE, TARGET, WEIGHTS)
    source, target = mass.terms(SOURCE, TARGET, k)
    total = float(source.mean() + target.mean())
    assert total == pytest.approx(value_of(mass, SOURCE, TARGET))


@pytest.mark.parametrize("mass", MASSES.values(), ids=MASSES)
def test_the_gradient_weighs_rows_by_the_mass_they_have(mass: UnbalancedMass) -> None:
    source, target = SOURCE.clone().requires_grad_(), TARGET.clone().requires_grad_()
    loss = mass.loss(source, target, WEIGHTS)
    of_source, of_target = torch.autograd.grad(loss, (source, target))
    # J is R (e^(loss/R) - 1), so its gradient is that of the loss times this.
    factor = 1 + value_of(mass, SOURCE, TARGET) / mass.total
    of_source, of_target = factor * of_source, factor * of_target
    k = mass.constant(SOURCE, TARGET, WEIGHTS)
    transported = share_of_mass(SOURCE + k, mass.source)
    explained = share_of_mass(-TARGET - k, mass.target)
    torch.testing.assert_close(of_source, transported / len(SOURCE))
    torch.testing.assert_close(of_target, -explained / len(TARGET))
    assert float(transported.mean()) == pytest.approx(float(explained.mean()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_balanced_mass_is_the_limit(dtype: torch.dtype) -> None:
    source, target = SOURCE.to(dtype), TARGET.to(dtype)
    balanced = float(SOURCE.mean() - TARGET.mean())
    for rho in (1e6, 1e12):
        found = value_of(UnbalancedMass(rho, rho), source, target)
        assert found == pytest.approx(balanced, rel=3e-5)


def test_soft_means_lose_no_digits_and_do_not_overflow() -> None:
    values = normal(100)
    weights = uniform_weights(values)
    for rho in (0.01, 0.3, 1.0, 50.0, 1e8):
        expected = rho * (torch.logsumexp(values / rho, 0) - math.log(100))
        assert float(soft_mean(values, rho, weights)) == pytest.approx(
            float(expected), rel=1e-6 * max(1, rho)
        )
    far = soft_mean(torch.tensor([0.0, 1e4]), 1.0, torch.tensor([0.5, 0.5]))
    assert float(far) == pytest.approx(1e4 - math.log(2))


@pytest.mark.slow
def test_the_value_at_the_best_potentials_is_that_of_an_independent_solver() -> None:
    """-J at the potentials that POT's plan implies is the cost of that plan."""
    ot = pytest.importorskip("ot")
    x, z = np.linspace(-1, 1, 40), np.linspace(-0.5, 2, 40) ** 2
    cost = 0.5 * (z - x[:, None]) ** 2
    a = np.full(40, 1 / 40)
    for source, target in ((2.0, 0.5),):
        plan = ot.unbalanced.mm_unbalanced(
            a, a, cost, (source, target), div="kl", numItermax=30000, stopThr=1e-14
        )
        first, second = plan.sum(1), plan.sum(0)

        def divergence(p: np.ndarray) -> float:
            ratio = np.where(p > 0, p / a, 1.0)
            return float((p * np.log(ratio) - p + a).sum())

        primal = float((plan * cost).sum())
        primal += source * divergence(first) + target * divergence(second)
        g = _best_dual(cost, source, target, Tensor(np.zeros(40)).double())
        env = (torch.from_numpy(cost) + g.unsqueeze(1)).min(0).values
        dual = -value_of(UnbalancedMass(source, target), g, env)
        assert dual == pytest.approx(primal, rel=2e-3)
        assert dual <= primal + 1e-6


def _best_dual(cost: np.ndarray, source: float, target: float, g: Tensor) -> Tensor:
    """The potential at 40 points at which J is least, by a plain descent."""
    table, mass = torch.from_numpy(cost), UnbalancedMass(source, target)
    g = g.clone().requires_grad_()
    optimiser = torch.optim.Adam([g], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 1500)
    for _ in range(1500):
        env = (table + g.unsqueeze(1)).min(0).values
        loss = mass.loss(g, env, (uniform_weights(g), uniform_weights(env)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return g.detach()


@pytest.mark.parametrize("rho", [0, -1.0, math.nan, "2", None, True])
def test_prices_must_be_above_zero(rho: object) -> None:
    with pytest.raises(DataError, match="mass: its source must be a number above 0"):
        UnbalancedMass(source=rho, target=1.0)  # type: ignore[arg-type]


def test_two_exact_sides_are_balanced_mass() -> None:
    with pytest.raises(DataError, match="both sides are exact"):
        UnbalancedMass(source=math.inf, target=math.inf)
