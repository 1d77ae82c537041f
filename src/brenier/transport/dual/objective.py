"""The dual objective of quadratic optimal transport.

    J(g) = E_mu g(x) - E_nu env(z),     env(z) = min over y of |y - z|^2/2 + g(y)

-J(g) <= W2^2(mu, nu)/2 for every g whose inner minima are exact, with equality at the Brenier potential ("Fixed-Point
Neural Optimal Transport...", Park et al., 2026, (15), (18)). The loss returned *is* J, quadratic term included, and its
gradient in the parameters is the envelope gradient E d g(x) - E d g(y*): one number is optimised, reported and used for
selection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import BFGS, Method, Solution, Status
from brenier.statistics import standard_error
from brenier.transport.dual.conjugate import conjugate
from brenier.transport.dual.starts import Starts, best_start

CANDIDATES = 1024  # source points at which an inner problem may start


@dataclasses.dataclass(frozen=True)
class DualValue:
    """J on a batch.

    Attributes:
        loss: J, a scalar with the envelope gradient.
        source: (n,), g(x), whose mean is the first term.
        target: (m,), env(z), whose mean is the second.
        solution: how the inner solves went.
    """

    loss: Tensor
    source: Tensor
    target: Tensor
    solution: Solution

    def standard_error(self) -> float:
        """Return the standard error of J as an average over independent samples; inf for fewer than two rows."""
        return standard_error(
            self.source, self.target[torch.isfinite(self.solution.residual)]
        )


Weigh = Callable[[Tensor], Tensor]  # points (n, d) -> weights (n,) of sum one


def equal(points: Tensor) -> Tensor:
    """Return equal weights."""
    n = len(points)
    return points.new_full((n,), 1 / n if n else torch.nan)


@dataclasses.dataclass(frozen=True)
class Batch:
    """A potential and the points at which its J is asked for.

    Attributes:
        potential: g.
        x, z: (n, d), (m, d), source and target points.
        start: (k, d), first iterates of the first k rows of z; the others start at the best of themselves and of x
            (`best_start`).
        skip_fraction: share of the rows of z that may be left unfinished; those do not enter the loss.
        weigh: how x, and the rows of z that enter the loss, are weighed.
    """

    potential: Potential
    x: Tensor
    z: Tensor
    start: Tensor | None = None
    skip_fraction: float = 0.0
    weigh: tuple[Weigh, Weigh] = (equal, equal)


Draw = Callable[[], Batch]


class Terms(NamedTuple):
    """The terms of J: g(x) (n,), env(z) (m,), and how the inner solves went."""

    source: Tensor
    target: Tensor
    solution: Solution


class Evaluate(Protocol):
    """How the terms of some batches are found: `in_turn`, or by several processes."""

    def __call__(
        self, draws: Sequence[Draw], **how: Any
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Draw every batch, in order; yield those that are worked on at once, each with the terms of its J.

        Args:
            draws: functions that draw a batch, of potentials alike.
            how: to solve the inner problems (see `conjugate`).

        Yields:
            Terms differentiable in the parameters; those yielded together are best differentiated together.
        """
        ...


def in_turn(draws: Sequence[Draw], **how: Any) -> Iterator[list[tuple[Batch, Terms]]]:
    """Draw one batch after the other, and find its terms; as `Evaluate` says."""
    for draw in draws:
        batch = draw()
        yield [(batch, terms(batch, **how))]


def terms(batch: Batch, **how: Any) -> Terms:
    """Return the terms of J, differentiable in the parameters; `how` is to solve the inner problems."""
    potential, x = batch.potential, batch.x
    source = potential(x)
    near, values = x[:CANDIDATES], source[:CANDIDATES].detach()
    return Terms(
        source,
        *envelope(
            potential,
            batch.z,
            batch.start,
            near,
            values,
            skip_fraction=batch.skip_fraction,
            **how,
        ),
    )


def envelope(
    potential: Potential,
    z: Tensor,
    start: Tensor | None,
    x: Tensor,
    values: Tensor,
    **how: Any,
) -> tuple[Tensor, Solution]:
    """Return env(z) (m,), differentiable in the parameters, and how the inner solves went.

    Args:
        potential: g.
        z: (m, d), target points.
        start: (k, d), first iterates of the first k rows of z, or None.
        x, values: (n, d), (n,), points and g there, where the other rows may start (see `best_start`).
        how: to solve the inner problems (see `conjugate`).
    """
    start = z[:0] if start is None else start
    starts = Starts.apart(start).then(best_start(potential, z[len(start) :], x, values))
    found = conjugate(potential, z, start=starts, **how)
    return found.value, found.solution


@dataclasses.dataclass(frozen=True)
class DualObjective:
    """J with a given inner solver: `objective(potential, x, z).loss.backward()`.

    Attributes:
        method: inner solver, `BFGS()` by default.
        tol: bound on the inner residual.
        max_steps: inner steps after which a row is given up. Such rows enter the loss with their best iterate and are
            counted in `solution`; rows without any finite iterate are left out of it.
        check_every: inner steps between two stop tests.
        evaluate: how the terms of batches are found; nothing that J depends on.
    """

    method: Method = dataclasses.field(default_factory=BFGS)
    tol: float = 1e-3
    max_steps: int = 200
    check_every: int = 1
    evaluate: Evaluate = dataclasses.field(default=in_turn, repr=False, compare=False)

    def __call__(
        self,
        potential: Potential,
        x: Tensor,
        z: Tensor,
        *,
        start: Tensor | None = None,
        tol: float | None = None,
        skip_fraction: float = 0.0,
        weigh: tuple[Weigh, Weigh] = (equal, equal),
    ) -> DualValue:
        """Return J(g) on source points x (n, d) and target points z (m, d).

        Args:
            potential: g.
            x, z: source and target points.
            start: (k, d), first iterates of the first k rows of z; the others start at the best of themselves and of
                x (`best_start`).
            tol: another bound on the inner residual.
            skip_fraction: share of the rows of z that may be left unfinished; those do not enter the loss.
            weigh: how x, and the rows of z that enter the loss, are weighed.
        """
        batch = Batch(potential, x, z, start, skip_fraction, weigh)
        ((_, value),) = next(self.several([lambda: batch], tol))
        return value

    def several(
        self, draws: Sequence[Draw], tol: float | None = None
    ) -> Iterator[list[tuple[Batch, DualValue]]]:
        """Draw every batch, in order; yield those that are worked on at once, each with its J.

        Args:
            draws: functions that draw a batch, of potentials alike.
            tol: another bound on the inner residual.
        """
        found = self.evaluate(
            draws,
            method=self.method,
            tol=self.tol if tol is None else tol,
            max_steps=self.max_steps,
            check_every=self.check_every,
        )
        for together in found:
            yield [(batch, _value(batch, *its)) for batch, its in together]


def _value(
    batch: Batch, source: Tensor, target: Tensor, solution: Solution
) -> DualValue:
    """Return J, of its terms."""
    usable = torch.isfinite(solution.residual) & (solution.status != Status.DEFERRED)
    loss = source @ batch.weigh[0](batch.x) - target[usable] @ batch.weigh[1](
        batch.z[usable]
    )
    return DualValue(loss, source, target, solution)
