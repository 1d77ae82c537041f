"""The problems of control in symbols of CasADi, written from their equations alone.

States and controls of agents are stacked agent by agent; all functions take (t, z, u), columns of symbols. A problem is
made by its name: `make("quadrotor", agents=6, alpha_int=0.0)`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import casadi as ca
import numpy as np

from benchmarks.control import riccati
from benchmarks.control.riccati import Array, LinearQuadratic
from brenier.errors import DataError

Function = Callable[[ca.SX, ca.SX, ca.SX], ca.SX]


@dataclass(frozen=True, eq=False)
class Symbolic:
    """A problem of control in symbols.

    The variables v of a search are controls, or controls above what `base` makes of the state: u = base(z) + v. That
    makes bounds which depend on the state plain ones, which no point of IPOPT's line search crosses.

    Attributes:
        dynamics: f(t, z, u): (d, 1).
        running: L(t, z, u).
        terminal: G(z).
        states, controls: d and m.
        horizon: T.
        usual: v of the plain guess, for an initial state (d,): (m,).
        spread: the standard deviations of other guesses around it (m,), or a number.
        lower, upper: bounds of v.
        least: lower bounds of the states after the first (d,), or a number.
        least_last: the same of the last state.
        base: what is added to v (m, 1).
        starts: how many guesses are needed; one where the problem is convex.
    """

    dynamics: Function
    running: Function
    terminal: Callable[[ca.SX], ca.SX]
    states: int
    controls: int
    horizon: float
    usual: Callable[[Array], Array]
    spread: Array | float = 1.0
    lower: Array | float = -math.inf
    upper: Array | float = math.inf
    least: Array | float = -math.inf
    least_last: Array | float = -math.inf
    base: Callable[[ca.SX], ca.SX | float] = field(default=lambda z: 0.0)
    starts: int = 1


def make(name: str, agents: int = 1, **numbers: float) -> Symbolic:
    """Return the problem of this name; the same object for the same arguments.

    Args:
        name: one of PROBLEMS.
        agents: how many; of the integrators, how many axes. `coupled` has no agents.
        **numbers: of the problem, where they differ from its defaults.

    Raises:
        DataError: for an unknown name or number, or agents that cannot be.
    """
    if name not in PROBLEMS:
        raise DataError(
            f"name: there is no problem {name!r}; choose from {', '.join(PROBLEMS)}",
            argument="name",
        )
    if agents < 1 or (name == "coupled" and agents != 1):
        raise DataError(
            f"agents: {name} has {'one' if name == 'coupled' else 'at least one'}, got {agents}",
            argument="agents",
        )
    known = list(inspect.signature(PROBLEMS[name]).parameters)[1:]
    for number in numbers.keys() - set(known):
        raise DataError(
            f"{number}: is no number of {name}; choose from {', '.join(known)}",
            argument=number,
        )
    return _made(name, agents, tuple(sorted(numbers.items())))


@functools.cache
def _made(name: str, agents: int, numbers: tuple[tuple[str, float], ...]) -> Symbolic:
    return PROBLEMS[name](agents, **dict(numbers))


def _zeros(m: int) -> Callable[[Array], Array]:
    """A guess of no control."""
    return lambda _: np.zeros(m)


# ---- integrators


def linear_quadratic(problem: LinearQuadratic) -> Symbolic:
    """Return a linear-quadratic problem in symbols."""
    A, B = ca.DM(problem.A), ca.DM(problem.B)
    Q, R, S = (ca.DM(M) for M in (problem.Q, problem.R, problem.S))
    d, m = problem.B.shape
    return Symbolic(
        dynamics=lambda t, z, u: A @ z + B @ u,
        running=lambda t, z, u: (ca.bilin(Q, z, z) + ca.bilin(R, u, u)) / 2,
        terminal=lambda z: ca.bilin(S, z, z) / 2,
        states=d,
        controls=m,
        horizon=problem.horizon,
        usual=_zeros(m),
    )


def integrator(agents: int, alpha: float = 10.0, horizon: float = 1.0) -> Symbolic:
    """P0: z' = u, L = |u|^2 / 2, G = alpha |z|^2 / 2."""
    return linear_quadratic(riccati.integrator(agents, alpha, horizon))


