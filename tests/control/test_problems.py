"""Every problem of control: its derivatives against autograd, and the answers that are known."""

import copy
import dataclasses
import json
import pickle
from typing import cast

import numpy as np
import pytest
import torch
from control.problems_of_control import (
    EVERY,
    KNOWN,
    Pendulum,
    situation,
    small_regulator,
)
from problems import normal
from torch.linalg import vecdot

from brenier.control import AutodiffHamiltonian, ControlProblem, KnownValue
from brenier.control.problems import (
    PROBLEMS,
    DoubleIntegrator,
    ExponentialIntegrator,
    LinearRegulator,
    QuadraticIntegrator,
    QuarticDoubleIntegrator,
    problem_named,
)
from brenier.errors import ConvergenceError, DataError
from brenier.solve import NewtonCG, minimise

every_problem = pytest.mark.parametrize("problem", EVERY.values(), ids=EVERY.keys())
every_answer = pytest.mark.parametrize("problem", KNOWN.values(), ids=KNOWN.keys())
kinds = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


# ---- every problem


@every_problem
def test_shapes_and_names_are_right(problem: ControlProblem) -> None:
    at = situation(problem)
    n, d, m = len(at.t), problem.state_dim, problem.control_dim
    assert at.z.dtype == torch.float64
    assert at.z.shape == problem.dynamics(at.t, at.z, at.u).shape == (n, d)
    assert problem.first_control(at.t, at.z).shape == (n, m)
    assert problem.running_cost(at.t, at.z, at.u).shape == (n,)
    assert problem.terminal_cost(at.z).shape == (n,)
    assert len(set(problem.state_names)) == d
    assert len(set(problem.control_names)) == m


@every_problem
def test_rows_do_not_see_each_other(problem: ControlProblem) -> None:
    at = situation(problem)
    one = type(at)(*(part[2:3] for part in at))
    for f in (problem.dynamics, problem.running_cost):
        torch.testing.assert_close(f(at.t, at.z, at.u)[2:3], f(one.t, one.z, one.u))
    whole = problem.hamiltonian(at.t, at.z, at.p).gradient(at.u)
    alone = problem.hamiltonian(one.t, one.z, one.p).gradient(one.u)
    torch.testing.assert_close(whole[2:3], alone)


@every_problem
@kinds
def test_results_have_the_precision_of_the_states(
    problem: ControlProblem, dtype: torch.dtype
) -> None:
    t, z, p, u = (part.to(dtype) for part in situation(problem))
    hamiltonian = problem.hamiltonian(t, z, p)
    results = [
        problem.dynamics(t, z, u),
        problem.running_cost(t, z, u),
        problem.terminal_cost(z),
        problem.terminal_gradient(z),
        hamiltonian.value(u),
        hamiltonian.gradient(u),
        hamiltonian.hessian(u),
        hamiltonian.hessian_product(u, u),
        hamiltonian.diagonal(u),
        hamiltonian.curvature(u),
        hamiltonian.scale,
    ]
    exact = hamiltonian.exact()
    assert {part.dtype for part in results} == {dtype}
    assert exact is None or exact.dtype == dtype


