"""The search of controls against closed forms and scipy, and what it says where it does not converge."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from control.problems_of_control import EVERY, Pendulum, situation
from scipy.optimize import brentq, minimize
from scipy.special import lambertw
from torch import Tensor

from brenier.control import (
    AutodiffHamiltonian,
    Bicycle,
    Consumption,
    ControlProblem,
    ControlSearch,
    ExponentialHamiltonian,
    Quadrotor,
    QuarticHamiltonian,
)
from brenier.control.problems.steering import BicycleHamiltonian
from brenier.errors import DataError
from brenier.solve import NewtonCG, Status

close = torch.testing.assert_close
SIZES = [1e-3, 1.0, 1e2, 1e4]
TIGHT = ControlSearch(tol=1e-10, exact=False, max_steps=300)
every_problem = pytest.mark.parametrize("problem", EVERY.values(), ids=EVERY.keys())


def costates(problem: ControlProblem, size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Times, states, and costates of this size; of wealth negative, for more of it costs less."""
    at = situation(problem)
    p = size * at.p
    if isinstance(problem, Consumption):
        p = torch.cat([-p[:, :1].abs(), p[:, 1:].abs() / 10], -1)
    return at.t, at.z, p


def length(h: ExponentialHamiltonian | QuarticHamiltonian) -> np.ndarray:
    """|b|."""
    return h.b.norm(dim=-1).numpy()


@every_problem
@pytest.mark.parametrize("size", SIZES)
def test_searches_find_what_closed_forms_say(
    problem: ControlProblem, size: float
) -> None:
    t, z, p = costates(problem, size)
    h = problem.hamiltonian(t, z, p)
    exact = h.exact()
    found = TIGHT.find(h, problem.first_control(t, z))
    found.check()
    if exact is None:  # the equation itself, within the bounds
        assert float(h.residual(found.point, h.gradient(found.point)).max()) < 1e-9
        return
    # A descent on what is not convex may pass a shallow minimum by: it must then be no worse.
    error = (found.point - exact).norm(dim=-1) / exact.norm(dim=-1)
    lower = h.value(found.point) < h.value(exact) - 1e-9
    passed = lower if isinstance(problem, Bicycle) else torch.zeros_like(lower)
    assert float(error[~passed].amax() if (~passed).any() else 0.0) < 1e-6
    assert (~passed).any() or size > 1
    measured = ControlSearch(tol=1e-8).find(h, problem.first_control(t, z))
    measured.check()
    close(measured.point, exact, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("agents", [1, 6])
def test_quadrotors_are_steered_as_lamberts_function_says(agents: int) -> None:
    for size in SIZES:
        h = Quadrotor(agents=agents).hamiltonian(
            *costates(Quadrotor(agents=agents), size)
        )
        b = length(h)
        wanted = np.sqrt(agents * lambertw(agents * b**2).real)
        for search in (TIGHT, ControlSearch()):
            found = search.find(h, torch.zeros_like(h.b)).point
            np.testing.assert_allclose(found.norm(dim=-1), wanted, rtol=1e-6)


def test_quartic_costs_have_the_roots_of_a_bracket() -> None:
    problem = EVERY["quartic-double-integrator"]
    for size in SIZES:
        h = problem.hamiltonian(*costates(problem, size))
        wanted = [brentq(lambda s, b=b: s + s**3 - b, 0, b) for b in length(h)]  # type: ignore[arg-type]
        found = TIGHT.find(h, torch.zeros_like(h.b)).point  # type: ignore[attr-defined]
        np.testing.assert_allclose(found.norm(dim=-1), wanted, rtol=1e-6)


def test_steering_has_the_roots_of_a_bracket_or_is_hardest() -> None:
    q = torch.linspace(-0.4, 0.4, 11, dtype=torch.float64)
    h = BicycleHamiltonian(torch.stack([q, 3 * q], -1), math.pi / 2 - 0.25)
    found = TIGHT.find(h, torch.zeros_like(h.pulled)).check().point
    fold = 0.65327
    wanted = [
        brentq(lambda s, q=q: s + q / math.cos(s) ** 2, -fold, fold) for q in q.tolist()
    ]
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-6, atol=1e-9)
    close(found[:, 1], -3 * q)
    hard = BicycleHamiltonian(torch.tensor([[5.0, 0.0]]).double(), 1.3)
    assert TIGHT.find(hard, torch.zeros(1, 2).double()).point[0, 0] == -1.3


@pytest.mark.parametrize("name", ["consumption", "consumption 1", "quadrotor 1"])
def test_scipy_finds_the_same(name: str) -> None:
    problem = EVERY[name]
    t, z, p = costates(problem, 0.1)
    h, start = problem.hamiltonian(t, z, p), problem.first_control(t, z)
    found = TIGHT.find(h, start).check().point
    for i in range(2):
        row = h.rows(torch.tensor([i]))
        box = None
        if row.bounds is not None:
            box = list(zip(*(part[0].tolist() for part in row.bounds), strict=True))

        def both(u: np.ndarray, row=row) -> tuple[float, np.ndarray]:
            value, slope = row.evaluate(torch.from_numpy(u)[None])
            return float(value), slope[0].numpy()

        options = {"ftol": 1e-15, "gtol": 1e-11, "maxiter": 2000}
        best = minimize(
            both, start[i].numpy(), jac=True, bounds=box, method="L-BFGS-B",
            options=options,
        )  # fmt: skip
        assert both(found[i].numpy())[0] <= best.fun + 1e-9 * abs(best.fun)
        np.testing.assert_allclose(found[i], best.x, rtol=1e-4, atol=1e-5)


