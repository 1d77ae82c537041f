"""Problems with answers, and the lists that the laws in `contracts.py` run over.

A problem's rows are objectives F_i: R^d -> R with known minimisers `answer`, each `convexity`-strongly convex, so that
an iterate of residual R is within |R| / convexity of its answer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier import (
    BFGS,
    LBFGS,
    Anderson,
    Conditional,
    DenseICNN,
    GradientStep,
    MeanPotential,
    NewtonCG,
    Potential,
    Quadratic,
    ResidualPotential,
)
from brenier.solve import (
    Iterate,
    Method,
    OrthantBFGS,
    Problem,
    ProjectedNewton,
    natural_residual,
    projected_residual,
)


class Answered(Problem, Protocol):
    """A problem whose minimisers are known."""

    @property
    def answer(self) -> Tensor: ...

    @property
    def convexity(self) -> float: ...


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def positive_definite(
    *shape: int, condition: float, largest: float = 1.0, seed: int = 0
) -> Tensor:
    """Symmetric matrices (..., d, d) with eigenvalues spread evenly in logarithm over the given condition number."""
    d = shape[-1]
    vectors = torch.linalg.qr(normal(*shape, d, seed=seed))[0]
    spectrum = torch.logspace(-math.log10(condition), 0, d, dtype=torch.float64)
    return (vectors * (largest * spectrum)) @ vectors.mT


def with_moments(n: int, mean: Tensor, covariance: Tensor, seed: int = 0) -> Tensor:
    """Samples (n, d) whose mean and covariance (divided by n) are exactly the given ones."""
    raw = normal(n, len(mean), seed=seed)
    raw = raw - raw.mean(0)
    factor = torch.linalg.cholesky(raw.mT @ raw / n)
    white = torch.linalg.solve_triangular(factor, raw.mT, upper=False).mT
    return mean + white @ torch.linalg.cholesky(covariance).mT


# ---- problems


@dataclasses.dataclass(frozen=True)
class Quadratics:
    """F(y) = w'Hw/2 with w = y - answer and a matrix H (n, d, d) per row."""

    hessian: Tensor
    answer: Tensor
    convexity: float

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        away = y - self.answer
        residual = self.hessian_product(y, away)
        return 0.5 * vecdot(away, residual), residual

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return (self.hessian * v.unsqueeze(1)).sum(-1)

    def rows(self, index: Tensor) -> Quadratics:
        return Quadratics(self.hessian[index], self.answer[index], self.convexity)


@dataclasses.dataclass(frozen=True)
class LogCosh:
    """F(y) = |w|^2/2 + sum_j log cosh(slope w_j) / slope with w = y - answer: curvature 1 far out, 1 + slope within."""

    answer: Tensor
    slope: float = 1.0
    convexity: float = 1.0

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        away = y - self.answer
        steep = self.slope * away
        log_cosh = steep.abs() + torch.log1p(torch.exp(-2 * steep.abs())) - math.log(2)
        value = vecdot(away, away) / 2 + log_cosh.sum(-1) / self.slope
        return value, away + torch.tanh(steep)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        steep = self.slope * (y - self.answer)
        return (1 + self.slope / torch.cosh(steep).square()) * v

    def rows(self, index: Tensor) -> LogCosh:
        return LogCosh(self.answer[index], self.slope)


@dataclasses.dataclass(frozen=True)
class LogSumExp:
    """F(y) = |y - z|^2/2 + log sum_k exp(a_k.y), with z chosen so that `answer` is the minimiser."""

    planes: Tensor  # (k, d)
    answer: Tensor
    convexity: float = 1.0

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        away = y - self.answer - self._slope(self.answer)
        heights = (self.planes * y.unsqueeze(1)).sum(-1)
        value = 0.5 * vecdot(away, away) + torch.logsumexp(heights, -1)
        return value, away + self._slope(y)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        share = torch.softmax((self.planes * y.unsqueeze(1)).sum(-1), -1)
        along = (self.planes * v.unsqueeze(1)).sum(-1)
        tilt = share * (along - (share * along).sum(-1, keepdim=True))
        return v + (tilt.unsqueeze(-1) * self.planes).sum(1)

    def rows(self, index: Tensor) -> LogSumExp:
        return LogSumExp(self.planes, self.answer[index], self.convexity)

    def _slope(self, y: Tensor) -> Tensor:
        share = torch.softmax((self.planes * y.unsqueeze(1)).sum(-1), -1)
        return (share.unsqueeze(-1) * self.planes).sum(1)


