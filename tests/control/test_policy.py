"""Feedback policies: what goes in and out, what is refused, and that feedback beats replayed controls."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from control.problems_of_control import (
    Pendulum,
    known_controller,
    small_controller,
)
from torch import Tensor

from brenier.control import (
    Action,
    Controller,
    ControlProblem,
    ControlSearch,
    DirectController,
    DoubleIntegrator,
    FeedbackPolicy,
    Grid,
    ValueNetwork,
)
from brenier.errors import ConvergenceWarning, DataError
from brenier.solve import Solution

close = torch.testing.assert_close


def policy_of(
    problem: ControlProblem | None = None, **fields: object
) -> FeedbackPolicy:
    controller = small_controller(problem or Pendulum())
    return FeedbackPolicy(controller.float(), Grid(5))


FLOAT = policy_of().with_search(ControlSearch())


# ---- in and out


def test_tensors_give_tensors_and_arrays_arrays() -> None:
    z = torch.linspace(-1, 1, 8).reshape(4, 2)
    for ask in (FLOAT, FLOAT.value, FLOAT.costate):
        tensor, array = ask(z, 0.3), ask(z.numpy(), 0.3)
        assert isinstance(tensor, Tensor)
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.dtype == torch.float32
        assert len(tensor) == 4
        assert not tensor.requires_grad
    assert FLOAT(z, 0.3).shape == (4, 1)
    assert FLOAT.value(z, 0.3).shape == (4,)
    assert FLOAT.costate(z, 0.3).shape == (4, 2)


def test_times_are_one_or_one_for_each_state() -> None:
    z = torch.linspace(-1, 1, 6).reshape(3, 2)
    each = FLOAT(z, torch.tensor([0.0, 0.5, 1.0]))
    ways: list[Any] = [0, np.float64(0.5), torch.tensor(1.0)]
    for i, t in enumerate(ways):
        close(each[i : i + 1], FLOAT(z[i : i + 1], t))
    close(FLOAT(z, [0.0, 0.5, 1.0]), each)  # type: ignore[arg-type]
    FLOAT(z, 1.0 + 1e-9)


@pytest.mark.parametrize(
    "states",
    [
        np.ones((3, 2), dtype=np.int64),
        np.ones((6, 2))[::-2],
        np.broadcast_to(np.ones(2), (3, 2)),
        [[1.0, 1.0]] * 3,
        np.ones((2, 3), dtype=np.float32).T,
        torch.ones(3, 2, dtype=torch.float64, requires_grad=True),
        torch.ones(3, 2, dtype=torch.int32),
    ],
    ids=["whole", "backwards", "read-only", "lists", "columns", "graph", "ints"],
)
def test_any_array_of_numbers_will_do(states: object) -> None:
    wanted = FLOAT(torch.ones(3, 2), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = FLOAT(states, 0.5)  # type: ignore[arg-type]
        FLOAT.rollout(states)  # type: ignore[arg-type]
    np.testing.assert_allclose(np.asarray(found), wanted.numpy(), rtol=1e-5)


def test_a_policy_acts_as_its_rollout_did() -> None:
    z = torch.linspace(-1, 1, 8).reshape(4, 2)
    found = FLOAT.rollout(z)
    for k in range(5):
        again = FLOAT(found.states[k], float(found.times[k]))
        close(again, found.controls[k], rtol=1e-3, atol=1e-3)
    assert len(FLOAT.rollout(z, steps=9).controls) == 9
    finer = FLOAT.rollout(z, steps=9, scheme="rk4")
    assert not torch.equal(finer.states, FLOAT.rollout(z, steps=9).states)


# ---- refusals

STATES = {
    "one state": torch.ones(2),
    "columns": torch.ones(3, 3),
    "empty": torch.ones(0, 2),
    "text": [["a", "b"]],
    "ragged": [[1.0], [1.0, 2.0]],
    "nothing": None,
    "complex": torch.ones(3, 2, dtype=torch.complex64),
    "NaN": torch.tensor([[0.0, 0.0], [0.0, torch.nan]]),
    "infinite": np.array([[0.0, 0.0], [np.inf, 0.0]]),
    "beyond float32": np.array([[0.0, 0.0], [1e300, 0.0]]),
}


@pytest.mark.parametrize("states", STATES.values(), ids=STATES.keys())
def test_states_that_are_none_are_refused(states: object) -> None:
    for name, ask in (("z", FLOAT), ("z", FLOAT.value), ("z", FLOAT.costate)):
        with pytest.raises(DataError, match=f"^{name}: "):
            ask(states, 0.5)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^z0: ") as caught:
        FLOAT.rollout(states)  # type: ignore[arg-type]
    assert caught.value.argument == "z0"


def test_the_row_that_is_none_is_named() -> None:
    for name in ("NaN", "infinite", "beyond float32"):
        with pytest.raises(DataError, match="row 1 holds"):
            FLOAT(STATES[name], 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "t", [-0.1, 1.1, np.nan, np.inf, torch.ones(3), torch.ones(2, 1), "noon", None, 1j]
)
def test_times_that_are_none_are_refused(t: object) -> None:
    with pytest.raises(DataError, match=r"^t: "):
        FLOAT(torch.ones(2, 2), t)  # type: ignore[arg-type]


def test_rollouts_that_are_none_are_refused() -> None:
    z = torch.ones(2, 2)
    with pytest.raises(DataError, match=r"^steps: "):
        FLOAT.rollout(z, steps=0)
    with pytest.raises(DataError, match=r"^scheme: "):
        FLOAT.rollout(z, scheme="heun")
    with pytest.raises(DataError, match=r"^disturb: "):
        FLOAT.rollout(z, lambda k, t, z: z[:, :1])


def test_a_controller_without_value_function_has_none() -> None:
    direct = FeedbackPolicy(DirectController(Pendulum(), ValueNetwork(2, 4)))
    z = torch.ones(2, 2)
    assert direct(z, 0.0).shape == (2, 1)
    for ask in (direct.value, direct.costate):
        with pytest.raises(DataError, match=r"^value: .*no value function"):
            ask(z, 0.0)
    with pytest.raises(DataError, match=r"^search: "):
        direct.with_search(ControlSearch())


def test_a_controller_without_weights_has_the_usual_precision() -> None:
    class Still(Controller):
        def __init__(self) -> None:
            super().__init__()
            self.problem = Pendulum()

        def act(
            self,
            t: Tensor,
            z: Tensor,
            before: Tensor | None = None,
            known: Solution | None = None,
        ) -> Action:
            return Action(z[:, :1] * 0)

    policy = FeedbackPolicy(Still())
    assert policy(np.ones((2, 2)), 0.0).dtype == np.float32
    assert policy.rollout(np.ones((2, 2))).unconverged == 0
    buffered = FeedbackPolicy(known_controller(DoubleIntegrator()))
    assert buffered(np.ones((2, 2)), 0.0).dtype == np.float64


# ---- what is told


def test_unconverged_controls_are_warned_of() -> None:
    short = FLOAT.with_search(ControlSearch(max_steps=1, tol=1e-6))
    z = 3 * torch.ones(4, 2)
    with pytest.warns(ConvergenceWarning, match=r"controls: \d of 4 rows"):
        short(z, 0.0)
    with pytest.warns(ConvergenceWarning, match=r"rollout: .*% of all controls"):
        found = short.rollout(z)
    assert 0 < found.unconverged <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FLOAT(z, 0.0)
        FLOAT.rollout(z)


def test_the_weights_of_a_policy_do_not_train() -> None:
    assert not any(part.requires_grad for part in FLOAT.controller.parameters())
    assert not FLOAT.controller.training


# ---- feedback


def replayed(
    problem: ControlProblem, controls: Tensor, z: Tensor, kick: Tensor
) -> Tensor:
    """What controls cost that do not see a kick at half time."""
    steps = len(controls)
    cost, h = torch.zeros(len(z)).to(z), problem.horizon / steps
    for k in range(steps):
        z = z + kick if k == steps // 2 else z
        t = torch.full((len(z),), k * h).to(z)
        cost = cost + h * problem.running_cost(t, z, controls[k])
        z = z + h * problem.dynamics(t, z, controls[k])
    return cost + problem.terminal_cost(z)


def test_feedback_beats_replaying_after_a_kick() -> None:
    problem = DoubleIntegrator()
    policy = FeedbackPolicy(known_controller(problem), Grid(20))
    z = problem.initial_states(8, torch.Generator().manual_seed(0))
    kick = torch.randn(8, 2, generator=torch.Generator().manual_seed(1)).to(z)
    calm = policy.rollout(z)
    close(replayed(problem, calm.controls, z, 0 * kick), calm.cost)
    kicked = policy.rollout(z, lambda k, t, z: z + kick if k == 10 else z)
    replay = replayed(problem, calm.controls, z, kick)
    assert (kicked.cost < replay).all()
    # ... and costs no more than the best from there on, in continuous time
    half = torch.full((8,), 0.5, dtype=torch.float64)
    best = problem.value(half, calm.states[10] + kick)
    spent = policy.rollout(z).running
    assert float((kicked.cost - best).mean()) < 1.05 * float(spent.mean())


def test_before_a_kick_nothing_is_known_of_it() -> None:
    problem = DoubleIntegrator()
    policy = FeedbackPolicy(known_controller(problem), Grid(20))
    z = torch.zeros(1, 2, dtype=torch.float64)
    kicked = policy.rollout(z, lambda k, t, z: z + 1 if k == 10 else z)
    assert kicked.controls[:10].abs().max() < 1e-12
    assert kicked.controls[10:].abs().min() > 1e-2
