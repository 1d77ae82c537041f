"""What a worker process does for the dual objective: it evaluates J for some rows, and differentiates it.

Its weights are told with every request. Everything that comes and goes is an array, since those are cheap to send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution
from brenier.transport.dual.objective import Batch, SolverOptions, envelope, terms_of

Array: TypeAlias = NDArray[np.floating]

SOLUTION_ROWS = (
    "point",
    "residual",
    "steps",
    "status",
)  # the fields of a solution that are arrays


class DualWorker:
    """Copies of potentials by key, and of each the terms of J last found."""

    def __init__(self) -> None:
        self._potentials: dict[int, Potential] = {}
        self._terms: dict[int, tuple[Tensor, ...]] = {}

    def register(self, potentials: dict[int, Potential], *_: object) -> None:
        """Keep potentials under their keys; what else is sent was only to be read."""
        self._potentials |= potentials

    def terms(
        self,
        key: int,
        weights: Sequence[Array],
        differentiated: bool,
        points: Sequence[Array | None],
        skip_fraction: float,
        options: SolverOptions,
    ) -> tuple[Array, Array, dict[str, Any]]:
        """Return g(x), env(z) and the fields of the solution for a whole batch.

        Args:
            key: which potential.
            weights: what it is made of now, in the order of `tensors_of`.
            differentiated: whether `differentiate` may follow.
            points: x, z and start, as in `Batch`.
            skip_fraction: share of rows that may be left unfinished.
            options: how to solve the inner problems.
        """
        potential = self._load_weights(key, weights, differentiated)
        x, z, start = tensors(points)
        batch = Batch(potential, x, z, start, skip_fraction)
        source, target, solution = terms_of(batch, options)
        self._terms[key] = source, target
        return source.detach().numpy(), target.detach().numpy(), fields_of(solution)

    def source(
        self, key: int, weights: Sequence[Array], differentiated: bool, x: Array
    ) -> Array:
        """Return g(x), (n, d) -> (n,); other arguments are those of `terms`."""
        potential = self._load_weights(key, weights, differentiated)
        found = potential(torch.from_numpy(x))
        self._terms[key] = (found,)
        return found.detach().numpy()

    def target(
        self,
        key: int,
        points: Sequence[Array | None],
        skip_fraction: float,
        options: SolverOptions,
    ) -> tuple[Array, dict[str, Any]]:
        """Return env(z) and the fields of the solution; points are z, start, candidates, g there (see `envelope`)."""
        z, start, candidates, values = tensors(points)
        potential = self._potentials[key]
        found, solution = envelope(
            potential, z, start, candidates, values, options, skip_fraction
        )
        self._terms[key] += (found,)
        return found.detach().numpy(), fields_of(solution)

    def differentiate(self, key: int, *cotangents: Array) -> list[Array]:
        """Return the derivatives by every parameter of the terms last found, summed with cotangents (n,), (m,)."""
        trained = trained_of(self._potentials[key])
        weights = [torch.from_numpy(array) for array in cotangents]
        found = torch.autograd.grad(
            self._terms.pop(key), trained, weights, materialize_grads=True
        )
        return [gradient.numpy() for gradient in found]

    def _load_weights(
        self, key: int, weights: Sequence[Array], differentiated: bool
    ) -> Potential:
        """Return the potential of a key as it is now."""
        potential = self._potentials[key]
        with torch.no_grad():
            for tensor, array in zip(tensors_of(potential), weights, strict=True):
                tensor.copy_(torch.from_numpy(array))
        torch.set_grad_enabled(differentiated)
        return potential


def tensors(points: Sequence[Array | None]) -> list[Any]:
    """Return arrays as tensors that share their memory; None stays None."""
    return [None if rows is None else torch.from_numpy(rows) for rows in points]


def arrays(points: Sequence[Tensor | None]) -> list[Array | None]:
    """Return tensors as arrays that share their memory; None stays None."""
    return [None if rows is None else rows.numpy() for rows in points]


def tensors_of(potential: Potential) -> list[Tensor]:
    """Return everything a potential is made of."""
    return [*potential.parameters(), *potential.buffers()]


def trained_of(potential: Potential) -> list[Tensor]:
    """Return the parameters by which it is differentiated."""
    return [
        parameter for parameter in potential.parameters() if parameter.requires_grad
    ]


def fields_of(solution: Solution) -> dict[str, Any]:
    """Return the fields of a solution, as they are sent."""
    rows = {name: getattr(solution, name).numpy() for name in SOLUTION_ROWS}
    return {**rows, "evaluations": solution.evaluations}


def solution_of(fields: dict[str, Any]) -> Solution:
    """Return the solution of some fields."""
    rows = {name: torch.from_numpy(fields[name]) for name in SOLUTION_ROWS}
    return Solution(**rows, evaluations=fields["evaluations"])
