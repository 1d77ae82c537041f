"""The estimator: problems of the library and a user's own, and every parameter that cannot be used."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control.problems_of_control import Pendulum, weights_of
from torch import Tensor, nn

from brenier import ResidualPotential
from brenier.control import (
    PROBLEMS,
    Bounds,
    ControlGradient,
    ControlProblem,
    ControlSearch,
    ControlSettings,
    DirectController,
    FeedbackPolicy,
    OptimalControl,
    QuadraticIntegrator,
    ValueNetwork,
)
from brenier.errors import DataError

FEW = ControlSettings(held_out_states=16, evaluate_every=3)
SMALL: dict[str, Any] = {
    "steps": 4,
    "width": 5,
    "batch_size": 6,
    "max_steps": 3,
    "settings": FEW,
}


def optimal(problem: object = "quadratic-integrator", **fields: Any) -> OptimalControl:
    return OptimalControl(problem, **SMALL | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_trains(name: str) -> None:
    found = optimal(name).fit()
    problem = found.problem
    z = problem.initial_states(3, torch.Generator()).numpy()
    assert found.policy_(z, 0.0).shape == (3, problem.control_dim)
    trajectory = found.policy_.rollout(z)
    assert trajectory.states.shape == (5, 3, problem.state_dim)
    assert trajectory.controls.shape == (4, 3, problem.control_dim)
    assert bool(trajectory.cost.isfinite().all())
    facts = found.diagnostics_
    assert facts["steps"] == 3
    assert facts["unconverged"] == 0
    assert facts["cost"] == pytest.approx(
        facts["running_cost"] + facts["terminal_cost"]
    )
    assert facts["standard_error"] > 0
    assert found.policy_.diagnostics == facts
    assert len(found.history_) == 2


# ---- a user's own problem


@dataclasses.dataclass(frozen=True)
class Switch(ControlProblem):
    """A boat whose engine has a largest power."""

    drag: float = 0.5
    state_dim = 2
    control_dim = 1

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return torch.stack([z[:, 1], u[:, 0] - self.drag * z[:, 1]], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return z.square().sum(-1) + u.square().sum(-1)

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 5 * z.square().sum(-1)

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator, dtype=torch.float64)

    def bounds(self, t: Tensor, z: Tensor) -> Bounds:
        return Bounds(-z.new_ones(1), z.new_ones(1))


def test_a_problem_of_twenty_lines_works_end_to_end(tmp_path: Path) -> None:
    problem = Switch(horizon=2.0)
    found = optimal(problem, steps=8, max_steps=12, gradient="implicit").fit()
    assert found.history_[-1]["value"] < found.history_[0]["value"]
    assert found.diagnostics_["unconverged"] == 0
    trajectory = found.policy_.rollout(3 * torch.ones(4, 2))
    assert float(trajectory.controls.abs().max()) <= 1.0
    assert bool((trajectory.controls.abs() == 1).any())  # it drives as hard as it can
    found.save(tmp_path / "policy")
    again = FeedbackPolicy.load(tmp_path / "policy", problem)
    z = np.ones((2, 2))
    np.testing.assert_array_equal(again(z, 0.5), found.policy_(z, 0.5))
    for other, device, name in (
        (None, "cpu", "problem"),
        (Switch(drag=1.0), "cpu", "problem"),
        (problem, "tpu", "device"),
    ):
        with pytest.raises(DataError, match=f"^{name}: ") as caught:
            FeedbackPolicy.load(tmp_path / "policy", other, device)
        assert caught.value.argument == name


def test_a_set_of_controls_that_is_discrete_has_a_hamiltonian_of_its_own() -> None:
    """Bang-bang: L does not depend on u, so that H is straight in it and a bound is best."""

    class Fastest(Switch):
        def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
            return z.square().sum(-1) + 0 * u[:, 0]

    found = optimal(Fastest(), max_steps=3).fit()
    controls = found.policy_.rollout(torch.randn(5, 2)).controls
    assert torch.equal(controls.abs(), torch.ones_like(controls))


# ---- networks


@pytest.mark.parametrize(
    "network",
    [
        ResidualPotential(3, 6),
        nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)),
        ValueNetwork(2, 4, 3),
        DirectController(Pendulum(), ValueNetwork(2, 4), scale=0.5),
    ],
    ids=lambda network: type(network).__name__,
)
@pytest.mark.parametrize("segment", [0, 2])
def test_networks_of_the_users_own_train(network: nn.Module, segment: int) -> None:
    before = copy.deepcopy(network.state_dict())
    settings = dataclasses.replace(FEW, segment=segment)
    found = optimal(Pendulum(), network=network, settings=settings).fit()
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    moved = weights_of(found.policy_.controller)
    assert all(part.requires_grad for part in network.parameters())
    assert not torch.equal(moved, weights_of(network).to(moved))


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        (nn.Linear(3, 1), r"one number for each state.*\(3, 1\).*Flatten"),
        (nn.Linear(2, 1), r"cannot take states and times, shape \(n, 3\)"),
        (ValueNetwork(5), "cannot take states and times"),
        (nn.Flatten(0), "no parameters"),
        (lambda x: x, "must be a module"),
        (
            DirectController(Pendulum(friction=3.0), ValueNetwork(2, 4)),
            "another problem",
        ),
    ],
    ids=["column", "columns", "states", "nothing", "function", "problem"],
)
def test_networks_that_do_not_fit_are_refused(network: Any, fault: str) -> None:
    with pytest.raises(DataError, match=f"^network: .*{fault}"):
        optimal(Pendulum(), network=network).fit()


# ---- parameters

PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"problem": "pendulum"}, "problem"),
    ({"problem": 3}, "problem"),
    ({"problem": QuadraticIntegrator}, "problem"),
    ({"gradient": "adjoint"}, "gradient|rule"),
    ({"gradient": 3}, "gradient"),
    ({"search": "newton"}, "search"),
    ({"settings": {}}, "settings"),
    ({"scheme": "heun"}, "scheme"),
    ({"steps": 0}, "steps"),
    ({"steps": 1.5}, "steps"),
    ({"width": 0}, "width"),
    ({"layers": 0}, "layers"),
    ({"batch_size": -1}, "batch_size"),
    ({"max_steps": 0}, "max_steps"),
    ({"learning_rate": 0.0}, "learning_rate"),
    ({"learning_rate": "fast"}, "learning_rate"),
    ({"max_time": -1.0}, "max_time"),
    ({"max_time": float("nan")}, "max_time"),
    ({"dtype": "float16"}, "dtype"),
    ({"dtype": torch.float32}, "dtype"),
    ({"device": "tpu"}, "device"),
    ({"device": 3.5}, "device"),
    ({"random_state": -1}, "random_state"),
    ({"random_state": 0.5}, "random_state"),
    ({"random_state": None}, "random_state"),
    ({"optimizer": lambda weights: None}, "optimizer"),
]


@pytest.mark.parametrize(("fields", "name"), PARAMETERS, ids=repr)
def test_parameters_that_cannot_be_used_are_refused(
    fields: dict[str, Any], name: str
) -> None:
    with pytest.raises(DataError, match=f"^({name}): ") as caught:
        optimal(**fields).fit()
    assert caught.value.argument is not None


@pytest.mark.parametrize(
    ("fields", "name"), [({"horizon": 0.0}, "horizon"), ({"steps": 0}, "steps")]
)
def test_a_problem_without_time_is_refused(fields: dict, name: str) -> None:
    with pytest.raises(DataError, match=f"^{name}: "):
        Pendulum(**fields)


def test_a_policy_is_needed_before_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"call fit\(\) first"):
        optimal().save(tmp_path / "policy")


# ---- problems with a slip


def with_slip(name: str, function: Callable) -> ControlProblem:
    """The boat with a function in place of its own."""
    kind: Any = dataclasses.dataclass(frozen=True)(
        type("Slip", (Switch,), {name: function})
    )
    return kind()


SLIPS: dict[str, tuple[str, Callable, str]] = {
    "one dimension": ("dynamics", lambda self, t, z, u: z[:, 0], r"shape \(3, 2\)"),
    "column": ("running_cost", lambda self, t, z, u: z[:, :1], r"shape \(3,\)"),
    "mean": ("terminal_cost", lambda self, z: z.mean(), r"shape \(3,\)"),
    "number": ("terminal_cost", lambda self, z: 1.0, "tensor"),
    "fails": ("dynamics", lambda self, t, z, u: z[5], "failed with IndexError"),
    "few": ("initial_states", lambda self, n, g: torch.ones(1, 2), r"\(3, 2\)"),
    "NaN": ("initial_states", lambda self, n, g: torch.full((n, 2), torch.nan), "NaN"),
    "infinite": ("running_cost", lambda self, t, z, u: z[:, 0] / 0, "NaN or inf"),
    "start": ("first_control", lambda self, t, z: z, r"shape \(3, 1\)"),
    "crossed": (
        "bounds",
        lambda self, t, z: Bounds(z.new_ones(1), -z.new_ones(1)),
        r"lower exceeds upper for control 0 \(1 > -1\)",
    ),
    "crossed later": (
        "bounds",
        lambda self, t, z: Bounds(t[:, None], 1 - 2 * t[:, None]),
        "lower exceeds upper",
    ),
    "no bounds": (
        "bounds",
        lambda self, t, z: Bounds(z.new_full((1,), torch.nan), z.new_ones(1)),
        "NaN",
    ),
    "bounds": (
        "bounds",
        lambda self, t, z: Bounds(z.new_zeros(7), z.new_ones(7)),
        r"broadcast to \(3, 1\)",
    ),
    "numbers": ("bounds", lambda self, t, z: Bounds(-1.0, 1.0), "tensors"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS.keys())
def test_a_slip_in_a_problem_is_told_by_name(slip: tuple[str, Callable, str]) -> None:
    name, function, fault = slip
    with pytest.raises(DataError, match=f"^{name}: .*{fault}") as caught:
        optimal(with_slip(name, function)).fit()
    assert caught.value.argument == name


def test_bounds_that_cross_only_far_away_are_told_on_the_way() -> None:
    def bounds(self: Switch, t: Tensor, z: Tensor) -> Bounds:
        return Bounds(-z.new_ones(1), (100 - z[:, :1].abs()))

    policy = optimal(with_slip("bounds", bounds)).fit().policy_
    for search in (ControlSearch(), ControlSearch(exact=False)):
        with pytest.raises(DataError, match=r"^bounds: lower exceeds upper"):
            policy.with_search(search)(torch.full((2, 2), 200.0), 0.0)


def test_rules_by_name_are_gradients() -> None:
    assert optimal(gradient="implicit").gradient == ControlGradient("implicit")
    assert optimal("regulator").problem.state_dim == 10
