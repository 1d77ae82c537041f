"""Newton's method within bounds: closed forms, scipy, objectives that are not convex, and the laws of methods."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from contracts import METHOD_LAWS, ROW_LAWS, finds_the_answer, rows_do_not_interact
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    BOXED_PROBLEMS,
    HARD_PROBLEMS,
    PROBLEMS,
    Answered,
    Box,
    Boxed,
    BoxedWithHessian,
    Quadratics,
    boxed,
    normal,
    positive_definite,
    start,
)
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor
from torch.linalg import vecdot

from brenier import DataError, NewtonCG, Status
from brenier.solve import (
    BoxedProblem,
    Iterate,
    Method,
    Problem,
    ProjectedNewton,
    minimise,
    projected_residual,
)

DTYPES = {torch.float32: 1e-4, torch.float64: 1e-9}  # the tol each can reach
STEEPEST = 1.3208  # the largest angle


def name(law: Callable) -> str:
    return law.__name__


def within(smooth: Problem, tilt: Tensor, box: Box, cls: type[Boxed] = Boxed) -> Boxed:
    """A problem within bounds whose answer is not known."""
    return cls(smooth, tilt, box, torch.full_like(tilt, torch.nan), 0.0)


@dataclasses.dataclass(frozen=True)
class Flat:
    """F(y) = 0."""

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return 0 * y.sum(-1), 0 * y

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return 0 * v

    def rows(self, index: Tensor) -> Flat:
        return self


@dataclasses.dataclass(frozen=True)
class Steering:
    """F(y) = y^2/2 + q tan y: its interior stationary points exist for |q| <= 0.4119 only."""

    q: Tensor

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        q = self.q.unsqueeze(-1)
        value = y.square() / 2 + q * y.tan()
        return value.squeeze(-1), y + q / y.cos().square()

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return (1 + 2 * self.q.unsqueeze(-1) * y.tan() / y.cos().square()) * v

    def rows(self, index: Tensor) -> Steering:
        return Steering(self.q[index])


@dataclasses.dataclass(frozen=True)
class Exponential:
    """F(y) = exp(|y|^2/2), which overflows, and has curvatures that differ by many orders."""

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        value = (vecdot(y, y) / 2).exp()
        return value, value.unsqueeze(-1) * y

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        value = (vecdot(y, y) / 2).exp().unsqueeze(-1)
        return value * (v + vecdot(y, v).unsqueeze(-1) * y)

    def rows(self, index: Tensor) -> Exponential:
        return self


@dataclasses.dataclass(frozen=True)
class Waves:
    """F(y) = size sum_k cos(w_k.y), which has many minima and saddles."""

    waves: Tensor  # (k, d)
    size: float

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        phase = (self.waves * y.unsqueeze(1)).sum(-1)
        push = (phase.sin().unsqueeze(-1) * self.waves).sum(1)
        return self.size * phase.cos().sum(-1), -self.size * push

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        phase, along = ((self.waves * u.unsqueeze(1)).sum(-1) for u in (y, v))
        push = ((phase.cos() * along).unsqueeze(-1) * self.waves).sum(1)
        return -self.size * push

    def rows(self, index: Tensor) -> Waves:
        return self


def steering(q: Tensor, cls: type[Boxed] = Boxed) -> Boxed:
    most = torch.full_like(q, STEEPEST)[:, None]
    return within(Steering(q), 0 * most, Box(-most, most), cls)


# ---- laws and answers


@pytest.mark.parametrize("problem", BOXED_PROBLEMS.values(), ids=BOXED_PROBLEMS)
@pytest.mark.parametrize("law", [*METHOD_LAWS, *ROW_LAWS], ids=name)
def test_projected_newton_obeys(
    law: Callable[[Method, Answered], None], problem: Boxed
) -> None:
    law(ProjectedNewton(), problem)


@pytest.mark.parametrize("cls", [Boxed, BoxedWithHessian])
@pytest.mark.parametrize("smooth", HARD_PROBLEMS)
def test_it_solves_hard_problems_within_bounds(smooth: str, cls: type[Boxed]) -> None:
    problem = boxed(HARD_PROBLEMS[smooth], 1e3, cls)
    finds_the_answer(ProjectedNewton(), problem)
    rows_do_not_interact(ProjectedNewton(), problem)


@pytest.mark.parametrize("problem", BOXED_PROBLEMS.values(), ids=BOXED_PROBLEMS)
def test_coordinates_at_their_bounds_are_there_exactly(problem: Boxed) -> None:
    found = minimise(problem, ProjectedNewton(), start(problem), tol=1e-9).check().point
    for bound in problem.bounds:
        resting = problem.answer == bound
        assert resting.any()
        assert torch.equal(found[resting], bound[resting])


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_without_bounds_it_is_newton(problem: Answered) -> None:
    methods: tuple[Method, ...] = (ProjectedNewton(), NewtonCG())
    for max_steps in (1, 2, 3, 100):
        found, expected = (
            minimise(problem, method, start(problem), tol=1e-9, max_steps=max_steps)
            for method in methods
        )
        torch.testing.assert_close(found.point, expected.point, rtol=0, atol=1e-12)
        assert torch.equal(found.steps, expected.steps)
        assert found.evaluations == expected.evaluations


@dataclasses.dataclass(frozen=True)
class Endless:
    """A problem that could have bounds and has none."""

    smooth: Problem
    bounds: None = None

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.smooth.evaluate(y)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return self.smooth.hessian_product(y, v)

    def errors(self, at: Iterate) -> Tensor:
        return torch.linalg.vector_norm(at.residual, dim=-1)

    def rows(self, index: Tensor) -> Endless:
        return Endless(self.smooth.rows(index))


def test_infinite_bounds_are_none() -> None:
    smooth, nothing = PROBLEMS["log-sum-exp"], torch.zeros(5, 5, dtype=torch.float64)
    infinite = within(smooth, nothing, Box(nothing - torch.inf, nothing + torch.inf))
    expected = minimise(smooth, NewtonCG(), start(smooth), tol=1e-9)
    for problem in (infinite, Endless(smooth)):
        found = minimise(problem, ProjectedNewton(), start(smooth), tol=1e-9)
        torch.testing.assert_close(found.point, expected.point, rtol=0, atol=1e-12)
        assert torch.equal(found.steps, expected.steps)


def test_a_separable_quadratic_is_clipped_in_one_step() -> None:
    answer, tilt = normal(50, 7, seed=1), torch.zeros(50, 7, dtype=torch.float64)
    smooth = Quadratics(torch.eye(7, dtype=torch.float64).repeat(50, 1, 1), answer, 1.0)
    box = Box(torch.full_like(tilt, -0.5), torch.full_like(tilt, 0.8))
    found = minimise(within(smooth, tilt, box), ProjectedNewton(), tilt, tol=1e-12)
    assert found.check().steps.max() <= 1
    torch.testing.assert_close(found.point, box.clip(answer), rtol=0, atol=1e-12)


def test_a_start_outside_is_first_clipped_and_does_not_count() -> None:
    problem = BOXED_PROBLEMS["quartic"]
    first = start(problem) + 100.0  # where the problem is NaN
    found = minimise(problem, ProjectedNewton(), first, tol=1e-9).check()
    torch.testing.assert_close(found.point, problem.answer, rtol=0, atol=1e-7)
    flat = within(Flat(), torch.zeros(5, 5), Box(torch.zeros(5, 5), torch.ones(5, 5)))
    moved = minimise(flat, ProjectedNewton(), torch.full((5, 5), 0.5), tol=0.0).check()
    assert torch.equal(moved.point, torch.full((5, 5), 0.5))


def test_equal_bounds_leave_one_point() -> None:
    problem = BOXED_PROBLEMS["elongated"]
    point = normal(5, 5, seed=4)
    fixed = dataclasses.replace(problem, bounds=Box(point, point))
    found = minimise(fixed, ProjectedNewton(), torch.zeros_like(point), tol=0.0)
    assert torch.equal(found.check().point, point)


@pytest.mark.parametrize("fault", ["crossed", "NaN"])
def test_bounds_that_are_none_are_refused(fault: str) -> None:
    problem = BOXED_PROBLEMS["round"]
    lower, upper = problem.bounds
    box = Box(upper + 1, upper) if fault == "crossed" else Box(lower * torch.nan, upper)
    bad = dataclasses.replace(problem, bounds=box)
    with pytest.raises(DataError, match=r"^bounds: lower must not exceed upper"):
        minimise(bad, ProjectedNewton(), problem.answer)


def test_a_boxed_problem_is_known_by_its_attributes() -> None:
    assert isinstance(BOXED_PROBLEMS["round"], BoxedProblem)
    assert not isinstance(PROBLEMS["round"], BoxedProblem)


# ---- against scipy


@settings(max_examples=15, deadline=None)
@given(
    dim=st.integers(1, 12),
    condition=st.sampled_from((1.0, 10.0, 1e3)),
    seed=st.integers(0, 10**6),
    full=st.booleans(),
)
def test_it_finds_what_scipy_finds(
    dim: int, condition: float, seed: int, full: bool
) -> None:
    n = 4
    matrices = positive_definite(n, dim, condition=condition, seed=seed)
    smooth = Quadratics(matrices, 2 * normal(n, dim, seed=seed + 1), 1 / condition)
    lower = -normal(n, dim, seed=seed + 2).abs()
    upper = lower + 2 * normal(n, dim, seed=seed + 3).abs()
    cls = BoxedWithHessian if full else Boxed
    problem = within(smooth, torch.zeros_like(lower), Box(lower, upper), cls)
    first = problem.bounds.clip(torch.zeros_like(lower))
    found = minimise(problem, ProjectedNewton(), first, tol=1e-10).check()
    value = problem.evaluate(found.point)[0]
    for i in range(n):
        row = problem.rows(torch.tensor([i]))

        def both(y: np.ndarray, row: Boxed = row) -> tuple[float, np.ndarray]:
            one, slope = row.evaluate(torch.from_numpy(y)[None])
            return float(one), slope[0].numpy()

        bounds = list(zip(lower[i].tolist(), upper[i].tolist(), strict=True))
        other = minimize(
            *(both, first[i].numpy()),
            **{"jac": True, "bounds": bounds, "method": "L-BFGS-B"},
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000},
        )
        assert float(value[i]) <= other.fun + 1e-12
        if condition <= 10:
            np.testing.assert_allclose(found.point[i].numpy(), other.x, atol=1e-5)


def test_four_hundred_coordinates_take_a_few_steps() -> None:
    matrices = positive_definite(3, 400, condition=100.0)
    smooth = Quadratics(matrices, 2 * normal(3, 400, seed=1), 0.01)
    one = torch.ones(3, 400, dtype=torch.float64)
    problem = within(smooth, 0 * one, Box(-one, one))
    found = minimise(problem, ProjectedNewton(), 0 * one, tol=1e-8).check()
    assert found.steps.max() <= 40


# ---- objectives that are not convex


@pytest.mark.parametrize("cls", [Boxed, BoxedWithHessian])
@pytest.mark.parametrize("dtype", DTYPES)
def test_steering_ends_at_a_minimum_or_the_right_bound_from_anywhere(
    dtype: torch.dtype, cls: type[Boxed]
) -> None:
    q = torch.linspace(-3, 3, 121, dtype=dtype).repeat_interleave(21)
    problem = steering(q, cls)
    first = torch.linspace(-1.32, 1.32, 21, dtype=dtype).repeat(121)[:, None]
    found = minimise(problem, ProjectedNewton(), first, tol=DTYPES[dtype]).check()
    y = found.point[:, 0]
    resting = y.abs() >= STEEPEST - DTYPES[dtype]
    assert (y.sign()[resting] == -q.sign()[resting]).all()
    assert resting[q.abs() > 0.4119].all()
    curvature = problem.hessian_product(found.point, torch.ones_like(first))[:, 0]
    assert (curvature[~resting] > 0).all()
    before, after = (problem.evaluate(at)[0] for at in (first, found.point))
    assert (after <= before + 1e-5).all()


def test_steering_from_zero_ends_where_a_search_does() -> None:
    q = torch.linspace(-3, 3, 121, dtype=torch.float64)
    problem = steering(q)
    zero = torch.zeros(121, 1, dtype=torch.float64)
    found = minimise(problem, ProjectedNewton(), zero, tol=1e-11).check()
    for i, force in enumerate(q.tolist()):
        # Downhill from zero the first minimum is within 0.6533 of it, or there is none.
        reach = 0.65327 if abs(force) < 0.4119 else STEEPEST
        search = minimize_scalar(
            lambda y, force=force: y**2 / 2 + force * math.tan(y),
            bounds=(-reach, reach),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert float(found.point[i]) == pytest.approx(search.x, abs=1e-6)


@pytest.mark.parametrize("cls", [Boxed, BoxedWithHessian])
def test_waves_within_bounds_end_where_nothing_pays(cls: type[Boxed]) -> None:
    waves, n = 2 * normal(6, 4, seed=2), 300
    one = torch.ones(n, 4, dtype=torch.float64)
    problem = within(Waves(waves, 1.0), 0.3 * normal(n, 4, seed=5), Box(-one, one), cls)
    first = problem.bounds.clip(normal(n, 4, seed=6))
    found = minimise(problem, ProjectedNewton(), first, tol=1e-9).check()
    before, after = (problem.evaluate(at)[0] for at in (first, found.point))
    assert (after < before).all()
    assert found.steps.max() <= 60  # saddles are left fast
    nudged = problem.bounds.clip(found.point + 1e-3 * normal(n, 4, seed=7))
    assert (problem.evaluate(nudged)[0] >= after - 1e-9).all()


# ---- overflow and precision


@pytest.mark.parametrize("cls", [Boxed, BoxedWithHessian])
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_that_overflow_are_shortened(
    dtype: torch.dtype, cls: type[Boxed]
) -> None:
    # y exp(|y|^2/2) = -tilt has the direction of -tilt, and a length below sqrt(2 log |tilt|).
    tilt = (normal(64, 3) * torch.logspace(-2, 6, 64)[:, None]).to(dtype)
    wide = Box(torch.full_like(tilt, -1e3), torch.full_like(tilt, 1e3))
    problem = within(Exponential(), tilt, wide, cls)
    size = torch.linalg.vector_norm(tilt, dim=-1)
    found = minimise(
        problem,
        ProjectedNewton(),
        torch.zeros_like(tilt),
        tol=(1 + size) * DTYPES[dtype],
    ).check()
    length = torch.linalg.vector_norm(found.point, dim=-1)
    torch.testing.assert_close(
        length.log() + length.square() / 2, size.log(), rtol=0, atol=1e-2
    )
    far = minimise(problem, ProjectedNewton(), torch.full_like(tilt, 4.0), tol=0.0)
    assert torch.isfinite(far.point).all()


def test_a_start_that_overflows_is_named() -> None:
    one = torch.ones(2, 3, dtype=torch.float64)
    problem = within(Exponential(), one, Box(-100 * one, 100 * one))
    first = torch.stack([50 * one[0], one[1]])
    found = minimise(problem, ProjectedNewton(), first, tol=1e-8)
    assert found.status.tolist() == [Status.NON_FINITE, Status.CONVERGED]
    assert torch.isfinite(found.point).all()


def test_rows_stall_where_the_precision_ends() -> None:
    tilt = 30 * normal(40, 3, seed=2).float()
    box = Box(torch.full_like(tilt, -1.0), torch.full_like(tilt, 9.0))
    problem = within(Exponential(), tilt, box)
    found = minimise(problem, ProjectedNewton(), 0 * tilt, tol=1e-12)
    stalled = found.status == Status.STALLED
    assert stalled.sum() > 20
    assert (found.status != Status.NON_FINITE).all()
    assert "float64" in found.report()
    assert (found.residual < 1e-3).all()


def test_the_projected_residual_is_that_of_the_clipped_step() -> None:
    y, g = normal(20, 4, seed=1), normal(20, 4, seed=2)
    box = Box(torch.full_like(y, -1.0), torch.full_like(y, 0.5))
    at = Iterate(box.clip(y), torch.zeros(20, dtype=torch.float64), g)
    step = at.y.numpy() - np.clip((at.y - g).numpy(), -1.0, 0.5)
    found = projected_residual(at, box).numpy()
    np.testing.assert_allclose(found, np.linalg.norm(step, axis=-1))


def test_a_slope_without_curvature_leads_to_the_bound_at_once() -> None:
    """However small the slope; where there is no bound there is no minimum, which is told."""

    class Slope:
        def __init__(self, slope: Tensor, upper: Tensor) -> None:
            self.slope, self.bounds = slope, Box(-torch.ones_like(upper), upper)

        def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
            return (self.slope * y).sum(-1), self.slope

        def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
            return torch.zeros_like(v)

        def hessian(self, y: Tensor) -> Tensor:
            return y.new_zeros(len(y), y.shape[1], y.shape[1])

        def rows(self, index: Tensor) -> Slope:
            return Slope(self.slope[index], self.bounds.upper[index])

        def errors(self, at: Iterate) -> Tensor:
            return projected_residual(at, self.bounds)

    slope = torch.tensor([[1e-3, -1e-2], [2.0, 1e-2]], dtype=torch.float64)
    problem = Slope(slope, torch.ones(2, 2, dtype=torch.float64))
    found = minimise(problem, ProjectedNewton(), torch.zeros_like(slope), tol=1e-9)
    assert torch.equal(found.point, -slope.sign())
    assert int(found.steps.max()) <= 2
    free = Slope(slope, torch.full_like(slope, torch.inf))
    found = minimise(free, ProjectedNewton(), torch.zeros_like(slope), tol=1e-9)
    assert found.converged.tolist() == [False, True]
