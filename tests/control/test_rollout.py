"""Rollouts against plain loops, known costs and differences; what they keep in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from control.problems_of_control import (
    EVERY,
    KNOWN,
    Pendulum,
    known_controller,
    slopes_of,
    small_controller,
    told,
)
from problems import normal
from torch import Tensor, nn

from brenier.control import (
    Action,
    Bicycle,
    ControlGradient,
    Controller,
    ControlProblem,
    ControlSearch,
    DirectController,
    DoubleIntegrator,
    ExponentialIntegrator,
    Grid,
    ImplicitController,
    LinearRegulator,
    QuadraticIntegrator,
    Quadrotor,
    ValueNetwork,
    roll_out,
)
from brenier.control.rollout import hjb_gap, rolled
from brenier.errors import DataError
from brenier.solve import GradientStep, Solution, Status

close = torch.testing.assert_close
RULES = [
    ControlGradient("one_step"),
    ControlGradient("one_step", "diagonal", tracked_steps=2),
    ControlGradient("implicit"),
    ControlGradient("unrolled", 0.2, unrolled_steps=8),
]


class Constant(Controller):
    """Acts by the same control always."""

    def __init__(self, problem: ControlProblem, control: Tensor) -> None:
        super().__init__()
        self.problem = problem
        self.control = nn.Parameter(control)

    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        return Action(self.control.expand(len(z), -1))


class Watched(Quadrotor):
    """A quadrotor whose running cost depends on where it is."""

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return super().running_cost(t, z, u) + (z * (1 + t[:, None])).square().sum(-1)


def starts(problem: ControlProblem, n: int = 4) -> Tensor:
    return problem.initial_states(n, torch.Generator().manual_seed(3))


def gentle(problem: ControlProblem, gradient: ControlGradient) -> ImplicitController:
    """A controller of costates that are not large."""
    controller = small_controller(problem, gradient)
    with torch.no_grad():
        for part in controller.parameters():
            part.mul_(0.4)
    return controller


# ---- against a plain loop


@pytest.mark.parametrize("cost_after", [False, True])
def test_euler_is_a_plain_loop(cost_after: bool) -> None:
    problem = Pendulum(horizon=2.0)
    controller = small_controller(problem)
    z0 = starts(problem)
    found = roll_out(problem, controller, z0, Grid(7, cost_after=cost_after))
    z, running, h = z0, torch.zeros(4, dtype=torch.float64), 2.0 / 7
    for k in range(7):
        t = torch.full((4,), k * h, dtype=torch.float64)
        with torch.no_grad():
            u = controller.act(t, z).control
        after = z + h * problem.dynamics(t, z, u)
        running = running + h * problem.running_cost(t, after if cost_after else z, u)
        z = after
        close(found.controls[k], u)
        close(found.states[k + 1], z)
        close(found.times[k], t[0])
    assert float(found.times[-1]) == 2.0
    close(found.running, running)
    close(found.cost, running + problem.terminal_cost(z))
    assert found.status.shape == found.residual.shape == (7, 4)
    assert found.unconverged == 0
    assert found.evaluations >= 28


@pytest.mark.parametrize(
    ("scheme", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)]
)
def test_schemes_converge_with_their_order(scheme: str, order: int) -> None:
    problem = Watched(horizon=1.0)
    z = starts(problem) + 0.1
    controller = Constant(problem, normal(4, seed=4))
    right = roll_out(problem, controller, z, Grid(200, "rk4"))
    errors = []
    for steps in (5, 10, 20):
        found = roll_out(problem, controller, z, Grid(steps, scheme))
        miss = (found.states[-1] - right.states[-1]).norm()
        errors.append([float(miss), float((found.running - right.running).norm())])
    ratios = torch.tensor(errors[1:]).log2() - torch.tensor(errors[:-1]).log2()
    close(-ratios[-1], torch.full((2,), float(order)), atol=0.25, rtol=0)


@pytest.mark.parametrize("scheme", ["euler", "midpoint", "rk4"])
def test_a_rollout_with_a_graph_is_the_one_without(scheme: str) -> None:
    problem = Quadrotor(horizon=1.0)
    controller, z = gentle(problem, ControlGradient()), starts(problem)
    plain = roll_out(problem, controller, z, Grid(5, scheme))
    found = rolled(problem, controller, z, Grid(5, scheme))
    close(found.running, plain.running, rtol=1e-9, atol=1e-9)
    close(found.final, plain.states[-1], rtol=1e-9, atol=1e-9)
    assert len(found.found) == 5


# ---- value functions that are known


@pytest.mark.parametrize(
    "problem",
    [
        QuadraticIntegrator(dim=2),
        *(ExponentialIntegrator(dim=dim, terminal_weight=100) for dim in (1, 10, 100)),
        ExponentialIntegrator(dim=3, terminal_weight=1000.0, horizon=4.5),
    ],
    ids=told,
)
def test_known_values_steer_at_least_cost(problem: ExponentialIntegrator) -> None:
    z = starts(problem, 6)
    found = roll_out(problem, known_controller(problem), z, Grid(problem.steps))
    close(found.cost, problem.optimal_cost(z), rtol=1e-8, atol=0)
    assert found.unconverged == 0


@pytest.mark.parametrize(
    ("weight", "distance", "cost"),
    [(10, 1, 1.544485), (10, 2, 4.326642), (100, 2, 6.570543), (1000, 2, 7.283701)],
)
def test_the_exponential_integrator_costs_what_is_known(
    weight: float, distance: float, cost: float
) -> None:
    problem = ExponentialIntegrator(dim=3, terminal_weight=weight)
    z = distance * torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64)
    found = roll_out(problem, known_controller(problem), z, Grid(7))
    assert float(found.cost) == pytest.approx(cost, abs=1e-6)


@pytest.mark.parametrize(
    ("problem", "steps", "cost"),
    [
        (DoubleIntegrator(state_weight=0.0), 50, 3.64419),
        (DoubleIntegrator(state_weight=0.0), 100, 3.62273),
        (DoubleIntegrator(), 50, 4.21594),
        (DoubleIntegrator(), 100, 4.18823),
        (LinearRegulator(), 50, 35.41274),
    ],
)
def test_continuous_feedback_under_euler_costs_what_is_known(
    problem: ControlProblem, steps: int, cost: float
) -> None:
    # The cost is a quadratic form: its mean over standard normal states is that over axes, summed.
    z = torch.eye(problem.state_dim, dtype=torch.float64)
    found = roll_out(problem, known_controller(problem), z, Grid(steps))
    assert float(found.cost.sum()) == pytest.approx(cost, abs=6e-6)


@pytest.mark.parametrize("name", [name for name in KNOWN if "consumption" not in name])
def test_the_hjb_equation_holds_with_the_right_sign_only(name: str) -> None:
    problem = KNOWN[name]
    assert isinstance(problem, ControlProblem)
    z = starts(problem)
    gaps = [
        rolled(problem, known_controller(problem, sign), z, Grid(10), hjb=True).hjb
        for sign in (1.0, -1.0)
    ]
    assert float(gaps[0].max()) < 1e-6
    assert float(gaps[1].min()) > 1e-3


def test_without_being_asked_for_the_gap_is_zero() -> None:
    problem = Pendulum()
    found = rolled(problem, small_controller(problem), starts(problem), Grid(3))
    assert found.hjb.eq(0).all()
    with pytest.raises(DataError, match="no value function"):
        hjb_gap(problem, torch.zeros(1), torch.zeros(1, 2), Action(torch.zeros(1, 1)))


# ---- gradients


def cost_of(
    controller: Controller, z: Tensor, grid: Grid, segment: int = 0, hjb: bool = True
) -> Tensor:
    """The mean cost of a rollout with a graph, with the gap of the equation where that is asked for."""
    problem = controller.problem
    found = rolled(problem, controller, z, grid, segment, hjb)
    return (found.running + problem.terminal_cost(found.final) + found.hjb).mean()


@pytest.mark.parametrize(
    ("problem", "scheme"),
    [
        (LinearRegulator(), "euler"),
        (Quadrotor(horizon=2.0), "euler"),
        (Quadrotor(horizon=2.0), "rk4"),
        (Bicycle(), "euler"),
        (Pendulum(), "midpoint"),
    ],
    ids=["regulator", "quadrotor", "quadrotor by rk4", "bicycle", "pendulum"],
)
def test_the_implicit_gradient_is_that_of_the_cost(
    problem: ControlProblem, scheme: str
) -> None:
    controller = gentle(problem, ControlGradient("implicit"))
    z, grid = starts(problem), Grid(10, scheme)
    slopes = slopes_of(cost_of(controller, z, grid, hjb=False), controller)
    weights, step = list(controller.parameters()), 1e-5
    flat = nn.utils.parameters_to_vector(weights).detach()
    for direction in (slopes / slopes.norm(), *normal(2, len(flat), seed=6)):
        ends = []
        for way in (step, -step):
            nn.utils.vector_to_parameters(flat + way * direction, weights)
            found = roll_out(problem, controller, z, grid)
            assert found.unconverged == 0
            ends.append(found.cost.mean())
        difference = (ends[0] - ends[1]) / (2 * step)
        close(slopes @ direction, difference, rtol=2e-6, atol=2e-6 * slopes.norm())


@pytest.mark.parametrize("gradient", RULES, ids=lambda g: f"{g.rule} {g.step}")
@pytest.mark.parametrize(
    ("problem", "exact"),
    [
        (Pendulum(), False),
        (Quadrotor(horizon=1.0), True),
        (Quadrotor(horizon=1.0), False),
    ],
    ids=["pendulum", "quadrotor", "quadrotor, searched"],
)
def test_segments_change_neither_values_nor_gradients(
    problem: ControlProblem, gradient: ControlGradient, exact: bool
) -> None:
    controller = gentle(problem, gradient)
    controller.search = ControlSearch(tol=1e-10, exact=exact)
    z = starts(problem)
    whole = cost_of(controller, z, Grid(5))
    wanted = slopes_of(whole, controller)
    for segment in (1, 3):
        value = cost_of(controller, z, Grid(5), segment)
        close(value, whole, rtol=1e-12, atol=0)
        found = slopes_of(value, controller)
        close(found, wanted, rtol=1e-10, atol=1e-12 * float(wanted.abs().max()))


def test_segments_work_for_other_controllers_and_states_with_a_graph() -> None:
    problem = Pendulum()
    z = starts(problem).requires_grad_()
    direct = DirectController(problem, ValueNetwork(2, 4), scale=1.0).double()
    for controller in (direct, Constant(problem, torch.ones(1).double())):
        ends = []
        for segment in (0, 2):
            value = cost_of(controller, z, Grid(5), segment)
            slope = torch.autograd.grad(value, z, retain_graph=True)[0]
            value.backward()  # type: ignore[no-untyped-call]
            weight = next(controller.parameters())
            grad = torch.zeros(()) if weight.grad is None else weight.grad.clone()
            ends.append((slope, grad))
            controller.zero_grad()
        for whole, part in zip(*ends, strict=True):
            close(part, whole, rtol=1e-11, atol=1e-13)
    with torch.no_grad():
        assert not cost_of(direct, z, Grid(5), 2).requires_grad


def test_a_detached_control_has_no_gradient_in_segments_either() -> None:
    controller = gentle(Pendulum(), ControlGradient("detached"))
    value = cost_of(controller, starts(Pendulum()), Grid(4), 2, hjb=False)
    assert slopes_of(value, controller).eq(0).all()


def test_searches_are_not_repeated_for_segments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = Pendulum()
    controller, count = gentle(problem, ControlGradient()), [0]
    find = ControlSearch.find

    def counted(self: ControlSearch, *args: Tensor) -> Solution:
        count[0] += 1
        return find(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ControlSearch, "find", counted)
    cost_of(controller, starts(problem), Grid(6), 2).backward()  # type: ignore[no-untyped-call]
    assert count == [6]


# ---- memory


@contextmanager
def kept() -> Iterator[Callable[[], int]]:
    """The largest number of bytes that graphs have kept for backward passes at once."""
    live, most = [0], [0]

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor.detach()  # its own node would keep it alive
            self.size = tensor.numel() * tensor.element_size()
            live[0] += self.size
            most[0] = max(most[0], live[0])

        def __del__(self) -> None:
            live[0] -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        yield lambda: most[0]


def peak(controller: Controller, steps: int = 3, segment: int = 0) -> int:
    """The peak of a rollout and its backward pass."""
    with kept() as most:
        z = starts(controller.problem)
        cost_of(controller, z, Grid(steps), segment).backward()  # type: ignore[no-untyped-call]
        return most()


@pytest.mark.parametrize("problem", [Pendulum(), Quadrotor()], ids=told)
@pytest.mark.parametrize("rule", ["one_step", "implicit", "unrolled"])
def test_memory_is_flat_in_inner_steps_but_where_they_are_unrolled(
    problem: ControlProblem, rule: str
) -> None:
    peaks = []
    for steps in (4, 24, 44):
        gradient = ControlGradient(rule, 0.01, unrolled_steps=steps)
        controller = gentle(problem, gradient)
        controller.search = ControlSearch(
            GradientStep(0.01), 1e-13, max_steps=steps, exact=False
        )
        peaks.append(peak(controller))
    if rule == "unrolled":
        assert peaks[1] > 1.5 * peaks[0]
        assert peaks[2] - peaks[1] == pytest.approx(peaks[1] - peaks[0], rel=0.1)
    else:
        assert peaks[2] == peaks[1] == peaks[0]


@pytest.mark.parametrize("gradient", RULES, ids=lambda g: f"{g.rule} {g.step}")
def test_segments_bound_memory(gradient: ControlGradient) -> None:
    controller = gentle(Pendulum(), gradient)
    assert peak(controller, 16, 4) < 0.4 * peak(controller, 16)


# ---- kicks, grids, and what is told


def test_a_kick_changes_what_comes_after_it() -> None:
    problem = DoubleIntegrator()
    controller, z = known_controller(problem), starts(problem)
    seen: list[tuple[int, float]] = []

    def kick(step: int, t: float, z: Tensor) -> Tensor:
        seen.append((step, t))
        return z + 1.0 if step == 3 else z

    calm = roll_out(problem, controller, z, Grid(6))
    found = roll_out(problem, controller, z, Grid(6), kick)
    assert seen == [(k, pytest.approx(k / 6)) for k in range(6)]
    assert torch.equal(found.states[:3], calm.states[:3])
    close(found.states[3], calm.states[3] + 1)
    assert (found.controls[3:] - calm.controls[3:]).abs().min() > 1e-3
    # states follow from those after the kick, so that a trajectory can be replayed
    h, t = 1 / 6, torch.zeros(4)
    step = h * problem.dynamics(t, found.states[3], found.controls[3])
    close(found.states[4], found.states[3] + step)


@pytest.mark.parametrize(
    "kick", [lambda k, t, z: z[:1], lambda k, t, z: None, lambda k, t, z: 1.0]
)
def test_a_kick_to_no_states_is_refused(kick: Callable) -> None:
    problem = DoubleIntegrator()
    with pytest.raises(DataError, match=r"^disturb: must return states.*\(4, 2\)"):
        roll_out(problem, known_controller(problem), starts(problem), Grid(2), kick)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"steps": 5, "scheme": "heun"}, "scheme"),
        ({"steps": 5, "scheme": "rk4", "cost_after": True}, "cost_after"),
    ],
)
def test_grids_that_are_none_are_refused(fields: dict, name: str) -> None:
    with pytest.raises(DataError, match=f"^{name}: "):
        Grid(**fields)


def test_trajectories_say_how_searches_ended() -> None:
    problem = Pendulum()
    controller = small_controller(problem, search=ControlSearch(max_steps=1, tol=1e-9))
    found = roll_out(problem, controller, starts(problem), Grid(4))
    assert found.unconverged == float(
        (found.status != Status.CONVERGED).double().mean()
    )
    assert found.unconverged > 0
    assert found.largest_residual == float(found.residual.max()) > 1e-9
    direct = DirectController(problem, ValueNetwork(2, 4)).double()
    found = roll_out(problem, direct, starts(problem), Grid(4))
    assert found.unconverged == found.largest_residual == found.evaluations == 0


def test_unrolled_steps_are_counted() -> None:
    problem = Pendulum()
    gradient = ControlGradient("unrolled", 0.1, unrolled_steps=11)
    found = rolled(
        problem, small_controller(problem, gradient), starts(problem), Grid(2)
    )
    assert [each.evaluations for each in found.found] == [48, 48]
    assert found.found[0].unconverged > 0


def test_a_lost_trajectory_leaves_the_others_alone() -> None:
    problem = EVERY["consumption"]
    z = starts(problem)
    controller = small_controller(problem, search=ControlSearch(tol=1e-6))
    calm = roll_out(problem, controller, z, Grid(3))

    def kick(step: int, t: float, z: Tensor) -> Tensor:
        z = z.clone()
        z[1] = torch.nan
        return z

    found = roll_out(problem, controller, z, Grid(3), kick)
    assert found.cost[1].isnan()
    assert (found.status[:, 1] != Status.CONVERGED).all()
    close(found.cost[[0, 2, 3]], calm.cost[[0, 2, 3]])
