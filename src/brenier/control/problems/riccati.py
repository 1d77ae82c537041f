"""The answer of linear dynamics with quadratic costs: by the Riccati equation, in continuous time and on Euler's grid.

z' = A z + B u,   L = (z' Q z + u' R u) / 2,   G = z' F z / 2,   phi(t, z) = z' P(t) z / 2
-P' = Q + A' P + P A - P B R^{-1} B' P,   P(T) = F
"""

from __future__ import annotations

import abc
import dataclasses
import functools

import numpy as np
import torch
from scipy.integrate import OdeSolution, solve_ivp
from torch import Tensor
from torch.linalg import vecdot

from brenier.control.problem import ControlProblem
from brenier.errors import ConvergenceError


@dataclasses.dataclass(frozen=True, eq=False)
class LinearQuadratic:
    """The matrices of a linear problem with quadratic costs, float64.

    Attributes:
        A: of the state in the dynamics, (d, d).
        B: of the control, (d, m).
        Q: weights of the state in the running cost, (d, d).
        R: weights of the control, (m, m).
        F: weights of the last state, (d, d).
        horizon: T.
        accuracy: of P(t), relative; that of its smallest entries is a hundredth of it, absolute.
    """

    A: np.ndarray
    B: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    F: np.ndarray
    horizon: float
    accuracy: float = 1e-11

    def matrix(self, t: Tensor) -> Tensor:
        """Return P(t), whose derivative in t autograd knows: (n,) -> (n, d, d)."""
        times, place = torch.unique(t.detach(), return_inverse=True)
        found = self._solution(self.horizon - times.double().cpu().numpy())
        at = found.T.reshape(-1, *self.A.shape)
        slope = torch.from_numpy(-self._slope(at)).to(t)[place]
        away = (t - t.detach())[:, None, None]
        return torch.from_numpy(at).to(t)[place] + away * slope

    def first_of_grid(self, steps: int) -> np.ndarray:
        """Return the matrix of the least cost over Euler steps from the start: (d, d)."""
        h = self.horizon / steps
        step, push = np.eye(len(self.A)) + h * self.A, h * self.B
        P = self.F
        for _ in range(steps):
            gain = np.linalg.solve(h * self.R + push.T @ P @ push, push.T @ P @ step)
            P = h * self.Q + step.T @ P @ (step - push @ gain)
            P = (P + P.T) / 2
        return P

    @functools.cached_property
    def _solution(self) -> OdeSolution:
        """P against the time that is left, as a flat vector.

        Raises:
            ConvergenceError: where the integration gives up.
        """
        found = solve_ivp(
            lambda _, flat: self._slope(flat.reshape(self.A.shape)).ravel(),
            (0.0, self.horizon),
            self.F.ravel(),
            method="DOP853",
            dense_output=True,
            rtol=self.accuracy,
            atol=self.accuracy / 100,
        )
        if not found.success:
            raise ConvergenceError(
                f"the Riccati equation of this problem could not be solved: {found.message} "
                "Its matrices are of very different sizes; scale states and controls, or take a shorter horizon"
            )
        return found.sol

    def _slope(self, P: np.ndarray) -> np.ndarray:
        """Return the derivative of P in the time that is left: (..., d, d)."""
        forward = P @ self.A
        drop = P @ self.B @ np.linalg.solve(self.R, self.B.T) @ P
        return self.Q + forward + forward.swapaxes(-1, -2) - drop


class KnownByRiccati(ControlProblem):
    """A problem of linear dynamics and quadratic costs, whose answer follows from its matrices."""

    @functools.cached_property
    @abc.abstractmethod
    def matrices(self) -> LinearQuadratic:
        """Its matrices."""

    def value(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the value function, differentiable in times (n,) and states (n, d): (n,)."""
        return vecdot(z, self.costate(t, z)) / 2

    def costate(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the value function in z, differentiable: (n, d)."""
        return torch.einsum("nij,nj->ni", self.matrices.matrix(t).to(z), z)

    def optimal_cost(self, z: Tensor) -> Tensor:
        """Return the least cost from z (n, d) at time 0 by `steps` Euler steps: (n,)."""
        P = torch.from_numpy(self.matrices.first_of_grid(self.steps)).to(z)
        return vecdot(z, z @ P) / 2
