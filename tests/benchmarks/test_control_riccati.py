"""Riccati equations and closed forms of problems of control, against the figures of the specification."""

import numpy as np
import pytest

from benchmarks.control import riccati
from benchmarks.control.riccati import Consumption


def mean_cost(P: riccati.Array) -> float:
    """The mean of z'Pz / 2 over z ~ N(0, I)."""
    return np.trace(P) / 2


def test_the_quadratic_integrator_has_its_closed_form_on_every_grid() -> None:
    z0 = np.array([[1.0, 2.0], [0.0, -3.0]])
    exact = 0.4545454545 * (z0**2).sum(-1)
    problem = riccati.integrator(axes=2, alpha=10.0)
    for found in (
        riccati.discrete(problem, 1),
        riccati.discrete(problem, 30),
        riccati.continuous(problem, 3),
    ):
        np.testing.assert_allclose(found.costs(z0), exact, rtol=1e-9)


@pytest.mark.parametrize(
    ("q", "continuous", "grids", "followed"),
    [
        (0.0, 3.60294, (3.70257, 3.64164, 3.62210, 3.61248), (3.64419, 3.62273)),
        (1.0, 4.16233, (4.29322, 4.21329, 4.18758, 4.17490), (4.21594, 4.18823)),
    ],
)
def test_double_integrator(
    q: float, continuous: float, grids: tuple[float, ...], followed: tuple[float, ...]
) -> None:
    problem = riccati.double_integrator(q=q)
    exact = riccati.continuous(problem, 4).values[0]
    assert mean_cost(exact) == pytest.approx(continuous, abs=6e-6)
    for steps, cost in zip((20, 50, 100, 200), grids, strict=True):
        found = riccati.discrete(problem, steps).values[0]
        assert mean_cost(found) == pytest.approx(cost, abs=6e-6)
    for steps, cost in zip((50, 100), followed, strict=True):
        gains = riccati.continuous(problem, steps).gains
        found = riccati.value_under_euler(problem, gains)
        assert mean_cost(found) == pytest.approx(cost, abs=6e-6)


def test_axes_of_the_double_integrator_are_apart() -> None:
    one, three = (riccati.double_integrator(k, q=1.0) for k in (1, 3))
    costs = [mean_cost(riccati.discrete(p, 20).values[0]) for p in (one, three)]
    assert costs[1] == pytest.approx(3 * costs[0])


def test_coupled() -> None:
    problem = riccati.coupled()
    assert problem.A[0, 0] == pytest.approx(0.01987969, abs=1e-8)
    assert problem.B[0, 0] == pytest.approx(0.25134142, abs=1e-8)
    exact = riccati.continuous(problem, 4).values[0]
    assert mean_cost(exact) == pytest.approx(35.24768, abs=6e-6)
    spectrum = np.linalg.eigvalsh(exact)
    np.testing.assert_allclose(spectrum[[0, -1]], [0.3796, 17.0445], atol=6e-5)
    for steps, cost in ((50, 35.40213), (100, 35.32428), (200, 35.28582)):
        found = riccati.discrete(problem, steps).values[0]
        assert mean_cost(found) == pytest.approx(cost, abs=6e-6)
    for steps, cost in ((50, 35.41274), (100, 35.32687)):
        gains = riccati.continuous(problem, steps).gains
        found = riccati.value_under_euler(problem, gains)
        assert mean_cost(found) == pytest.approx(cost, abs=6e-6)


def test_the_optimal_gains_of_a_grid_cost_what_its_riccati_equation_says() -> None:
    problem = riccati.coupled()
    found = riccati.discrete(problem, 15)
    followed = riccati.value_under_euler(problem, found.gains)
    np.testing.assert_allclose(followed, found.values[0], atol=1e-10)
    worse = riccati.value_under_euler(problem, 1.05 * found.gains)
    assert mean_cost(worse) > mean_cost(followed)


@pytest.mark.parametrize(
    ("alpha", "horizon", "norm", "cost", "control"),
    [
        (10, 1, 1, 1.544485, 0.872369),
        (10, 1, 2, 4.326642, 1.518757),
        (100, 1, 2, 6.570543, 1.887835),
        (1000, 1, 2, 7.283701, 1.985738),
        (1000, 4.5, np.sqrt(12), 6.051373, 0.769570),
    ],
)
def test_exponential_integrator(
    alpha: float, horizon: float, norm: float, cost: float, control: float
) -> None:
    z0 = norm * np.array([[0.6, 0.8], [0.0, 0.0]])
    costs, controls = riccati.exponential_integrator(z0, alpha, horizon)
    np.testing.assert_allclose(costs, [cost, horizon], atol=6e-7)
    np.testing.assert_allclose(controls, [control, 0], atol=6e-7)


@pytest.mark.parametrize(
    ("agents", "euler", "continuous"),
    [(2, 1.59824, 1.60625), (10, 25.65526, 25.83194), (100, 3412.116, None)],
)
def test_consumption(agents: int, euler: float, continuous: float | None) -> None:
    z0 = np.r_[25.05, np.full(agents, 0.06)][None]
    found = Consumption()
    assert found.costs(z0, steps=100) == pytest.approx([euler], rel=5e-6)
    if continuous is not None:
        assert found.costs(z0) == pytest.approx([continuous], rel=5e-6)
    assert found.costs(z0, steps=100_000) == pytest.approx(found.costs(z0), rel=1e-4)


def test_wealth_that_cannot_pay_for_habits_costs_infinitely_much() -> None:
    z0 = np.array([[25.0, 0.1], [0.1, 1.0]])
    for steps in (None, 20):
        assert np.isinf(Consumption().costs(z0, steps)).tolist() == [False, True]
