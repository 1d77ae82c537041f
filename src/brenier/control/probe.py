"""Asks a problem and a network of the user's a few questions, so that a slip is told before training, and by name."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from brenier.control.controller import Controller
from brenier.control.problem import ControlProblem
from brenier.errors import DataError


@torch.no_grad()
def require_sound(problem: ControlProblem, like: Tensor) -> None:
    """Refuse a problem whose functions fail, or return something of another shape, NaN or inf.

    Args:
        problem: of the user's.
        like: a tensor of the precision and on the device to compute in.

    Raises:
        DataError: which names the function.
    """
    n, d, m = 3, problem.state_dim, problem.control_dim
    drawn = _asked(
        "initial_states", lambda: problem.initial_states(n, torch.Generator()), (n, d)
    )
    z = drawn.to(like)
    for time in (0.0, problem.horizon / 2):
        t = z.new_full((n,), time)
        _require_bounds(problem, t, z)
        u = _asked("first_control", lambda t=t: problem.first_control(t, z), (n, m))  # type: ignore[misc]
        _asked("dynamics", lambda t=t, u=u: problem.dynamics(t, z, u), (n, d))  # type: ignore[misc]
        _asked("running_cost", lambda t=t, u=u: problem.running_cost(t, z, u), (n,))  # type: ignore[misc]
    _asked("terminal_cost", lambda: problem.terminal_cost(z), (n,))


def require_network(network: nn.Module, problem: ControlProblem, like: Tensor) -> None:
    """Refuse a network that is no value function of states and times, or a controller of another problem.

    Raises:
        DataError: which says why.
    """
    if not isinstance(network, nn.Module):
        raise _unfit(f"must be a module, got {type(network).__name__}")
    if not any(part.requires_grad for part in network.parameters()):
        raise _unfit("has no parameters to train")
    if isinstance(network, Controller):
        if network.problem != problem:
            raise _unfit("is a controller of another problem; give it this one")
        return
    n, x = 3, problem.state_dim + 1
    try:
        with torch.no_grad():
            value = copy.deepcopy(network).to(like)(like.new_zeros(n, x))
    except Exception as error:  # whatever a module that does not fit leads to
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _unfit(
            f"cannot take states and times, shape (n, {x}): {fault}"
        ) from error
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if shape != (n,):
        raise _unfit(
            f"must return one number for each state, shape ({n},), got {shape}; end it with nn.Flatten(0) where it "
            "returns a column"
        )


def _require_bounds(problem: ControlProblem, t: Tensor, z: Tensor) -> None:
    """Refuse bounds that are no tensors of the right shape, or cross, or are NaN."""
    n, m = len(z), problem.control_dim
    bounds = problem.bounds(t, z)
    if bounds is None:
        return
    for part in bounds:
        try:
            part.broadcast_to(n, m)
        except (AttributeError, RuntimeError) as error:
            raise _refused(
                "bounds", f"must be tensors that broadcast to ({n}, {m})"
            ) from error
        if bool(torch.isnan(part).any()):
            raise _refused("bounds", "are NaN; give infinite ones where there are none")
    bounds.in_order()


def _asked(name: str, ask: Callable[[], Tensor], wanted: tuple[int, ...]) -> Tensor:
    """Return what a function of the problem returns, or refuse it."""
    try:
        found = ask()
    except DataError:
        raise
    except Exception as error:  # whatever is wrong in the user's function
        raise _refused(name, f"failed with {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor):
        raise _refused(name, f"must return a tensor, got {type(found).__name__}")
    if found.shape != wanted:
        raise _refused(
            name, f"must return shape {wanted} here, got {tuple(found.shape)}"
        )
    if not bool(torch.isfinite(found).all()):
        raise _refused(name, "returned NaN or inf at initial states")
    return found


def _refused(name: str, fault: str) -> DataError:
    return DataError(f"{name}: {fault}; mend it in the problem", argument=name)


def _unfit(fault: str) -> DataError:
    return DataError(f"network: {fault}", argument="network")