@dataclasses.dataclass(frozen=True)
class Quartic:
    """F(y) = |w|^2/2 + |w|^4/40 with w = y - answer: its curvature is not bounded."""

    answer: Tensor
    convexity: float = 1.0

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        away = y - self.answer
        square = vecdot(away, away)
        return square / 2 + square.square() / 40, (1 + square / 10).unsqueeze(-1) * away

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        away = y - self.answer
        along = vecdot(away, v).unsqueeze(-1)
        return (1 + vecdot(away, away) / 10).unsqueeze(-1) * v + along * away / 5

    def rows(self, index: Tensor) -> Quartic:
        return Quartic(self.answer[index], self.convexity)


@dataclasses.dataclass(frozen=True)
class Barrier:
    """F(y) = sum_j y_j / answer_j - log y_j, which is NaN unless every y_j is positive; strongly convex where y < 4."""

    answer: Tensor
    convexity: float = 1 / 16

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        inside = torch.where((y > 0).all(-1, keepdim=True), y, torch.nan)
        value = (inside / self.answer - inside.log()).sum(-1)
        return value, 1 / self.answer - 1 / inside

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return v / y.square()

    def rows(self, index: Tensor) -> Barrier:
        return Barrier(self.answer[index], self.convexity)


@dataclasses.dataclass(frozen=True)
class DoubleWell:
    """F(y) = (u_1^2 - 1)^2/4 + u_2^2/2 with u = Qy, Q a rotation: minima at |u_1| = 1, a saddle between."""

    rotation: Tensor  # (2, 2)

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        u, v = (y @ self.rotation.T).unbind(-1)
        slope = torch.stack([u * (u.square() - 1), v], -1)
        return (u.square() - 1).square() / 4 + v.square() / 2, slope @ self.rotation

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        u = y @ self.rotation.T
        across = 3 * u[:, 0].square() - 1
        curvature = torch.stack([across, torch.ones_like(across)], -1)
        return (curvature * (v @ self.rotation.T)) @ self.rotation

    def rows(self, index: Tensor) -> DoubleWell:
        return self


@dataclasses.dataclass(frozen=True)
class Unbounded:
    """F(y) = -sum_j y_j + sinh y_j: nowhere stationary, unbounded below, and it overflows on the way there."""

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return -(y + y.sinh()).sum(-1), -1 - y.cosh()

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return -y.sinh() * v

    def rows(self, index: Tensor) -> Unbounded:
        return self


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """Another problem, with NaN for every result in the `broken` rows (n,)."""

    problem: Problem
    broken: Tensor

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        value, residual = self.problem.evaluate(y)
        value = torch.where(self.broken, torch.nan, value)
        return value, torch.where(self.broken.unsqueeze(-1), torch.nan, residual)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        product = self.problem.hessian_product(y, v)
        return torch.where(self.broken.unsqueeze(-1), torch.nan, product)

    def rows(self, index: Tensor) -> Corrupted:
        return Corrupted(self.problem.rows(index), self.broken[index])


@dataclasses.dataclass
class Tally:
    """What was asked of a problem: rows evaluated, Hessian products, and whether autograd was ever on."""

    evaluations: int = 0
    products: int = 0
    graph: bool = False


@dataclasses.dataclass(frozen=True)
class Counting:
    """Another problem, with a tally of what is asked of it and its restrictions."""

    problem: Problem
    tally: Tally

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        value, residual = self.problem.evaluate(y)
        self.tally.evaluations += len(y)
        self.tally.graph |= (
            torch.is_grad_enabled() or value.requires_grad or residual.requires_grad
        )
        return value, residual

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        self.tally.products += len(y)
        self.tally.graph |= torch.is_grad_enabled()
        return self.problem.hessian_product(y, v)

    def rows(self, index: Tensor) -> Counting:
        return Counting(self.problem.rows(index), self.tally)


@dataclasses.dataclass(frozen=True)
class Kinked:
    """F(y) = smooth(y) + <tilt, y> + kink sum_j |y_j - centre_j|, the tilt such that `answer` is the minimiser."""

    smooth: Problem
    tilt: Tensor
    centre: Tensor
    kink: float
    answer: Tensor
    convexity: float

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        value, residual = self.smooth.evaluate(y)
        kinks = self.kink * (y - self.centre).abs().sum(-1)
        return value + vecdot(self.tilt, y) + kinks, residual + self.tilt

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return self.smooth.hessian_product(y, v)

    def errors(self, at: Iterate) -> Tensor:
        return natural_residual(at, self.centre, self.kink)

    def rows(self, index: Tensor) -> Kinked:
        return Kinked(
            self.smooth.rows(index),
            self.tilt[index],
            self.centre[index],
            self.kink,
            self.answer[index],
            self.convexity,
        )