# ---- the published setting


@pytest.mark.parametrize(
    ("force", "reached", "converged"),
    [
        (1.0, 0.049, False),
        (10.0, 0.486, False),
        (100.0, 2.689, True),
        (1000.0, 3.373923, True),
        (5000.0, None, False),
    ],
)
def test_published_steps_reach_what_they_reach_and_say_so(
    force: float, reached: float | None, converged: bool
) -> None:
    b = force * torch.tensor([[0.6, 0.0, -0.8, 0.0]], dtype=torch.float64)
    found = ControlSearch.published().find(
        ExponentialHamiltonian(b), torch.zeros_like(b)
    )
    assert bool(found.converged) == converged
    residual = float(ExponentialHamiltonian(b).gradient(found.point).norm())
    assert float(found.residual) * (1 + force) == pytest.approx(residual)
    assert (residual <= 0.1) == converged
    if reached is not None:
        assert float(found.point.norm()) == pytest.approx(reached, abs=6e-4)
    else:
        assert residual > 500  # it swings from side to side
        assert found.status[0] == Status.OUT_OF_STEPS


def test_published_steps_leave_accelerations_where_they_are() -> None:
    h = BicycleHamiltonian(torch.tensor([[0.0, 20.0]]).double(), 1.3)
    search = ControlSearch.published(5e-5, 999)
    found = search.find(h, torch.zeros(1, 2).double())
    assert float(found.point[0, 1]) == pytest.approx(-20 * 0.049, rel=0.01)
    assert found.unconverged == 1


# ---- starts, bounds, rows


def test_a_warm_start_takes_fewer_steps() -> None:
    problem = Quadrotor()
    t, z, p = costates(problem, 30.0)
    search = ControlSearch(tol=1e-8, exact=False)
    cold = search.find(problem.hamiltonian(t, z, p), problem.first_control(t, z))
    later = problem.hamiltonian(t, z, 1.01 * p)
    warm = search.find(later, cold.point)
    again = search.find(later, problem.first_control(t, z))
    assert int(warm.steps.max()) < int(again.steps.min())
    close(warm.point, again.point)


@pytest.mark.parametrize("method", [None, NewtonCG()])
def test_controls_are_within_their_bounds(method: NewtonCG | None) -> None:
    for problem in (Bicycle(agents=2), Consumption(agents=3, eta=0.9)):
        t, z, p = costates(problem, 1e3)
        search = ControlSearch(method, exact=False, max_steps=15)
        found = search.find(problem.hamiltonian(t, z, -p), problem.first_control(t, z))
        bounds = problem.bounds(t, z)
        assert torch.equal(bounds.clip(found.point), found.point)


def test_a_search_that_ends_early_says_so() -> None:
    t, z, p = costates(Pendulum(), 100.0)
    h = AutodiffHamiltonian(Pendulum(), t, z, p)
    found = ControlSearch(max_steps=1).find(h, torch.zeros(7, 1).double())
    assert found.unconverged > 0
    assert set(found.status[~found.converged].tolist()) == {Status.OUT_OF_STEPS}
    assert (found.residual[~found.converged] > 1e-4).all()
    assert ControlSearch(max_steps=100).find(h, found.point).unconverged == 0


@every_problem
def test_a_lost_state_is_told_and_costs_the_others_nothing(
    problem: ControlProblem,
) -> None:
    at = situation(problem)
    alone = TIGHT.find(problem.hamiltonian(at.t, at.z, at.p), at.u)
    z = at.z.clone()
    z[2] = torch.nan
    p = at.p.clone()
    p[2] = torch.nan
    found = TIGHT.find(problem.hamiltonian(at.t, z, p), at.u)
    rest = torch.tensor([0, 1, 3, 4, 5, 6])
    assert found.status[2] != Status.CONVERGED
    assert torch.equal(found.status[rest], alone.status[rest])
    close(found.point[rest], alone.point[rest], rtol=1e-12, atol=1e-12)


def test_closed_forms_are_measured() -> None:
    @dataclasses.dataclass(frozen=True)
    class Wrong(ExponentialHamiltonian):
        def exact(self) -> Tensor:
            return -self.b

    h = Wrong(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    found = ControlSearch(tol=1e-9).find(h, torch.zeros(1, 2).double())
    right = ExponentialHamiltonian(h.b).exact()
    assert found.unconverged == 0
    close(found.point, right)
    few = ControlSearch(tol=1e-9, max_steps=1).find(h, torch.zeros(1, 2).double())
    assert few.unconverged == 1


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tol": 0.0}, "tol"),
        ({"tol": math.nan}, "tol"),
        ({"max_steps": 0}, "max_steps"),
        ({"method": NewtonCG}, "method"),
        ({"method": "newton"}, "method"),
    ],
)
def test_searches_that_are_none_are_refused(fields: dict, name: str) -> None:
    with pytest.raises(DataError, match=f"^{name}: "):
        ControlSearch(**fields)
