"""Objectives with kinks: closed forms, scikit-learn's lasso, and the laws that other methods obey without kinks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from contracts import METHOD_LAWS, ROW_LAWS, finds_the_answer, rows_do_not_interact
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    HARD_PROBLEMS,
    KINKED_PROBLEMS,
    PROBLEMS,
    Answered,
    Kinked,
    Quadratics,
    kinked,
    normal,
    positive_definite,
    quadratics,
    start,
)
from sklearn.linear_model import Lasso
from torch import Tensor
from torch.nn.functional import softshrink

from brenier import BFGS, DataError, Status
from brenier.solve import (
    Iterate,
    KinkedProblem,
    Method,
    OrthantBFGS,
    Problem,
    Solution,
    minimise,
    natural_residual,
)

DTYPES = {torch.float32: 1e-4, torch.float64: 1e-8}  # the tol each can reach


def around(smooth: Problem, centre: Tensor, kink: float) -> Kinked:
    """A smooth problem with kinks around a centre, its answer not known."""
    nowhere = torch.full_like(centre, torch.nan)
    return Kinked(smooth, torch.zeros_like(centre), centre, kink, nowhere, 0.0)


def solved(problem: Kinked, first: Tensor | None = None) -> Solution:
    first = problem.centre if first is None else first
    tol = DTYPES[first.dtype]
    return minimise(problem, OrthantBFGS(), first, tol=tol, max_steps=500)


def name(law: Callable) -> str:
    return law.__name__


@dataclasses.dataclass(frozen=True)
class Wavy:
    """q(y) = |y - z|^2/2 + size sum_k cos(w_k.y), which has many minima."""

    z: Tensor
    waves: Tensor
    size: float

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        phase, away = (self.waves * y.unsqueeze(1)).sum(-1), y - self.z
        value = away.square().sum(-1) / 2 + self.size * phase.cos().sum(-1)
        push = (phase.sin().unsqueeze(-1) * self.waves).sum(1)
        return value, away - self.size * push

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        raise NotImplementedError

    def rows(self, index: Tensor) -> Wavy:
        return Wavy(self.z[index], self.waves, self.size)


def wavy(n: int, d: int, dtype: torch.dtype = torch.float64) -> Wavy:
    waves = 2 * normal(12, d, seed=2, dtype=dtype) / d**0.5
    return Wavy(2 * normal(n, d, seed=1, dtype=dtype), waves, 1.5)


class Last(NamedTuple):
    """What `ProximalGradient` remembers of a row: nothing that it needs."""

    y: Tensor


@dataclasses.dataclass(frozen=True)
class ProximalGradient:
    """The plain method, for comparison: a gradient step on q, then soft thresholding around zero."""

    kink: float
    size: float

    def init(self, problem: Problem, at: Iterate) -> tuple[Last, Tensor]:
        return self.step(problem, Last(at.y), at)

    def step(self, problem: Problem, state: Last, at: Iterate) -> tuple[Last, Tensor]:
        ahead = at.y - self.size * at.residual
        return Last(at.y), softshrink(ahead, self.size * self.kink)


# ---- the laws


@pytest.mark.parametrize("problem", KINKED_PROBLEMS.values(), ids=KINKED_PROBLEMS)
@pytest.mark.parametrize("law", [*METHOD_LAWS, *ROW_LAWS], ids=name)
def test_the_laws_hold_with_kinks(
    law: Callable[[Method, Answered], None], problem: Answered
) -> None:
    law(OrthantBFGS(), problem)


@pytest.mark.parametrize("problem", HARD_PROBLEMS.values(), ids=HARD_PROBLEMS)
def test_hard_problems_are_solved_with_kinks(problem: Answered) -> None:
    hard = kinked(problem, 0.2, steepest=1e3)
    finds_the_answer(OrthantBFGS(), hard)
    rows_do_not_interact(OrthantBFGS(), hard)


# ---- closed forms


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 3, 64])
@pytest.mark.parametrize("kink", [0.0, 0.1, 1.0, 100.0])
def test_of_the_squared_distance_it_is_soft_thresholding(
    kink: float, d: int, dtype: torch.dtype
) -> None:
    a, centre = normal(40, d, dtype=dtype), normal(40, d, seed=1, dtype=dtype)
    identity = torch.eye(d, dtype=dtype).expand(40, d, d)
    problem = around(Quadratics(identity, a, 1.0), centre, kink)
    expected = softshrink(a - centre, kink)
    for first, steps in ((centre, 1), (centre + 5, 4), (a, 2)):
        solution = solved(problem, first).check()
        assert solution.steps.max() <= steps
        found = solution.point
        torch.testing.assert_close(found, centre + expected, rtol=0, atol=DTYPES[dtype])
        clear = ((a - centre).abs() - kink).abs() > 1e-5  # not decided by rounding
        assert torch.equal((found == centre)[clear], (expected == 0)[clear])


@pytest.mark.parametrize("kink", [0.01, 0.1, 0.5])
def test_it_agrees_with_the_lasso(kink: float) -> None:
    designs, ys = normal(6, 40, 12).numpy(), normal(6, 40, seed=1).numpy()
    designs = designs @ positive_definite(12, condition=30.0).numpy()
    hessians = torch.tensor(np.stack([x.T @ x / len(x) for x in designs]))
    slopes = torch.tensor(
        np.stack([x.T @ y / len(y) for x, y in zip(designs, ys, strict=True)])
    )
    answers = torch.linalg.solve(hessians, slopes)
    problem = around(
        Quadratics(hessians, answers, 0.0), torch.zeros(6, 12).double(), kink
    )
    found = solved(problem).check().point
    lasso = Lasso(alpha=kink, fit_intercept=False, tol=1e-14, max_iter=1_000_000)
    for row, design, y in zip(found, designs, ys, strict=True):
        expected = torch.tensor(lasso.fit(design, y).coef_)
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)
        assert torch.equal(row == 0, expected == 0)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_without_a_kink_it_finds_what_bfgs_finds(problem: Answered) -> None:
    flat = dataclasses.replace(kinked(problem, 0.0), centre=start(problem))
    first, tol = start(problem), DTYPES[torch.float64]
    smooth = minimise(problem, BFGS(), first, tol=tol).check()
    for kind in (flat, problem):  # a kink of zero, and a problem that knows of none
        found = minimise(kind, OrthantBFGS(), first, tol=tol).check()
        torch.testing.assert_close(found.point, smooth.point, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_kink_holds_every_row_at_its_centre(dtype: torch.dtype) -> None:
    problem = around(wavy(50, 6, dtype), 1e3 + normal(50, 6, dtype=dtype), 1e6)
    solution = solved(problem, problem.centre + normal(50, 6, seed=4, dtype=dtype))
    assert torch.equal(solution.check().point, problem.centre)
    assert (solution.residual == 0).all()


def test_coordinates_leave_the_centre_and_come_to_rest_there() -> None:
    problem = kinked(quadratics(20.0, n=8, d=6), 0.5)
    rests = problem.answer == problem.centre
    assert rests.any(-1).all()
    assert not rests.all(-1).any()
    beyond = problem.centre - 2 * (problem.answer - problem.centre)  # the other side
    for first in (problem.centre, problem.centre + 1, beyond):
        point = solved(problem, first).check().point
        assert torch.equal(point == problem.centre, rests)


# ---- q that is not convex


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kink", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("d", [1, 8])
def test_where_q_is_not_convex_it_stops_where_f_is_stationary(
    d: int, kink: float, dtype: torch.dtype
) -> None:
    q = wavy(300, d, dtype)
    problem = around(q, q.z, kink)
    for first in (q.z, q.z + 3 * normal(300, d, seed=9, dtype=dtype)):
        solution = solved(problem, first).check()
        point = solution.point
        prox = q.z + softshrink(point - q.z - q.evaluate(point)[1], kink)
        assert ((point - prox).norm(dim=-1) <= 1.01 * DTYPES[dtype]).all()
        descent = problem.evaluate(first)[0] - problem.evaluate(point)[0]
        # From afar a trial that would be rejected may be stationary itself, and the row is done.
        assert first is not q.z or (descent >= 0).all()
        # A curvature estimate that cannot shrink again would make some rows creep for hundreds of steps.
        assert solution.steps.max() < 120


def test_a_row_alone_takes_the_same_steps() -> None:
    q = wavy(12, 8)
    problem = around(q, q.z, 0.5)
    together = solved(problem)
    for i in range(12):
        alone = solved(problem.rows(torch.tensor([i])))
        torch.testing.assert_close(alone.point[0], together.point[i], rtol=0, atol=1e-9)
        assert alone.steps[0] == together.steps[i]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    d=st.integers(1, 12),
    kink=st.floats(0, 5),
    condition=st.floats(1, 1e3),
    away=st.floats(0, 10),
    single=st.booleans(),
    seed=st.integers(0, 99),
)
def test_whatever_the_quadratic_rows_end_at_a_minimum(
    d: int, kink: float, condition: float, away: float, single: bool, seed: int
) -> None:
    dtype = torch.float32 if single else torch.float64
    hessian = positive_definite(4, d, condition=condition, largest=2.0, seed=seed)
    goal, centre = normal(4, d, seed=seed), normal(4, d, seed=seed + 1)
    smooth = Quadratics(hessian.to(dtype), 3 * goal.to(dtype), 0.0)
    problem = around(smooth, centre.to(dtype), kink)
    first = problem.centre + away * normal(4, d, seed=seed + 2).to(dtype)
    found = solved(problem, first).check().point
    best, slack = problem.evaluate(found)[0], 1e-5 if single else 1e-8
    for probe in range(4):
        away_from = normal(4, d, seed=probe).to(dtype) * 10.0**-probe
        for middle in (found, problem.centre):
            other = problem.evaluate(middle + away_from)[0]
            assert (best <= other + slack * (1 + other.abs())).all()


# ---- how fast, and how rows end


def test_it_needs_far_fewer_evaluations_than_proximal_gradients() -> None:
    hessian = positive_definite(20, 16, condition=100.0, largest=2.0, seed=1)
    smooth = Quadratics(hessian, 2 * normal(20, 16, seed=1), 0.0)
    for kink, share in ((0.1, 15), (1.0, 8)):
        problem = around(smooth, torch.zeros(20, 16).double(), kink)
        methods: tuple[Method, ...] = (OrthantBFGS(), ProximalGradient(kink, 0.5))
        few, many = (
            minimise(problem, method, problem.centre, tol=1e-8, max_steps=5000).check()
            for method in methods
        )
        assert share * few.evaluations < many.evaluations


def test_rows_without_a_minimum_say_so() -> None:
    class Falling(Wavy):
        """q(y) = -|y|^4: below every bound, whatever the kink."""

        def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
            square = y.square().sum(-1, keepdim=True)
            return -square.squeeze(-1).square(), -4 * square * y

        def rows(self, index: Tensor) -> Falling:
            return self

    first = 3 + normal(4, 3)
    problem = around(Falling(first, first, 0.0), torch.zeros(4, 3).double(), 1.0)
    solution = solved(problem, first)
    assert (solution.status != Status.CONVERGED).all()
    assert torch.isfinite(solution.point).all()


def test_rows_that_start_nowhere_keep_their_start() -> None:
    problem = kinked(HARD_PROBLEMS["barrier"], 0.2)
    outside = torch.where(torch.arange(5).view(5, 1) % 2 == 0, -1.0, problem.answer)
    solution = solved(problem, outside)
    assert (solution.status[::2] == Status.NON_FINITE).all()
    assert torch.equal(solution.point[::2], outside[::2])
    assert solution.converged[1::2].all()


def test_a_negative_kink_is_refused() -> None:
    problem = around(wavy(3, 2), torch.zeros(3, 2).double(), -1.0)
    with pytest.raises(DataError, match="kink: must not be negative"):
        solved(problem)


def test_the_problem_of_a_kink_is_told_by_its_attributes() -> None:
    assert isinstance(KINKED_PROBLEMS["round"], KinkedProblem)
    assert not isinstance(PROBLEMS["round"], KinkedProblem)


def test_the_natural_residual_is_the_length_of_a_proximal_step() -> None:
    y, gradient, centre = normal(9, 4), normal(9, 4, seed=1), normal(9, 4, seed=2)
    at = Iterate(y, y.sum(-1), gradient)
    expected = y - (centre + softshrink(y - gradient - centre, 0.7))
    torch.testing.assert_close(natural_residual(at, centre, 0.7), expected.norm(dim=-1))


# ---- errors that a problem measures


@dataclasses.dataclass(frozen=True)
class Measured:
    """Another problem whose errors are the largest entry of the residual; NaN in the `silent` rows."""

    problem: Problem
    silent: Tensor

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.problem.evaluate(y)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return self.problem.hessian_product(y, v)

    def errors(self, at: Iterate) -> Tensor:
        return torch.where(self.silent, torch.nan, at.residual.abs().amax(-1))

    def rows(self, index: Tensor) -> Measured:
        return Measured(self.problem.rows(index), self.silent[index])


def test_rows_stop_by_the_errors_that_the_problem_measures() -> None:
    problem = PROBLEMS["elongated"]
    measured = Measured(problem, torch.zeros(5, dtype=torch.bool))
    solution = minimise(measured, BFGS(), start(problem), tol=1e-6).check()
    residual = problem.evaluate(solution.point)[1]
    assert torch.equal(solution.residual, residual.abs().amax(-1))
    whole = minimise(problem, BFGS(), start(problem), tol=1e-6).check()
    assert (solution.steps <= whole.steps).all()


def test_rows_whose_error_is_nan_do_not_converge() -> None:
    problem, silent = PROBLEMS["elongated"], torch.arange(5) == 1
    solution = minimise(
        Measured(problem, silent), BFGS(), start(problem), tol=1e-6, max_steps=60
    )
    assert torch.equal(solution.converged, ~silent)
    assert torch.isinf(solution.residual[silent]).all()
