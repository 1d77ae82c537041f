"""How the minimiser is differentiated: every rule against the implicit function theorem, and against each other."""

import pytest
import torch
from control.problems_of_control import Pendulum, situation
from problems import normal
from torch import Tensor

from brenier.control import (
    AutodiffHamiltonian,
    Bicycle,
    Bounds,
    Consumption,
    ControlGradient,
    ControlProblem,
    ControlSearch,
    DoubleIntegrator,
    ExponentialIntegrator,
    Hamiltonian,
    LinearRegulator,
    QuadraticIntegrator,
    Quadrotor,
    QuarticDoubleIntegrator,
)
from brenier.control.problems.steering import BicycleHamiltonian
from brenier.errors import DataError

close = torch.testing.assert_close
TIGHT = ControlSearch(tol=1e-13, max_steps=200)
PROBLEMS_HERE: dict[str, ControlProblem] = {
    "P0": QuadraticIntegrator(dim=2),
    "P1": ExponentialIntegrator(dim=3),
    "P2": DoubleIntegrator(dim=2),
    "P3": LinearRegulator(),
    "P7": QuarticDoubleIntegrator(dim=2),
    "quadrotor": Quadrotor(),
    "quadrotors": Quadrotor(agents=2),
    "bicycle": Bicycle(),
    "consumption": Consumption(agents=3),
    "consumption, implicit": Consumption(agents=2, eta=0.9, theta=0.9),
    "pendulum": Pendulum(),
}
every_problem = pytest.mark.parametrize(
    "problem", PROBLEMS_HERE.values(), ids=PROBLEMS_HERE.keys()
)


