"""Optimal costs of linear-quadratic problems by Riccati equations, and of others in closed form. numpy and scipy only.

    min_u  int_0^T (z'Qz + u'Ru) / 2 dt + z(T)'S z(T) / 2,   z' = Az + Bu

On the Euler grid of N steps, h = T / N, the cost is sum_k h (z_k'Q z_k + u_k'R u_k) / 2 + z_N'S z_N / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearQuadratic:
    """A linear-quadratic problem: A, Q, S (d, d), B (d, m), R (m, m), and the horizon T."""

    A: Array
    B: Array
    Q: Array
    R: Array
    S: Array
    horizon: float = 1.0


class Riccati(NamedTuple):
    """A value function z'P(t)z / 2 and its feedback u = -K(t)z at times t_0, t_1, ...: (N + 1, d, d) and (N, m, d)."""

    values: Array
    gains: Array

    def costs(self, z0: Array) -> Array:
        """Return the costs from initial states (n, d): (n,)."""
        return quadratic_costs(self.values[0], z0)


def quadratic_costs(P: Array, z0: Array) -> Array:
    """Return z'Pz / 2 for states (n, d): (n,)."""
    return np.einsum("ni,ij,nj->n", z0, P, z0) / 2


# ---- the problems


def integrator(
    axes: int = 2, alpha: float = 10.0, horizon: float = 1.0
) -> LinearQuadratic:
    """Return z' = u with L = |u|^2 / 2 and G = alpha |z|^2 / 2. The Euler grid is exact for it."""
    one, zero = np.eye(axes), np.zeros((axes, axes))
    return LinearQuadratic(zero, one, zero, one, alpha * one, horizon)


def double_integrator(
    axes: int = 1, q: float = 0.0, alpha: float = 10.0, horizon: float = 1.0
) -> LinearQuadratic:
    """Return z'' = u, states (positions, velocities), with L = (q |z|^2 + |u|^2) / 2 and G = alpha |z|^2 / 2."""
    one, zero, both = np.eye(axes), np.zeros((axes, axes)), np.eye(2 * axes)
    A = np.block([[zero, one], [zero, zero]])
    B = np.vstack([zero, one])
    return LinearQuadratic(A, B, q * both, one, alpha * both, horizon)


def coupled(
    seed: int = 0, alpha: float = 10.0, horizon: float = 1.0
) -> LinearQuadratic:
    """Return a problem of 10 coupled states and 4 controls of costs 1/2, 1, 2, 4 that seed draws."""
    rng = np.random.default_rng(seed)
    A = 0.5 * rng.standard_normal((10, 10)) / np.sqrt(10)
    B = rng.standard_normal((10, 4)) / np.sqrt(4)
    R = np.diag([0.5, 1.0, 2.0, 4.0])
    return LinearQuadratic(A, B, np.eye(10), R, alpha * np.eye(10), horizon)


# ---- Riccati equations


def discrete(problem: LinearQuadratic, steps: int) -> Riccati:
    """Return the optimum on the Euler grid, with values (steps + 1, d, d) and gains (steps, m, d)."""
    h, A, B = _euler(problem, steps)
    values, gains = [problem.S], []
    for _ in range(steps):
        P = values[-1]
        gain = np.linalg.solve(h * problem.R + B.T @ P @ B, B.T @ P @ A)
        values.append(_symmetric(h * problem.Q + A.T @ P @ (A - B @ gain)))
        gains.append(gain)
    return Riccati(np.stack(values[::-1]), np.stack(gains[::-1]))


def continuous(problem: LinearQuadratic, steps: int) -> Riccati:
    """Return the optimum in continuous time, told at the times of a grid; arrays as of `discrete`."""
    d = len(problem.A)
    A, B, Q = problem.A, problem.B, problem.Q
    to_gain = np.linalg.solve(problem.R, B.T)

    def backwards(_: float, flat: Array) -> Array:
        P = flat.reshape(d, d)
        return (Q + A.T @ P + P @ A - P @ B @ to_gain @ P).ravel()

    times = np.linspace(0, problem.horizon, steps + 1)
    solved = solve_ivp(
        backwards,
        (0, problem.horizon),
        problem.S.ravel(),
        method="DOP853",
        t_eval=times,
        rtol=1e-11,
        atol=1e-12,
    )
    values = solved.y.T.reshape(-1, d, d)[::-1]
    return Riccati(values, to_gain @ values[:-1])