def kinked(problem: Answered, kink: float, steepest: float = 9.0) -> Kinked:
    """A problem with kinks added: every other coordinate of its answer moves to its centre, beside the smooth answer.

    The natural residual bounds the distance to the answer by (1 + steepest) / convexity, of curvatures up to steepest.
    """
    answer = problem.answer
    resting = torch.arange(answer.numel()).view(answer.shape) % 2 == 0
    centre = torch.where(
        resting, answer, answer + normal(*answer.shape, seed=7).to(answer)
    )
    pulls = torch.where(
        resting,
        torch.tanh(normal(*answer.shape, seed=8).to(answer)),
        torch.sign(answer - centre),
    )
    tilt = -problem.evaluate(answer)[1] - kink * pulls
    return Kinked(
        problem, tilt, centre, kink, answer, problem.convexity / (1 + steepest)
    )


class Box(NamedTuple):
    """Bounds (n, d)."""

    lower: Tensor
    upper: Tensor

    def clip(self, y: Tensor) -> Tensor:
        return torch.maximum(torch.minimum(y, self.upper), self.lower)


@dataclasses.dataclass(frozen=True)
class Boxed:
    """F(y) = smooth(y) + <tilt, y> within bounds, NaN outside."""

    smooth: Problem
    tilt: Tensor
    bounds: Box
    answer: Tensor
    convexity: float

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.where(y == self.bounds.clip(y), y, torch.nan)
        value, residual = self.smooth.evaluate(y)
        return value + vecdot(self.tilt, y), residual + self.tilt

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        return self.smooth.hessian_product(y, v)

    def errors(self, at: Iterate) -> Tensor:
        return projected_residual(at, self.bounds)

    def rows(self, index: Tensor) -> Boxed:
        return dataclasses.replace(
            self,
            smooth=self.smooth.rows(index),
            tilt=self.tilt[index],
            bounds=Box(self.bounds.lower[index], self.bounds.upper[index]),
            answer=self.answer[index],
        )


@dataclasses.dataclass(frozen=True)
class BoxedWithHessian(Boxed):
    """The same, with a Hessian in full."""

    def hessian(self, y: Tensor) -> Tensor:
        columns = torch.eye(y.shape[1], dtype=y.dtype)
        products = [self.hessian_product(y, v.expand_as(y)) for v in columns]
        return torch.stack(products, -1)


def boxed(problem: Answered, steepest: float = 9.0, cls: type[Boxed] = Boxed) -> Boxed:
    """A problem with bounds: one coordinate in three of its answer is at a lower, one at an upper bound.

    The first row has no lower and the second no upper bounds. The projected residual bounds the distance to the answer
    by (1 + steepest) / convexity, of curvatures up to steepest.
    """
    answer = problem.answer
    place = torch.arange(answer.numel()).view(answer.shape) % 3
    push = 0.1 + normal(*answer.shape, seed=8).abs().to(answer)
    width = 1.6 + normal(*answer.shape, seed=9).abs().to(answer)
    lower = torch.where(place == 0, answer, answer - width)
    upper = torch.where(place == 1, answer, answer + width)
    lower[0], upper[1] = -torch.inf, torch.inf
    pull = torch.where(lower == answer, push, torch.where(upper == answer, -push, 0.0))
    tilt = pull - problem.evaluate(answer)[1]
    convexity = problem.convexity / (1 + steepest)
    return cls(problem, tilt, Box(lower, upper), answer, convexity)


def counting(problem: Problem, tally: Tally) -> Problem:
    """A problem with a tally of what is asked of it, its kinks or bounds seen as before."""
    if isinstance(problem, Kinked | Boxed):
        return dataclasses.replace(problem, smooth=Counting(problem.smooth, tally))
    return Counting(problem, tally)


def corrupted(problem: Problem, broken: Tensor) -> Problem:
    """A problem with NaN for every result in the broken rows (n,), its kinks or bounds seen as before."""
    if isinstance(problem, Kinked | Boxed):
        return dataclasses.replace(problem, smooth=Corrupted(problem.smooth, broken))
    return Corrupted(problem, broken)


def quadratics(
    condition: float, largest: float = 2.0, n: int = 5, d: int = 5
) -> Quadratics:
    """Rows of the same spectrum, each with its own axes and answer."""
    hessian = positive_definite(n, d, condition=condition, largest=largest)
    return Quadratics(hessian, normal(n, d, seed=1), largest / condition)


PROBLEMS: dict[str, Answered] = {
    "round": quadratics(1.0),
    "elongated": quadratics(5.0),
    "log-cosh": LogCosh(normal(5, 5, seed=1)),
    "log-sum-exp": LogSumExp(normal(6, 5, seed=2) / 2, normal(5, 5, seed=1)),
    "quartic": Quartic(normal(5, 5, seed=1)),
}