def exponential(agents: int, alpha: float = 10.0, horizon: float = 1.0) -> Symbolic:
    """P1: z' = u, L = exp(|u|^2 / 2), G = alpha |z|^2 / 2."""
    return Symbolic(
        dynamics=lambda t, z, u: u,
        running=lambda t, z, u: ca.exp(ca.sumsqr(u) / 2),
        terminal=lambda z: alpha / 2 * ca.sumsqr(z),
        states=agents,
        controls=agents,
        horizon=horizon,
        usual=lambda z: -z / horizon / 2,
    )


def double_integrator(
    agents: int, q: float = 0.0, alpha: float = 10.0, horizon: float = 1.0
) -> Symbolic:
    """P2: z'' = u, L = (q |z|^2 + |u|^2) / 2, G = alpha |z|^2 / 2."""
    return linear_quadratic(riccati.double_integrator(agents, q, alpha, horizon))


def coupled(
    agents: int, seed: int = 0, alpha: float = 10.0, horizon: float = 1.0
) -> Symbolic:
    """P3: ten coupled states, four controls of unequal costs."""
    return linear_quadratic(riccati.coupled(seed, alpha, horizon))


def quartic(agents: int, alpha: float = 10.0, horizon: float = 1.0) -> Symbolic:
    """P7: z'' = u, L = |u|^2 / 2 + |u|^4 / 4, G = alpha |z|^2 / 2."""
    return Symbolic(
        dynamics=lambda t, z, u: ca.vertcat(z[agents:], u),
        running=lambda t, z, u: ca.sumsqr(u) / 2 + ca.sumsqr(u) ** 2 / 4,
        terminal=lambda z: alpha / 2 * ca.sumsqr(z),
        states=2 * agents,
        controls=agents,
        horizon=horizon,
        usual=_zeros(agents),
    )


# ---- swarms


def _interaction(places: list[ca.SX], radius: float = 1.0) -> ca.SX:
    """Return sum_{i<j} exp(-d_ij^2 / (2 r^2)) 1[d_ij < 2r] / (2N), with a jump at d = 2r."""
    total = ca.SX(0)
    for one, other in itertools.combinations(places, 2):
        squared = ca.sumsqr(one - other)
        near = ca.if_else(squared < 4 * radius**2, 1, 0)
        total += near * ca.exp(-squared / (2 * radius**2))
    return total / (2 * len(places))


def quadrotor(
    agents: int,
    alpha_G: float = 1000.0,
    alpha_int: float = 0.1,
    mass: float = 0.5,
    gravity: float = 1.0,
    horizon: float = 4.5,
) -> Symbolic:
    """P4: states place, angles (psi, theta, phi), velocity, rates; controls thrust and angular accelerations."""

    def one(z: ca.SX, u: ca.SX) -> ca.SX:
        (sin_psi, sin_theta, sin_phi), (cos_psi, cos_theta, cos_phi) = (
            ca.vertsplit(of(z[3:6])) for of in (ca.sin, ca.cos)
        )
        push = u[0] / mass
        acceleration = ca.vertcat(
            push * (sin_psi * sin_phi + cos_psi * sin_theta * cos_phi),
            push * (-cos_psi * sin_phi + sin_psi * sin_theta * cos_phi),
            push * cos_theta * cos_phi - gravity,
        )
        return ca.vertcat(z[6:9], z[9:12], acceleration, u[1:])

    def dynamics(t: ca.SX, z: ca.SX, u: ca.SX) -> ca.SX:
        each = zip(ca.vertsplit(z, 12), ca.vertsplit(u, 4), strict=True)
        return ca.vertcat(*(one(*pair) for pair in each))

    def running(t: ca.SX, z: ca.SX, u: ca.SX) -> ca.SX:
        effort = ca.exp(ca.sumsqr(u) / (2 * agents))
        return effort + alpha_int * _interaction([a[:3] for a in ca.vertsplit(z, 12)])

    target = np.tile(np.repeat([2.0, 0.0], [3, 9]), agents)
    hover = np.tile([mass * gravity, 0.0, 0.0, 0.0], agents)
    return Symbolic(
        dynamics=dynamics,
        running=running,
        terminal=lambda z: alpha_G * ca.sumsqr(z - target) / (4 * agents),
        states=12 * agents,
        controls=4 * agents,
        horizon=horizon,
        usual=lambda _: hover,
        spread=0.7,  # less keeps to the branch of the plain guess, which is 6 % worse
        starts=12,
    )