def value_under_euler(problem: LinearQuadratic, gains: Array) -> Array:
    """Return the matrix of the cost z'Pz / 2 of feedback u_k = -gains[k] z_k on the Euler grid: (d, d)."""
    h, A, B = _euler(problem, len(gains))
    P = problem.S
    for gain in gains[::-1]:
        closed = A - B @ gain
        P = h * (problem.Q + gain.T @ problem.R @ gain) + closed.T @ P @ closed
    return P


def _euler(problem: LinearQuadratic, steps: int) -> tuple[float, Array, Array]:
    """Return h, I + hA and hB."""
    h = problem.horizon / steps
    return h, np.eye(len(problem.A)) + h * problem.A, h * problem.B


def _symmetric(P: Array) -> Array:
    """Return the symmetric part, lest rounding errors grow."""
    return (P + P.T) / 2


# ---- closed forms


def exponential_integrator(
    z0: Array, alpha: float = 10.0, horizon: float = 1.0
) -> tuple[Array, Array]:
    """Return the costs and the norms c of the constant controls -c z / |z| for z' = u with L = exp(|u|^2 / 2).

    G is alpha |z|^2 / 2. Held controls are exact, on any grid.

    Args:
        z0: initial states (n, d).
        alpha: the weight of the terminal cost.
        horizon: T.

    Returns:
        costs (n,) and norms (n,).
    """
    norms = np.linalg.norm(z0, axis=-1)

    def speed(norm: float) -> float:
        def excess(c: float) -> float:
            return c * np.exp(c**2 / 2) - alpha * (norm - c * horizon)

        # At norm / T the state would reach zero, and the left side alone is left.
        return brentq(excess, 0, norm / horizon, xtol=1e-15) if norm else 0.0

    c = np.array([speed(norm) for norm in norms])
    missed = norms - c * horizon
    return horizon * np.exp(c**2 / 2) + alpha / 2 * missed**2, c


@dataclass(frozen=True)
class Consumption:
    """Consumption with habits whose powers are one (eta = theta = 1), in closed form.

    A unit of u - h at time t costs s(t) of the final wealth: itself with interest, and as much again at all later
    times, for habits rise by one. Hence u - h = (exp(delta t) s(t) eps x_T^-gamma)^(-1 / gamma), the same for every
    agent, and x_T solves a linear equation. Habits decay and grow at rate one (A = B = I).

    Attributes:
        rate: r, the interest.
        discount: delta.
        gamma: the aversion to risk, not 1.
        bequest: eps.
        horizon: T.
    """

    rate: float = 0.3
    discount: float = 0.01
    gamma: float = 2.0
    bequest: float = 5.0
    horizon: float = 2.0

    def costs(self, z0: Array, steps: int | None = None) -> Array:
        """Return the least costs, minus utility and bequest: (n,); infinite where wealth cannot pay for the habits.

        Args:
            z0: wealth, then the habits of m agents (n, 1 + m).
            steps: of an Euler grid; by default time is continuous.
        """
        agents = z0.shape[1] - 1
        spent, growth = self._sums(steps)
        endowment = growth * z0[:, 0] - (growth - 1) / self.rate * z0[:, 1:].sum(-1)
        share = 1 + agents * self.bequest ** (-1 / self.gamma) * spent
        power = 1 - self.gamma
        final = endowment / share
        costs = -share * self.bequest * np.abs(final) ** power / power
        return np.where(final > 0, costs, np.inf)

    def _sums(self, steps: int | None) -> tuple[float, float]:
        """Return int exp(-delta t / gamma) s(t)^(1 - 1 / gamma) dt or its sum, and the growth of wealth."""
        times, widths, grown, growth = self._grid(steps)
        prices = grown + (grown - 1) / self.rate
        paid = np.exp(-self.discount * times / self.gamma)
        return float(widths @ (paid * prices ** (1 - 1 / self.gamma))), growth

    def _grid(self, steps: int | None) -> tuple[Array, Array, Array, float]:
        """Return times, their weights, what wealth grows to from then on, and from the start."""
        if steps is None:
            # 60 nodes of Gauss and Legendre leave nothing of a smooth integrand.
            nodes, weights = np.polynomial.legendre.leggauss(60)
            half = self.horizon / 2
            times = (nodes + 1) * half
            grown = np.exp(self.rate * (self.horizon - times))
            return times, weights * half, grown, float(np.exp(self.rate * self.horizon))
        h = self.horizon / steps
        factor = 1 + self.rate * h
        left = np.arange(steps - 1, -1, -1.0)
        times = np.linspace(0, self.horizon, steps, endpoint=False)
        return times, np.full(steps, h), factor**left, factor**steps
