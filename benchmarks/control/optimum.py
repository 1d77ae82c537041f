"""Open-loop optima of problems of control: direct transcription, solved by IPOPT through CasADi.

    optimum("quadrotor", z0, steps=160)          # z0 (n, d), numpy
    optimum("consumption", z0, steps=100, agents=10, eta=0.9, theta=0.9)

Controls are held over a step. With Euler the cost is sum_k h L(t_k, z_k, u_k) + G(z_N), t_k = k h; with midpoint and
RK4 the running cost is a further state. States and controls are the variables and the steps the constraints, so that
IPOPT takes few Newton steps on a sparse problem. The programme is built once and solved for every initial state.

Problems that are not convex have several local optima. Every row is solved from the plain guess, from random ones
around it, and from the optimum of the nearest other row; the best is kept. What is told is the cost of its controls,
rolled out anew. It bounds the cost of every feedback policy on the same grid from below, up to optima that no start
finds. Interaction has a jump at d = 2r, where IPOPT may fail.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import casadi as ca
import numpy as np

from benchmarks.control.riccati import Array
from benchmarks.control.symbols import Symbolic, make
from brenier.errors import ConvergenceWarning, DataError, warn

SCHEMES = ("euler", "midpoint", "rk4")
SOLVED = ("Solve_Succeeded", "Solved_To_Acceptable_Level")


@dataclass(frozen=True)
class Search:
    """How optima are looked for.

    Attributes:
        starts: guesses of each row; by default as many as the problem needs.
        neighbours: start from the optimum of the nearest other row, too.
        seed: of the random guesses, the same for every row.
        tol: of IPOPT.
        max_steps: of IPOPT, each start.
        agreement: how far the cost of the rollout may be from IPOPT's, relative to 1 + |cost|.
    """

    starts: int | None = None
    neighbours: bool = True
    seed: int = 0
    tol: float = 1e-9
    max_steps: int = 500
    agreement: float = 1e-6


class OpenLoop(NamedTuple):
    """Optima of n rows; not numbers where no start succeeded.

    Attributes:
        costs: (n,).
        states: (n, steps + 1, d).
        controls: (n, steps, m).
        status: what IPOPT returned for the best start of each row, or for the last where none succeeded.
        found: costs of the local optimum of every start (n, starts), nan where it failed; the last is the neighbour's.
    """

    costs: Array
    states: Array
    controls: Array
    status: tuple[str, ...]
    found: Array


class _Solution(NamedTuple):
    """One local optimum: variables v (m, steps), its rollout, and what IPOPT said."""

    cost: float
    states: Array
    controls: Array
    variables: Array
    status: str


class _Programme(NamedTuple):
    """The programme of a problem: v -> (states, controls, running costs) from z0, and the solver."""

    problem: Symbolic
    steps: int
    rollout: ca.Function
    solver: ca.Function
    terminal: ca.Function
    bounds: dict[str, Array | float]


def optimum(
    name: str,
    z0: Array,
    steps: int,
    scheme: str = "euler",
    agents: int = 1,
    search: Search = Search(),
    **numbers: float,
) -> OpenLoop:
    """Return the open-loop optima from initial states.

    Args:
        name: of the problem, see `symbols.PROBLEMS`.
        z0: initial states (n, d).
        steps: of the grid.
        scheme: "euler", "midpoint" or "rk4".
        agents: how many; of integrators, how many axes.
        search: how they are looked for.
        **numbers: of the problem, such as horizon, where they differ from its defaults.

    Raises:
        DataError: for an unknown name, number or scheme, or states that are not (n, d) finite numbers.

    Warns:
        ConvergenceWarning: where no start of a row succeeded.
    """
    problem = make(name, agents, **numbers)
    starts = problem.starts if search.starts is None else search.starts
    for argument, count in (("steps", steps), ("starts", starts)):
        if count < 1:
            raise DataError(
                f"{argument}: must be at least one, got {count}; give a whole number",
                argument=argument,
            )
    if scheme not in SCHEMES:
        raise DataError(
            f"scheme: there is no {scheme!r}; choose from {', '.join(SCHEMES)}",
            argument="scheme",
        )
    z0 = np.asarray(z0, dtype=np.float64)
    fits = z0.ndim == 2 and len(z0) > 0 and z0.shape[1] == problem.states
    if not fits or not np.isfinite(z0).all():
        raise DataError(
            f"z0: must be finite numbers of shape (n, {problem.states}), got shape {z0.shape}; "
            "give one row for each initial state",
            argument="z0",
        )
    programme = _programme(problem, steps, scheme, search.tol, search.max_steps)
    tried = [
        [
            _solve(programme, z, v, search)
            for v in _guesses(programme, z, starts, search.seed)
        ]
        for z in z0
    ]
    if search.neighbours and len(z0) > 1:
        best = [min(row, key=_rank) for row in tried]
        for i, row in enumerate(tried):
            near = best[_nearest(z0, i)].variables
            row.append(_solve(programme, z0[i], near, search))
    return _gathered(tried)


# ---- the programme


@functools.lru_cache(maxsize=16)
def _programme(
    problem: Symbolic, steps: int, scheme: str, tol: float, max_steps: int
) -> _Programme:
    """Build the programme: constraints z_{k+1} = step(z_k), variables the v of all steps, then the states after z_0."""
    d, m = problem.states, problem.controls
    step = _step(problem, problem.horizon / steps, scheme)
    z = ca.SX.sym("z", d)
    terminal = ca.Function("terminal", [z], [problem.terminal(z)])
    times = ca.DM(np.arange(steps) * problem.horizon / steps).T
    z0, V, Z = ca.MX.sym("z0", d), ca.MX.sym("v", m, steps), ca.MX.sym("z", d, steps)
    before = ca.horzcat(z0, Z[:, :-1])
    after, _, running = step.map(steps)(before, V, times)
    states, controls, costs = step.mapaccum("rollout", steps)(z0, V, times)
    nlp: dict[str, Any] = {
        "x": ca.vertcat(ca.vec(V), ca.vec(Z)),
        "f": ca.sum2(running) + terminal(Z[:, -1]),
        "g": ca.vec(after - Z),
        "p": z0,
    }
    options: dict[str, Any] = {
        **{"print_time": False, "show_eval_warnings": False, "expand": True},
        **{"ipopt.print_level": 0, "ipopt.sb": "yes"},
        **{"ipopt.tol": tol, "ipopt.max_iter": max_steps},
        # Relaxed bounds would let consumption fall to the habits.
        "ipopt.bound_relax_factor": 0.0,
    }
    return _Programme(
        problem=problem,
        steps=steps,
        rollout=ca.Function("rollout", [z0, V], [states, controls, costs]),
        solver=ca.nlpsol("solver", "ipopt", nlp, options),
        terminal=terminal,
        bounds=_bounds(problem, steps),
    )


def _step(problem: Symbolic, h: float, scheme: str) -> ca.Function:
    """Return (z, v, t) -> (the next state, the control, the running cost of the step)."""
    z, v, t = (
        ca.SX.sym(name, size)
        for name, size in (("z", problem.states), ("v", problem.controls), ("t", 1))
    )
    u = problem.base(z) + v

    def rate(time: ca.SX, at: ca.SX) -> ca.SX:
        """Return what changes: the states, and the cost below them."""
        parts = problem.dynamics(time, at, u), problem.running(time, at, u)
        return ca.vertcat(*parts)

    first = rate(t, z)
    middle = t + h / 2
    if scheme == "euler":
        change = first
    elif scheme == "midpoint":
        change = rate(middle, z + h / 2 * first[:-1])
    else:
        second = rate(middle, z + h / 2 * first[:-1])
        third = rate(middle, z + h / 2 * second[:-1])
        fourth = rate(t + h, z + h * third[:-1])
        change = (first + 2 * second + 2 * third + fourth) / 6
    return ca.Function("step", [z, v, t], [z + h * change[:-1], u, h * change[-1]])


def _bounds(problem: Symbolic, steps: int) -> dict[str, Array | float]:
    """Return the bounds of variables and constraints."""

    def repeated(value: Array | float, size: int, times: int) -> Array:
        return np.tile(np.broadcast_to(value, size), times)

    d, m = problem.states, problem.controls
    free = np.full(d * steps, math.inf)
    least = repeated(problem.least, d, steps - 1), repeated(problem.least_last, d, 1)
    return {
        "lbx": np.concatenate([repeated(problem.lower, m, steps), *least]),
        "ubx": np.concatenate([repeated(problem.upper, m, steps), free]),
        "lbg": 0.0,
        "ubg": 0.0,
    }


# ---- the search


def _guesses(
    programme: _Programme, z0: Array, starts: int, seed: int
) -> Iterator[Array]:
    """Yield v (m, steps): the plain guess, then straight lines in time around it."""
    problem, steps = programme.problem, programme.steps
    rng = np.random.default_rng(seed)
    plain = np.repeat(problem.usual(z0)[:, None], steps, axis=1)
    ramp = np.linspace(-1, 1, steps)
    yield plain
    for _ in range(starts - 1):
        level, slope = rng.standard_normal((2, problem.controls, 1))
        spread = np.broadcast_to(problem.spread, problem.controls)[:, None]
        yield plain + spread * (level + slope * ramp)


def _solve(programme: _Programme, z0: Array, guess: Array, search: Search) -> _Solution:
    """Return the local optimum that IPOPT finds from a guess (m, steps)."""
    bounds, size = programme.bounds, guess.size
    lower, upper = (np.asarray(bounds[k])[:size] for k in ("lbx", "ubx"))
    guess = np.clip(guess.ravel("F"), lower, upper).reshape(guess.shape, order="F")
    states, _, _ = (np.array(part) for part in programme.rollout(z0, guess))
    if not np.isfinite(states).all():
        states = np.repeat(z0[:, None], programme.steps, axis=1)
    at = np.concatenate([guess.ravel("F"), states.ravel("F")])
    solved = programme.solver(x0=at, p=z0, **bounds)
    status = str(programme.solver.stats()["return_status"])
    found = np.array(solved["x"]).ravel()[:size].reshape(guess.shape, order="F")
    states, controls, running = (np.array(p) for p in programme.rollout(z0, found))
    cost = float(running.sum() + programme.terminal(states[:, -1]))
    told = float(solved["f"])
    if status in SOLVED and not abs(cost - told) <= search.agreement * (1 + abs(told)):
        status = f"the rollout costs {cost:.6g}, not {told:.6g}"
    states = np.vstack([z0, states.T])
    return _Solution(cost, states, controls.T, found, status)


def _rank(solution: _Solution) -> float:
    """The cost, or infinity for a failure."""
    return solution.cost if solution.status in SOLVED else math.inf


def _nearest(z0: Array, i: int) -> int:
    """Return the row nearest to row i, but i."""
    distances = np.linalg.norm(z0 - z0[i], axis=-1)
    distances[i] = math.inf
    return int(distances.argmin())


def _gathered(tried: list[list[_Solution]]) -> OpenLoop:
    """Return the best start of each row, with a warning about rows that have none."""
    best = [min(row, key=_rank) for row in tried]
    failed = [i for i, one in enumerate(best) if one.status not in SOLVED]
    costs, states, controls = (np.array([one[k] for one in best]) for k in range(3))
    for part in (costs, states, controls):
        part[failed] = np.nan
    if failed:
        told = "; ".join(f"row {i}: {best[i].status}" for i in failed[:5])
        warn(
            f"optimum: no start succeeded in {len(failed)} of {len(best)} rows, whose costs are nan ({told}); "
            "raise max_steps or starts of the search",
            ConvergenceWarning,
        )
    found = np.array([[_rank(one) for one in row] for row in tried])
    return OpenLoop(
        costs,
        states,
        controls,
        tuple(one.status for one in best),
        np.where(np.isfinite(found), found, np.nan),
    )