def bicycle(
    agents: int,
    alpha_G: float = 500.0,
    alpha_int: float = 5.0,
    wheelbase: float = 0.05,
    steering: float = math.pi / 2 - 0.25,
    horizon: float = 4.0,
) -> Symbolic:
    """P5: an agent has x, y, heading and speed; controls steering, within bounds, and acceleration."""

    def one(z: ca.SX, u: ca.SX) -> ca.SX:
        heading, speed = z[2], z[3]
        turn = speed / wheelbase * ca.tan(u[0])
        return ca.vertcat(speed * ca.cos(heading), speed * ca.sin(heading), turn, u[1])

    def dynamics(t: ca.SX, z: ca.SX, u: ca.SX) -> ca.SX:
        each = zip(ca.vertsplit(z, 4), ca.vertsplit(u, 2), strict=True)
        return ca.vertcat(*(one(*pair) for pair in each))

    def running(t: ca.SX, z: ca.SX, u: ca.SX) -> ca.SX:
        places = [a[:2] for a in ca.vertsplit(z, 4)]
        return ca.sumsqr(u) / 2 + alpha_int * _interaction(places)

    def terminal(z: ca.SX) -> ca.SX:
        missed = [ca.sumsqr(a[:2] - 1) for a in ca.vertsplit(z, 4)]
        return alpha_G / 2 * sum(missed, start=ca.SX(0))

    most = np.tile([steering, math.inf], agents)
    return Symbolic(
        dynamics=dynamics,
        running=running,
        terminal=terminal,
        states=4 * agents,
        controls=2 * agents,
        horizon=horizon,
        usual=_zeros(2 * agents),
        spread=np.tile([0.15, 0.2], agents),
        lower=-most,
        upper=most,
        starts=10,
    )


# ---- consumption


def consumption(
    agents: int,
    eta: float = 1.0,
    theta: float = 1.0,
    rate: float = 0.3,
    discount: float = 0.01,
    gamma: float = 2.0,
    bequest: float = 5.0,
    horizon: float = 2.0,
    alpha_G: float = 1.0,
) -> Symbolic:
    """P6: wealth and habits; consumption above habits. The cost is minus utility and bequest.

    Above habits at the start of a step is above them all the step: habits do not catch up with a held control.
    """

    def dynamics(t: ca.SX, z: ca.SX, u: ca.SX) -> ca.SX:
        return ca.vertcat(rate * z[0] - ca.sum1(u), u**eta - z[1:] ** theta)

    def running(t: ca.SX, z: ca.SX, u: ca.SX) -> ca.SX:
        utility = ca.sum1((u - z[1:]) ** (1 - gamma)) / (1 - gamma)
        return -ca.exp(-discount * t) * utility

    def usual(z: Array) -> Array:
        """Spend half the wealth, habits included, or a little."""
        habits = horizon * z[1:].sum()
        above = (z[0] / 2 - habits) / (agents * horizon * (1 + horizon / 2))
        return np.full(agents, max(above, 0.01))

    return Symbolic(
        dynamics=dynamics,
        running=running,
        terminal=lambda z: -alpha_G * bequest * z[0] ** (1 - gamma) / (1 - gamma),
        states=1 + agents,
        controls=agents,
        horizon=horizon,
        usual=usual,
        spread=0.1,
        lower=0.0,
        least=np.r_[-math.inf, np.zeros(agents)],
        least_last=np.zeros(1 + agents),
        base=lambda z: z[1:],
        starts=3,
    )


PROBLEMS: Mapping[str, Callable[..., Symbolic]] = {
    "integrator": integrator,
    "exponential": exponential,
    "double_integrator": double_integrator,
    "coupled": coupled,
    "quadrotor": quadrotor,
    "bicycle": bicycle,
    "consumption": consumption,
    "quartic": quartic,
}