@every_problem
@pytest.mark.parametrize("part", ["running cost", "dynamics", "terminal cost"])
def test_derivatives_are_those_of_finite_differences(
    problem: ControlProblem, part: str
) -> None:
    t, z, p, u = situation(problem, n=3)

    def value(z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        if part == "running cost":
            return problem.running_cost(t, z, u).sum()
        if part == "dynamics":
            return vecdot(p, problem.dynamics(t, z, u)).sum()
        return problem.terminal_cost(z).sum()

    step, size = 1e-6, 1 + float(abs(value(z, u)))
    for along_z, along_u in (
        (normal(*z.shape, seed=5), 0 * u),
        (0 * z, normal(*u.shape)),
    ):
        moved = step * along_z, step * along_u
        far = value(z + moved[0], u + moved[1]) - value(z - moved[0], u - moved[1])
        found = torch.autograd.functional.jvp(value, (z, u), (along_z, along_u))[1]
        assert float(far / (2 * step)) == pytest.approx(
            float(found), rel=1e-7, abs=1e-8 * size
        )


@every_problem
def test_the_terminal_gradient_is_that_of_the_cost(problem: ControlProblem) -> None:
    z = situation(problem).z
    expected = ControlProblem.terminal_gradient(problem, z)
    torch.testing.assert_close(problem.terminal_gradient(z), expected)
    z = z.requires_grad_()
    weights = normal(*z.shape, seed=3)
    second = [
        torch.autograd.grad((weights * f(z)).sum(), z)[0]
        for f in (
            problem.terminal_gradient,
            lambda z: ControlProblem.terminal_gradient(problem, z),
        )
    ]
    torch.testing.assert_close(*second)


@every_problem
def test_a_problem_is_built_again_from_its_name_and_json(
    problem: ControlProblem,
) -> None:
    name = next(name for name, kind in PROBLEMS.items() if kind is type(problem))
    again = problem_named(name, **json.loads(json.dumps(problem.config())))
    assert again == problem
    assert hash(again) == hash(problem)


@every_problem
def test_used_problems_are_copied_and_pickled(problem: ControlProblem) -> None:
    at = situation(problem)
    problem.hamiltonian(at.t, at.z, at.p)
    if isinstance(problem, KnownValue):
        problem.value(at.t, at.z)
    assert copy.deepcopy(problem) == problem
    assert pickle.loads(pickle.dumps(problem)) == problem


@every_problem
def test_places_of_agents_and_of_their_targets_agree(problem: ControlProblem) -> None:
    z = situation(problem).z
    places, targets = problem.positions(z), problem.target_positions()
    if places is None:
        assert targets is None
        return
    assert places.shape[-1] in (2, 3)
    assert problem.positions(z[:2, None])[:, 0].shape == (2, *places.shape[1:])  # type: ignore[index]
    assert targets is None or targets.shape == places.shape[1:]


# ---- answers


def test_problems_say_whether_their_answer_is_known() -> None:
    assert isinstance(DoubleIntegrator(), KnownValue)
    assert not isinstance(QuarticDoubleIntegrator(), KnownValue)
    assert not isinstance(Pendulum(), KnownValue)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_equation_that_cannot_be_solved_is_told() -> None:
    problem = small_regulator(A=[[1e200, 1e200], [1e200, -1e200]])
    with pytest.raises(ConvergenceError, match=r"Riccati equation .* scale states"):
        problem.value(torch.zeros(1), torch.ones(1, 2))


def equation(problem: ControlProblem, sign: float) -> torch.Tensor:
    """phi_t + sign * min_u H of the exact value function, relative to its terms."""
    known = cast(KnownValue, problem)
    t, z, _, _ = situation(problem, n=20)
    t, z = t.requires_grad_(), z.requires_grad_()
    slope, p = torch.autograd.grad(known.value(t, z).sum(), (t, z))
    exact = problem.hamiltonian(t, z, p).exact()
    assert exact is not None
    least = problem.running_cost(t, z, exact) + vecdot(p, problem.dynamics(t, z, exact))
    return ((slope + sign * least).abs() / (slope.abs() + least.abs())).detach()


@every_answer
def test_exact_value_functions_solve_the_equation(problem: ControlProblem) -> None:
    assert float(equation(problem, 1.0).max()) < 1e-8
    assert float(equation(problem, -1.0).median()) > 0.5


@every_answer
def test_value_functions_end_as_the_terminal_cost(problem: ControlProblem) -> None:
    known, z = cast(KnownValue, problem), situation(problem).z
    end = torch.full((len(z),), problem.horizon, dtype=z.dtype)
    torch.testing.assert_close(known.value(end, z), problem.terminal_cost(z))
    torch.testing.assert_close(known.costate(end, z), problem.terminal_gradient(z))


@every_answer
def test_costates_are_gradients_of_the_value_function(problem: ControlProblem) -> None:
    known, (t, z, _, _) = cast(KnownValue, problem), situation(problem)
    z = z.requires_grad_()
    found = torch.autograd.grad(known.value(t, z).sum(), z, create_graph=True)[0]
    p = known.costate(t, z)
    torch.testing.assert_close(p, found, rtol=1e-10, atol=1e-12)
    weights = normal(*z.shape, seed=3)
    torch.testing.assert_close(
        torch.autograd.grad((weights * p).sum(), z, retain_graph=True)[0],
        torch.autograd.grad((weights * found).sum(), z)[0],
        rtol=1e-10,
        atol=1e-12,
    )


def euler_cost(problem: ControlProblem, z: torch.Tensor) -> torch.Tensor:
    """The cost from z by Euler steps of the control that the exact value function gives."""
    known = cast(KnownValue, problem)
    h, cost = problem.horizon / problem.steps, z.new_zeros(len(z))
    for k in range(problem.steps):
        t = z.new_full((len(z),), k * h)
        u = problem.hamiltonian(t, z, known.costate(t, z)).exact()
        assert u is not None
        cost = cost + h * problem.running_cost(t, z, u)
        z = z + h * problem.dynamics(t, z, u)
    return cost + problem.terminal_cost(z)


@every_answer
def test_exact_feedback_costs_hardly_more_than_the_optimum(
    problem: ControlProblem,
) -> None:
    z = situation(problem, n=20).z
    found = euler_cost(problem, z)
    ratio = found / cast(KnownValue, problem).optimal_cost(z)
    assert float(ratio.min()) > 1 - 1e-12
    assert float(ratio.mean()) < 1.02


@pytest.mark.parametrize(
    "problem",
    [QuadraticIntegrator(dim=3, steps=7), ExponentialIntegrator(dim=3, steps=7)],
    ids=["quadratic", "exponential"],
)
def test_exact_feedback_of_integrators_costs_the_optimum_on_any_grid(
    problem: ControlProblem,
) -> None:
    z = situation(problem, n=20).z
    expected = cast(KnownValue, problem).optimal_cost(z)
    torch.testing.assert_close(euler_cost(problem, z), expected, rtol=1e-10, atol=0)


def test_the_quadratic_integrator_costs_what_is_known() -> None:
    z = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    cost = QuadraticIntegrator(dim=2).optimal_cost(z)
    assert float(cost) == pytest.approx(0.4545454545 * 25, rel=1e-9)


@pytest.mark.parametrize(
    ("weight", "horizon", "length", "cost", "speed"),
    [
        (10, 1, 1, 1.544485, 0.872369),
        (10, 1, 2, 4.326642, 1.518757),
        (100, 1, 2, 6.570543, 1.887835),
        (1000, 1, 2, 7.283701, 1.985738),
        (1000, 4.5, 12**0.5, 6.051373, 0.769570),
    ],
)
@pytest.mark.parametrize("dim", [1, 3])
def test_the_exponential_integrator_costs_what_is_known(
    weight: float, horizon: float, length: float, cost: float, speed: float, dim: int
) -> None:
    problem = ExponentialIntegrator(horizon=horizon, dim=dim, terminal_weight=weight)
    z = torch.full((1, dim), length / dim**0.5, dtype=torch.float64)
    t = torch.zeros(1, dtype=torch.float64)
    u = problem.hamiltonian(t, z, problem.costate(t, z)).exact()
    assert float(problem.optimal_cost(z)) == pytest.approx(cost, abs=1e-6)
    assert float(u.norm()) == pytest.approx(speed, abs=1e-6)


def test_the_exponential_integrator_knows_its_answer_at_and_far_from_the_origin() -> (
    None
):
    problem = ExponentialIntegrator(horizon=100.0, dim=2, terminal_weight=1e4)
    z = torch.tensor([[0.0, 0.0], [1e-30, 0.0], [3e3, 4e3]], dtype=torch.float64)
    t = torch.tensor([0.0, 50.0, 100 - 1e-6], dtype=torch.float64)
    p = problem.costate(t, z.requires_grad_())
    assert p.isfinite().all()
    assert p[0].tolist() == [0, 0]
    assert torch.autograd.grad(p.sum(), z)[0].isfinite().all()
    # c exp(c^2/2) = |p|, which is a (|z| - c tau).
    c = problem.speed(100 - t, z.norm(dim=-1)).detach()
    torch.testing.assert_close(
        c * (c.square() / 2).exp(), p.norm(dim=-1).detach(), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize(
    ("state_weight", "matrix", "costs", "feedback"),
    [
        (
            0,
            [[4.85294, 2.64706], [2.64706, 2.35294]],
            [3.70257, 3.64164, 3.62210, 3.61248],
            [3.64419, 3.62273],
        ),
        (
            1,
            [[5.75791, 2.70542], [2.70542, 2.56675]],
            [4.29322, 4.21329, 4.18758, 4.17490],
            [4.21594, 4.18823],
        ),
    ],
)
def test_the_double_integrator_costs_what_is_known(
    state_weight: float,
    matrix: list[list[float]],
    costs: list[float],
    feedback: list[float],
) -> None:
    # Costs are quadratic in the state, so that their mean over normal states is half the trace.
    z = torch.eye(4, dtype=torch.float64)
    for steps, cost in zip((20, 50, 100, 200), costs, strict=True):
        problem = DoubleIntegrator(dim=2, state_weight=state_weight, steps=steps)
        assert float(problem.optimal_cost(z).sum()) == pytest.approx(2 * cost, abs=2e-5)
    for steps, cost in zip((50, 100), feedback, strict=True):
        problem = DoubleIntegrator(dim=2, state_weight=state_weight, steps=steps)
        assert float(euler_cost(problem, z).sum()) == pytest.approx(2 * cost, abs=2e-5)
    one = DoubleIntegrator(state_weight=state_weight)
    t = torch.zeros(2, dtype=torch.float64)
    found = one.costate(t, torch.eye(2, dtype=torch.float64))
    np.testing.assert_allclose(found, matrix, atol=1e-5)


def test_the_regulator_costs_what_is_known() -> None:
    problem = LinearRegulator()
    assert problem.matrices.A[0, 0] == pytest.approx(0.01987969, abs=1e-8)
    assert problem.matrices.B[0, 0] == pytest.approx(0.25134142, abs=1e-8)
    z, t = torch.eye(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    assert float(problem.value(t, z).sum()) == pytest.approx(35.24768, abs=1e-5)
    for steps, cost in ((50, 35.40213), (100, 35.32428), (200, 35.28582)):
        finer = dataclasses.replace(problem, steps=steps)
        assert float(finer.optimal_cost(z).sum()) == pytest.approx(cost, abs=1e-5)
    for steps, cost in ((50, 35.41274), (100, 35.32687)):
        finer = dataclasses.replace(problem, steps=steps)
        assert float(euler_cost(finer, z).sum()) == pytest.approx(cost, abs=1e-5)


def test_the_least_cost_on_a_grid_is_that_of_the_best_controls() -> None:
    problem = small_regulator(steps=3, R=[[0.3]])
    z = normal(1, 2)
    controls = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)

    def cost(controls: torch.Tensor) -> torch.Tensor:
        at, total = z, torch.zeros(1, dtype=z.dtype)
        for k, u in enumerate(controls):
            t = torch.full((1,), k / 3, dtype=z.dtype)
            total = total + problem.running_cost(t, at, u) / 3
            at = at + problem.dynamics(t, at, u) / 3
        return (total + problem.terminal_cost(at)).sum()

    slope = torch.autograd.grad(cost(controls), controls)[0].ravel()
    hessian = torch.autograd.functional.hessian(cost, controls).reshape(3, 3)
    best = -torch.linalg.solve(hessian, slope).reshape(3, 1, 1)
    torch.testing.assert_close(cost(best), problem.optimal_cost(z)[0])


# ---- a user's own problem


def test_a_users_own_problem_needs_no_hamiltonian() -> None:
    problem = Pendulum()
    t, z, p, _ = situation(problem)
    hamiltonian = problem.hamiltonian(t, z, p)
    assert isinstance(hamiltonian, AutodiffHamiltonian)
    start = problem.first_control(t, z)
    found = minimise(hamiltonian, NewtonCG(), start, tol=1e-10).check()
    # Its control enters as that of the exponential integrator does, with the costate of the rate.
    known = ExponentialIntegrator().hamiltonian(t, z[:, 1:], p[:, 1:]).exact()
    torch.testing.assert_close(found.point, known, rtol=1e-9, atol=1e-9)
    assert problem.config() == {"horizon": 1.0, "steps": 50, "friction": 0.1}
    assert problem.state_names == ["z0", "z1"]


# ---- refusals


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("cubic-integrator", {}, "problem: there is none named 'cubic-integrator'; .*"),
        ("regulator", {"dim": 3}, "dim: the problem regulator has no field .* has hor"),
        *(
            (name, {field: value}, f"{field}: must be a positive number, got .*; it is")
            for name in PROBLEMS
            for field, value in (
                ("horizon", 0),
                ("horizon", float("nan")),
                ("horizon", "long"),
            )
        ),
        *(
            (name, {"steps": value}, "steps: must be a whole number above zero, got")
            for name in PROBLEMS
            for value in (0, 2.0, "ten", True)
        ),
        ("quadratic-integrator", {"terminal_weight": -1.0}, "terminal_weight: .* -1.0"),
        ("exponential-integrator", {"dim": 0}, "dim: must be a whole .* dimensions"),
        ("double-integrator", {"state_weight": -0.1}, "state_weight: .* not below"),
        ("double-integrator", {"dim": 1.5}, "dim: must be a whole number above zero"),
        ("regulator", {"terminal_weight": 0}, "terminal_weight: must be a positive"),
    ],
)
def test_bad_fields_are_refused_by_name(
    name: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        problem_named(name, **fields)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("A", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], r"A: has shape \(2, 3\) .*\(2, 2\)"),
        ("A", [[1.0, "x"], [1.0, 2.0]], "A: must be a matrix of finite numbers"),
        ("A", [[1.0, 2.0], [1.0]], "A: must be a matrix of finite numbers"),
        ("A", [[1.0, float("inf")], [1.0, 0.0]], "A: must be a matrix of finite"),
        ("B", [1.0, 2.0], "B: must be a matrix of finite numbers"),
        ("B", [[1.0]], r"B: has shape \(1, 1\) .* give one of shape \(2, 1\)"),
        ("Q", [[1.0]], r"Q: has shape \(1, 1\) .* give one of shape \(2, 2\)"),
        ("Q", [[1.0, 0.0], [1.0, 1.0]], "Q: is not symmetric"),
        ("Q", [[1.0, 0.0], [0.0, -1.0]], "Q: has the eigenvalue -1; .* not below zero"),
        ("R", [[0.0]], "R: has the eigenvalue 0; .* above zero"),
        ("R", [[1.0, 0.0], [0.0, 1.0]], r"R: has shape \(2, 2\)"),
    ],
)
def test_bad_matrices_are_refused_by_name(
    field: str, value: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        small_regulator(**{field: value})
