"""The dual objective of optimal transport.

    J(g) = E_mu g(x) - E_nu env(z),     env(z) = min over y of |y - z|^2/2 + g(y)

(another cost takes the place of |y - z|^2/2, see `inner`, and unbalanced mass makes something else of both terms, see
`marginals`).

-J(g) <= W2^2(mu, nu)/2 for every g whose inner minima are exact, with equality at the Brenier potential ("Fixed-Point
Neural Optimal Transport...", Park et al., 2026, (15), (18)). The loss returned *is* J, quadratic term included, and its
gradient in the parameters is the envelope gradient E d g(x) - E d g(y*): one number is optimised, reported and used for
selection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Method, Solution, Status
from brenier.statistics import ALONE, Pool
from brenier.transport.costs import Cost
from brenier.transport.dual.conjugate import conjugate
from brenier.transport.dual.marginals import UnbalancedMass
from brenier.transport.dual.starts import (
    InitialPoints,
    StartSettings,
    best_initial_points,
)
from brenier.transport.dual.value import DualValue, both_uniform

# Points x (n, d) and z (m, d) -> their weights (n,), (m,), each of sum one over all processes of the pool.
BatchWeights = Callable[[Tensor, Tensor], Sequence[Tensor]]


@dataclasses.dataclass(frozen=True)
class SolverOptions:
    """How the inner problems of a batch are solved (see `conjugate`).

    Attributes:
        method: inner solver.
        tol: bound on the inner residual.
        max_steps: inner steps after which a row is given up.
        check_every: inner steps between two stop tests.
        starts: where rows without a first iterate of their own start.
        cost: the cost, in the coordinates; None for the squared distance.
    """

    method: Method | None
    tol: float
    max_steps: int
    check_every: int
    starts: StartSettings
    cost: Cost | None = None


@dataclasses.dataclass(frozen=True)
class Batch:
    """A potential and the points at which its J is asked for.

    Attributes:
        potential: g.
        x, z: (n, d), (m, d), source and target points.
        start: (k, d), first iterates of the first k rows of z; the others start at the best of themselves and of x
            (`best_initial_points`).
        skip_fraction: share of the rows of z that may be left unfinished; those do not enter the loss.
        weights: how x, and the rows of z that enter the loss, are weighted.
        pool: the processes that hold the other parts of the batch.
    """

    potential: Potential
    x: Tensor
    z: Tensor
    start: Tensor | None = None
    skip_fraction: float = 0.0
    weights: BatchWeights = both_uniform
    pool: Pool = ALONE


class Terms(NamedTuple):
    """The terms of J: g(x) (n,), env(z) (m,), and how the inner solves went."""

    source: Tensor
    target: Tensor
    solution: Solution


class Evaluator(Protocol):
    """How the terms of some batches are found: by this process (`sequential`), or by several that share the rows."""

    def __call__(
        self, batches: Iterable[Batch], count: int, options: SolverOptions
    ) -> Iterator[list[tuple[Batch, Terms]]]:
        """Find the terms of every batch, in order; yield those that are worked on at once.

        Args:
            batches: of potentials alike; each is asked for when work on it can begin, not before.
            count: how many there are.
            options: how to solve the inner problems.

        Yields:
            Batches, each with terms that are differentiable in the parameters; those yielded together are best
            differentiated together.
        """
        ...


def sequential(
    batches: Iterable[Batch], count: int, options: SolverOptions
) -> Iterator[list[tuple[Batch, Terms]]]:
    """Find the terms of one batch after the other, as `Evaluator` says."""
    for batch in batches:
        yield [(batch, terms_of(batch, options))]


def terms_of(batch: Batch, options: SolverOptions) -> Terms:
    """Return the terms of J on a batch, differentiable in the parameters."""
    source = batch.potential(batch.x)
    candidates = batch.x[: options.starts.max_candidates]
    values = source[: options.starts.max_candidates].detach()
    target, solution = envelope(
        batch.potential,
        batch.z,
        batch.start,
        candidates,
        values,
        options,
        batch.skip_fraction,
    )
    return Terms(source, target, solution)


def envelope(
    potential: Potential,
    z: Tensor,
    start: Tensor | None,
    candidates: Tensor,
    values: Tensor,
    options: SolverOptions,
    skip_fraction: float = 0.0,
) -> tuple[Tensor, Solution]:
    """Return env(z) (m,), differentiable in the parameters, and how the inner solves went.

    Args:
        potential: g.
        z: (m, d), target points.
        start: (k, d), first iterates of the first k rows of z, or None.
        candidates, values: (n, d), (n,), points and g there, where the other rows may start.
        options: how to solve the inner problems.
        skip_fraction: share of the rows that may be left unfinished.
    """
    start = z[:0] if start is None else start
    others = best_initial_points(
        potential,
        z[len(start) :],
        candidates,
        values,
        options.starts.condition_penalty,
        options.cost,
        options.starts.shortlist,
    )
    found = conjugate(
        potential,
        z,
        cost=options.cost,
        method=options.method,
        start=InitialPoints.per_row(start).concatenate(others),
        tol=options.tol,
        max_steps=options.max_steps,
        check_every=options.check_every,
        skip_fraction=skip_fraction,
        evaluate_again=False,
    )
    return found.value, found.solution


@dataclasses.dataclass(frozen=True)
class DualObjective:
    """J with a given inner solver: `objective(potential, x, z).loss.backward()`.

    Attributes:
        method: inner solver, by default that of the cost (see `conjugate`).
        tol: bound on the inner residual.
        max_steps: inner steps after which a row is given up. Such rows enter the loss with their best iterate and are
            counted in `solution`; rows without any finite iterate are left out of it.
        check_every: inner steps between two stop tests.
        starts: where inner problems may start.
        cost: the cost, in the coordinates of the points; None for the squared distance.
        mass: unbalanced mass, in the units of that cost, or None.
        evaluator: how the terms of batches are found; nothing that J depends on.
    """

    method: Method | None = None
    tol: float = 1e-3
    max_steps: int = 200
    check_every: int = 1
    starts: StartSettings = dataclasses.field(default_factory=StartSettings)
    cost: Cost | None = None
    mass: UnbalancedMass | None = None
    evaluator: Evaluator = dataclasses.field(
        default=sequential, repr=False, compare=False
    )

    def __call__(
        self,
        potential: Potential,
        x: Tensor,
        z: Tensor,
        *,
        start: Tensor | None = None,
        tol: float | None = None,
        skip_fraction: float = 0.0,
        weights: BatchWeights = both_uniform,
    ) -> DualValue:
        """Return J(g) on source points x (n, d) and target points z (m, d).

        Args:
            potential: g.
            x, z: source and target points.
            start: (k, d), first iterates of the first k rows of z; the others start at the best of themselves and of
                x (`best_initial_points`).
            tol: another bound on the inner residual.
            skip_fraction: share of the rows of z that may be left unfinished; those do not enter the loss.
            weights: how x, and the rows of z that enter the loss, are weighted.
        """
        batch = Batch(potential, x, z, start, skip_fraction, weights)
        ((_, value),) = next(self.evaluate_batches([batch], 1, tol))
        return value

    def evaluate_batches(
        self, batches: Iterable[Batch], count: int, tol: float | None = None
    ) -> Iterator[list[tuple[Batch, DualValue]]]:
        """Find J of every batch, in order; yield those that are worked on at once.

        Args:
            batches: of potentials alike; each is asked for when work on it can begin, not before.
            count: how many there are.
            tol: another bound on the inner residual.
        """
        options = SolverOptions(
            method=self.method,
            tol=self.tol if tol is None else tol,
            max_steps=self.max_steps,
            check_every=self.check_every,
            starts=self.starts,
            cost=self.cost,
        )
        for together in self.evaluator(batches, count, options):
            yield [
                (batch, _value(batch, terms, self.mass)) for batch, terms in together
            ]


def _value(batch: Batch, terms: Terms, mass: UnbalancedMass | None) -> DualValue:
    """Return J, of its terms.

    Of a part of a batch its gradient is that of the part, which over all processes add up. Its value is that of the
    whole batch where mass is unbalanced, else what the part says of it.
    """
    source, target, solution = terms
    usable = torch.isfinite(solution.residual) & (solution.status != Status.DEFERRED)
    rows = usable.nonzero().squeeze(-1)  # asked for once
    of_x, of_z = batch.weights(batch.x, batch.z[rows])
    used, pool = target[rows], batch.pool
    if mass is None:
        loss = source @ of_x - used @ of_z
        if pool.size > 1:
            loss = loss + (pool.size - 1) * loss.detach()
        return DualValue(loss, source, target, solution, mass)
    parts = [torch.cat([own, *pool.others(own)]) for own in (source, used, of_x, of_z)]
    loss = mass.loss(parts[0], parts[1], (parts[2], parts[3]))
    return DualValue(loss, source, target, solution, mass)
