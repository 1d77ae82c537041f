"""A feedback policy: what to do in every state at every time, with its rollouts and its files."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.control.controller import Controller, ImplicitController
from brenier.control.problem import ControlProblem
from brenier.control.rollout import Disturb, Grid, Trajectory, roll_out
from brenier.control.search import ControlSearch
from brenier.control.value import ValueJet
from brenier.errors import ConvergenceWarning, DataError, warn

States = Tensor | NDArray[np.floating[Any]]


class FeedbackPolicy:
    """The control u(z, t) of a controller that was trained, or of one made by hand.

    Args:
        controller: acts; its precision and device are those of its parameters.
        grid: how time is divided where nothing else is said.
        history, diagnostics: of the training, as `OptimalControl` has them; empty for one made by hand.

    Attributes:
        problem: what it controls.
    """

    def __init__(
        self,
        controller: Controller,
        grid: Grid | None = None,
        history: Sequence[dict[str, float]] = (),
        diagnostics: Mapping[str, object] | None = None,
    ) -> None:
        self.controller = controller.eval().requires_grad_(False)
        self.problem: ControlProblem = controller.problem
        self.grid = grid or Grid(self.problem.steps)
        self.history = list(history)
        self.diagnostics = dict(diagnostics or {})

    def __call__(self, z: States, t: float | Tensor) -> Any:
        """Return the controls at states z (n, d) and time t, one number or (n,): (n, m), an array for an array.

        Where a search does not converge, a `ConvergenceWarning` says how many did not.

        Raises:
            DataError: for states of another shape or with NaN, or a time outside [0, T].
        """
        states = self._states(z, "z")
        with torch.no_grad():
            action = self.controller.act(self._times(t, states), states)
        if action.found is not None and action.found.unconverged:
            warn(f"controls: {action.found.report()}", ConvergenceWarning)
        return self._as_given(action.control, z)

    def value(self, z: States, t: float | Tensor) -> Any:
        """Return the value function at states (n, d) and time t: (n,).

        Only its gradient steers, so that only that is trained, along paths. The number is the cost to go no better than
        the equation of Hamilton, Jacobi and Bellman holds, see `ControlSettings.hjb_weight`.

        Raises:
            DataError: as above, and where the controller has no value function.
        """
        return self._as_given(self._jet(z, t).value, z)

    def costate(self, z: States, t: float | Tensor) -> Any:
        """Return the gradient of the value function in z, at states (n, d) and time t: (n, d).

        In directions that no control pushes, costs say little about it.

        Raises:
            DataError: as above.
        """
        return self._as_given(self._jet(z, t).costate, z)

    def rollout(
        self,
        z0: States,
        disturb: Disturb | None = None,
        *,
        steps: int | None = None,
        scheme: str | None = None,
    ) -> Trajectory:
        """Return the trajectories from initial states z0 (n, d) in closed loop.

        Where searches do not converge, a `ConvergenceWarning` says how many did not.

        Args:
            z0: initial states.
            disturb: (step, t, z (n, d)) -> z, what happens to states before the policy acts in a step, or None.
            steps: equal ones that [0, T] is divided into; by default those of training.
            scheme: "euler", "midpoint" or "rk4"; by default that of training.

        Raises:
            DataError: for states of another shape or with NaN, or a grid that is none.
        """
        z = self._states(z0, "z0")
        grid = dataclasses.replace(
            self.grid,
            steps=self.grid.steps if steps is None else steps,
            scheme=self.grid.scheme if scheme is None else scheme,
        )
        found = roll_out(self.problem, self.controller, z, grid, disturb)
        if found.unconverged:
            warn(
                f"rollout: {found.unconverged:.2%} of all controls did not converge (largest residual "
                f"{found.largest_residual:.1e}); raise `max_steps` of the search, or loosen its `tol`",
                ConvergenceWarning,
            )
        return found

    def with_search(self, search: ControlSearch) -> FeedbackPolicy:
        """Return the same policy, its controls searched in another way.

        Raises:
            DataError: where the controller has no search.
        """
        controller = self.controller
        if not isinstance(controller, ImplicitController):
            raise DataError("search: the controller gives controls without one")
        other = ImplicitController(controller.value, search, controller.gradient)
        return FeedbackPolicy(other, self.grid, self.history, self.diagnostics)

    def save(self, folder: str | Path) -> None:
        """Write the policy as safetensors and JSON, whole or not at all.

        Raises:
            DataError: where its network or its search is not one of this library.
            OSError: where the folder cannot be written; what was there before stays.
        """
        from brenier.control.policy_files import save_policy

        save_policy(folder, self)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        problem: ControlProblem | None = None,
        device: torch.device | str = "cpu",
    ) -> FeedbackPolicy:
        """Return the policy saved in a folder.

        Args:
            folder: where it was saved.
            problem: what it controls; only needed for a problem that is not one of this library.
            device: to move it to.

        Raises:
            DataError: where the folder is no path, or the problem is another, or has to be given.
            ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
        """
        from brenier.control.policy_files import load_policy

        return load_policy(folder, problem, device)

    @property
    def like(self) -> Tensor:
        """A parameter, or a buffer where there is none, whose precision and device are those of the policy."""
        parts = itertools.chain(self.controller.parameters(), self.controller.buffers())
        return next(parts, torch.zeros(()))

    def _jet(self, z: States, t: float | Tensor) -> ValueJet:
        """Return the value function and its derivatives."""
        if not isinstance(self.controller, ImplicitController):
            raise DataError("value: the controller has no value function")
        states = self._states(z, "z")
        with torch.no_grad():
            return self.controller.value.jet(states, self._times(t, states))

    def _states(self, z: States, name: str) -> Tensor:
        """Return states as a tensor of the policy's precision, on its device."""
        dim = self.problem.state_dim
        states = _as_numbers(z, name, f"states (n, {dim})")
        if states.dim() != 2 or states.shape[1] != dim or not states.shape[0]:
            raise DataError(
                f"{name}: must be states (n, {dim}) of {type(self.problem).__name__}, got shape {tuple(states.shape)}",
                argument=name,
            )
        states = states.to(self.like)
        finite = torch.isfinite(states).all(-1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise DataError(
                f"{name}: row {row} holds NaN or inf, or numbers beyond {states.dtype}; leave such states out",
                argument=name,
            )
        return states

    def _times(self, t: float | Tensor, z: Tensor) -> Tensor:
        """Return times (n,)."""
        times = _as_numbers(t, "t", "one time, or one for each state").to(z)
        horizon = self.problem.horizon
        if times.dim() > 1 or (times.dim() and len(times) != len(z)):
            raise DataError(
                f"t: must be one time or one for each of {len(z)} states, got shape {tuple(times.shape)}",
                argument="t",
            )
        # A time just beyond T is the rounding of whoever counts steps.
        slack = horizon * math.sqrt(torch.finfo(z.dtype).eps)
        if not bool(((times >= -slack) & (times <= horizon + slack)).all()):
            raise DataError(
                f"t: must lie in [0, {horizon:g}], the horizon of the problem",
                argument="t",
            )
        return times.clamp(0, horizon).expand(len(z))

    @staticmethod
    def _as_given(found: Tensor, given: States) -> Any:
        """Return a result as a tensor for a tensor, else as an array."""
        return found if isinstance(given, Tensor) else found.cpu().numpy()


def _as_numbers(values: States | float, name: str, wanted: str) -> Tensor:
    """Return values as a tensor without a graph.

    Raises:
        DataError: where they are no real numbers.
    """
    try:
        if isinstance(values, Tensor):
            if values.is_complex():
                raise TypeError("complex numbers")
            return values.detach()
        if np.iscomplexobj(values):
            raise TypeError("complex numbers")
        # A copy, so that arrays may be read-only, or run backwards.
        return torch.from_numpy(np.array(values, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name}: is no array of numbers ({error}); give {wanted}", argument=name
        ) from error