# Beyond plain gradient steps: badly scaled, or without values outside a domain.
HARD_PROBLEMS: dict[str, Answered] = {
    "ill-conditioned": quadratics(1e4),
    "stiff": quadratics(100.0, largest=1e3),
    "barrier": Barrier(0.5 + normal(5, 5, seed=1).sigmoid()),
}

KINKED_PROBLEMS: dict[str, Answered] = {
    name: kinked(problem, 0.5) for name, problem in PROBLEMS.items()
}

BOXED_PROBLEMS: dict[str, Boxed] = {
    name: boxed(problem) for name, problem in PROBLEMS.items()
} | {
    f"{name}, in full": boxed(problem, cls=BoxedWithHessian)
    for name, problem in PROBLEMS.items()
}

METHODS: dict[str, Method] = {
    "gradient step": GradientStep(),
    "paper": GradientStep.paper(),
    "fixed size": GradientStep(size=0.3),
    "anderson": Anderson(),
    "bfgs": BFGS(),
    "bfgs, short memory": BFGS(memory=3),
    "lbfgs": LBFGS(),
    "lbfgs, short memory": LBFGS(memory=3),
    "newton": NewtonCG(),
    "orthant": OrthantBFGS(),
    "projected newton": ProjectedNewton(),
}
CURVED_METHODS = {
    name: METHODS[name]
    for name in (
        "bfgs",
        "lbfgs",
        "lbfgs, short memory",
        "newton",
        "orthant",
        "projected newton",
    )
}
# The published step size is shared by the batch: the only method whose rows are not independent.
ROW_WISE_METHODS = {name: method for name, method in METHODS.items() if name != "paper"}


def start(problem: Answered) -> Tensor:
    """First iterates about one away from the answers in every coordinate, and inside every problem's domain."""
    step = 0.5 + normal(*problem.answer.shape, seed=3).sigmoid()
    first = problem.answer + step.to(problem.answer)
    return problem.bounds.clip(first) if isinstance(problem, Boxed) else first


# ---- potentials


def randomised(potential: Potential, size: float, seed: int = 0) -> Potential:
    """The potential in float64, its parameters moved by normal numbers of the given size."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in potential.double().parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.add_(noise, alpha=size)
    return potential


def make(
    cls: Any, dim: int = 3, size: float = 0.5, seed: int = 0, **settings: Any
) -> Potential:
    """A small potential with random parameters."""
    if cls is not Quadratic:
        settings = {"generator": torch.Generator().manual_seed(seed), **settings}
    return randomised(cls(dim, **settings), size, seed)


def conditioned(
    dim: int = 3, size: float = 0.5, seed: int = 0, **settings: Any
) -> Potential:
    """A conditional potential at one fixed condition."""
    whole = make(DenseICNN, dim + 2, size, seed, hidden=(8, 8, 4), **settings)
    return Conditional(whole, dim).condition_on(torch.tensor([1.0, -0.5]))


def mean(dim: int = 3, size: float = 0.5, seed: int = 0, **settings: Any) -> Potential:
    """A mean of two networks of different widths."""
    shallow = make(DenseICNN, dim, size, seed, hidden=(8, 4), **settings)
    deep = make(DenseICNN, dim, size, seed + 1, hidden=(8, 8, 4), **settings)
    return MeanPotential([shallow, deep])


_ICNN = partial(make, DenseICNN, hidden=(8, 8, 4))
_RESIDUAL = partial(make, ResidualPotential, width=8)
POTENTIALS: dict[str, Callable[..., Potential]] = {
    "quadratic": partial(make, Quadratic),
    "free celu": partial(_ICNN, activation="celu"),
    "free softplus": partial(_ICNN, activation="softplus"),
    "free tanh": partial(_ICNN, activation="tanh"),
    "convex celu": partial(_ICNN, activation="celu", convex=True),
    "convex softplus": partial(_ICNN, activation="softplus", convex=True),
    "residual celu": partial(_RESIDUAL, activation="celu"),
    "residual softplus": partial(_RESIDUAL, activation="softplus"),
    "residual tanh": partial(_RESIDUAL, activation="tanh"),
}
CONVEX_POTENTIALS = {
    name: new
    for name, new in POTENTIALS.items()
    if name.startswith(("quadratic", "convex"))
}
FREE_POTENTIALS = {
    name: new for name, new in POTENTIALS.items() if name not in CONVEX_POTENTIALS
}


def gentle(new: Callable[..., Potential], dim: int = 3, seed: int = 0) -> Potential:
    """One of POTENTIALS whose psi is strongly convex, so that its inner problems have one minimum."""
    potential = new(dim, size=0.1, seed=seed)
    for name, parameter in potential.named_parameters():
        if name.endswith("readout") and potential.strong_convexity() == 0:
            parameter.data.mul_(0.003)
    return potential