class Case:
    """A Hamiltonian at its minimiser, with a graph to costates and states; and dH_u of some weighted controls."""

    def __init__(self, problem: ControlProblem) -> None:
        at = situation(problem, 4)
        z, p = at.z.clone(), at.p.clone()
        if isinstance(problem, Bicycle):
            # v / wheelbase is large; inside the fold
            p[:, 2] *= 0.05
        if isinstance(problem, Consumption):
            with torch.enable_grad():
                z = z.requires_grad_()
                guess = problem.value_guess(at.t, z)
                p = torch.autograd.grad(guess.sum(), z)[0] * (1 + 0.1 * p.tanh())
        self.z, self.p = z.detach().requires_grad_(), p.detach().requires_grad_()
        self.h: Hamiltonian = problem.hamiltonian(at.t, self.z, self.p)
        start = problem.first_control(at.t, self.z.detach())
        self.u = TIGHT.find(self.h.detached(), start).point
        self.start = start
        self.weight = normal(*self.u.shape, seed=9)

    def slopes(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The derivatives of the weighted controls by costates and states."""
        found = torch.autograd.grad(
            (self.weight * u).sum(),
            (self.p, self.z),
            retain_graph=True,
            allow_unused=True,
        )
        p, z = (
            torch.zeros_like(self.p) if part is None else part.detach()
            for part in found
        )
        return p, z

    def by(self, rule: str, **fields: object) -> tuple[Tensor, Tensor]:
        """The same by a rule."""
        gradient = ControlGradient(rule, **fields)  # type: ignore[arg-type]
        start = self.start if rule == "unrolled" else self.u
        u = gradient.attach(self.h, start)
        close(u.detach(), self.u, rtol=1e-6, atol=1e-9)
        return self.slopes(u)

    def pulled(self, left: Tensor) -> tuple[Tensor, Tensor]:
        """-left . d(grad_u H), of left (n, m), by costates and states."""
        u = self.u.detach()
        slope = -(left * self.h.gradient(u)).sum()
        p, z = torch.autograd.grad(
            slope, (self.p, self.z), retain_graph=True, allow_unused=True
        )
        return (
            torch.zeros_like(self.p) if p is None else p,
            torch.zeros_like(self.z) if z is None else z,
        )


def same(
    found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], rtol: float = 1e-9
) -> None:
    scale = max(float(part.abs().max()) for part in wanted)
    for part, right in zip(found, wanted, strict=True):
        close(part, right, rtol=rtol, atol=rtol * scale)


# ---- against the theorem


@every_problem
def test_implicit_is_the_exact_derivative(problem: ControlProblem) -> None:
    case = Case(problem)
    left = torch.linalg.solve(case.h.hessian(case.u), case.weight)
    assert float(left.abs().max()) > 0
    same(case.by("implicit"), case.pulled(left))


@every_problem
def test_many_unrolled_steps_give_the_same(problem: ControlProblem) -> None:
    case = Case(problem)
    if isinstance(problem, Consumption):
        case.start = case.u + 1e-3  # from afar its curvature is that of the start
    found = case.by("unrolled", unrolled_steps=300)
    same(found, case.by("implicit"), rtol=1e-6)


@every_problem
def test_one_step_is_a_times_what_the_costate_pulls(problem: ControlProblem) -> None:
    case = Case(problem)
    same(case.by("one_step", step=0.01), case.pulled(0.01 * case.weight), 1e-12)
    size = 1 / case.h.curvature(case.u).unsqueeze(-1)
    same(case.by("one_step"), case.pulled(size * case.weight), 1e-12)
    size = 1 / case.h.diagonal(case.u)
    found = case.by("one_step", step="diagonal")
    same(found, case.pulled(size * case.weight), 1e-12)


@every_problem
@pytest.mark.parametrize("more", [1, 3])
def test_tracked_steps_are_a_partial_sum_of_neumann(
    problem: ControlProblem, more: int
) -> None:
    case = Case(problem)
    a = 0.3 / float(case.h.curvature(case.u).max())
    hessian = case.h.hessian(case.u)
    total, power = torch.zeros_like(case.weight), case.weight
    for _ in range(more + 1):
        total = total + a * power
        power = power - a * torch.einsum("nij,nj->ni", hessian, power)
    found = case.by("one_step", step=a, tracked_steps=more)
    same(found, case.pulled(total))


@pytest.mark.parametrize("more", [0, 2, 7])
def test_with_one_weight_a_share_of_the_exact_derivative_is_tracked(more: int) -> None:
    case, a = Case(QuadraticIntegrator(dim=3)), 0.2
    share = 1 - (1 - a) ** (more + 1)
    exact = case.by("implicit")
    wanted = (share * exact[0], share * exact[1])
    same(case.by("one_step", step=a, tracked_steps=more), wanted, 1e-12)


@pytest.mark.parametrize("name", ["P0", "P2", "P3", "bicycle", "consumption"])
def test_diagonal_steps_are_exact_where_the_hessian_is_diagonal(name: str) -> None:
    case = Case(PROBLEMS_HERE[name])
    same(case.by("one_step", step="diagonal"), case.by("implicit"), 1e-12)


@every_problem
def test_one_step_points_to_the_same_side(problem: ControlProblem) -> None:
    case = Case(problem)
    for step in ("curvature", "diagonal"):
        for found, exact in zip(
            case.by("one_step", step=step), case.by("implicit"), strict=True
        ):
            assert (found * exact).sum() >= 0
    found, exact = case.by("one_step")[0], case.by("implicit")[0]
    cosine = float((found * exact).sum() / (found.norm() * exact.norm()))
    assert 0.3 < cosine < 1 + 1e-12
    if isinstance(problem, LinearRegulator):
        assert cosine < 0.99  # its weights differ


@every_problem
def test_controls_with_a_graph_are_those_without(problem: ControlProblem) -> None:
    case = Case(problem)
    for rule in ("one_step", "implicit", "detached"):
        u = ControlGradient(rule).attach(case.h, case.u)
        close(u.detach(), case.u, rtol=1e-9, atol=1e-11)
        assert u.requires_grad == (rule != "detached")


# ---- at bounds and where curvature ends


@pytest.mark.parametrize("rule", ["one_step", "implicit", "unrolled"])
def test_what_a_bound_holds_has_no_derivative(rule: str) -> None:
    q = torch.tensor([[5.0, 0.7], [-0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    h = BicycleHamiltonian(q, 1.3)
    u = ControlSearch(tol=1e-12).find(h.detached(), torch.zeros_like(q)).point
    assert u[0, 0] == -1.3
    gradient = ControlGradient(rule, unrolled_steps=200)
    start = torch.zeros_like(q) if rule == "unrolled" else u
    attached = gradient.attach(h, start.detach())
    close(attached.detach(), u, rtol=1e-6, atol=1e-9)
    slopes = torch.autograd.grad(attached[:, 0].sum(), q, retain_graph=True)[0]
    assert slopes[0].eq(0).all()
    assert slopes[1, 0] < 0
    slopes = torch.autograd.grad(attached[:, 1].sum(), q)[0]
    assert slopes[0, 1] < 0
    if rule == "implicit":
        close(slopes[:, 1], -torch.ones(2, dtype=torch.float64))


class Pushed(Pendulum):
    """A pendulum whose control costs nothing and is bounded: its Hamiltonian is straight."""

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return z.square().sum(-1) + 0 * u[:, 0]

    def bounds(self, t: Tensor, z: Tensor) -> Bounds:
        return Bounds(-z.new_ones(1), z.new_ones(1))


@pytest.mark.parametrize("rule", ["one_step", "implicit"])
@pytest.mark.parametrize("step", ["curvature", "diagonal"])
def test_a_straight_hamiltonian_is_pushed_to_its_bounds(rule: str, step: str) -> None:
    z = normal(5, 2).requires_grad_()
    p = normal(5, 2, seed=1).requires_grad_()
    h = AutodiffHamiltonian(Pushed(), torch.zeros(5).double(), z, p)
    found = ControlSearch().find(h.detached(), torch.zeros(5, 1).double()).check()
    close(found.point[:, 0], -p[:, 1].detach().sign())
    u = ControlGradient(rule, step).attach(h, found.point)
    close(u.detach(), found.point)
    assert torch.autograd.grad(u.sum(), p)[0].eq(0).all()


def test_a_singular_hessian_has_no_derivative_and_stops_nothing() -> None:
    p = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)

    class Flat(Pushed):
        def bounds(self, t: Tensor, z: Tensor) -> None:  # type: ignore[override]
            return None

    h = AutodiffHamiltonian(Flat(), torch.zeros(2).double(), p.detach(), p)
    u = ControlGradient("implicit").attach(h, torch.zeros(2, 1).double())
    assert torch.autograd.grad(u.sum(), p)[0].eq(0).all()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"rule": "adjoint"}, "rule"),
        ({"step": 0.0}, "step"),
        ({"step": -1}, "step"),
        ({"step": "newton"}, "step"),
        ({"step": float("nan")}, "step"),
        ({"step": float("inf")}, "step"),
        ({"tracked_steps": -1}, "tracked_steps"),
        ({"unrolled_steps": 0}, "unrolled_steps"),
    ],
)
def test_rules_that_are_none_are_refused(fields: dict, name: str) -> None:
    with pytest.raises(DataError, match=f"^{name}: "):
        ControlGradient(**fields)
