"""The methods: what trains a map from N(0, I) to the rows of a table, and what needs no training."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.harness.budgets import in_processor_seconds
from benchmarks.physics.tables import PhysicsTable
from brenier import OptimalTransport
from brenier.baselines import BASELINES, CharacteristicFlow, LearnedBaseline

CLOSED = ("real", "affine", "identity")
TRAINED = (
    "default",
    "ncf",
    *(
        name
        for name, kind in BASELINES.items()
        if issubclass(kind, LearnedBaseline)
        and "source_labels" not in inspect.signature(kind.fit).parameters
    ),
)
FLOWS = ("ffjord", "rnode", "ot-flow")
METHODS = (*TRAINED, *CLOSED)
CLOCKS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "cpu": in_processor_seconds,
    "wall": contextlib.nullcontext,
}

Move = Callable[[Tensor], Tensor]
Draw = Callable[[int, torch.Generator], Tensor]


class PhysicsFit(NamedTuple):
    """What a method gives.

    Attributes:
        draw: (n, generator) -> (n, d), generated rows.
        backward: test rows (n, d) -> (n, d), which should be N(0, I), or None.
        log_density: test rows (n, d) -> (n,), or None.
        facts: of the training.
    """

    draw: Draw
    backward: Move | None
    log_density: Move | None
    facts: dict[str, Any]


class Budget(NamedTuple):
    """How a method is trained.

    Attributes:
        seconds: of training.
        clock: by which.
        preset: of the settings of baselines.
    """

    seconds: float
    clock: str
    preset: str


def normal_rows(dim: int) -> Draw:
    """Return the source: (n, generator) -> (n, d)."""
    return lambda n, generator: torch.randn(n, dim, generator=generator)


def fit(name: str, table: PhysicsTable, seed: int, budget: Budget) -> PhysicsFit:
    """Fit a method to the training rows."""
    if name == "real":
        return PhysicsFit(_new_training_rows(table, seed), None, None, {})
    if name == "identity":
        return PhysicsFit(normal_rows(table.dim), _same, standard, {"parameters": 0})
    if name == "affine":
        return affine(table)
    return trained(name, table, seed, budget)


def affine(table: PhysicsTable) -> PhysicsFit:
    """Return the optimal map to the normal law with the moments of the training rows."""
    rows = table.train.double()
    mean, covariance = rows.mean(0), rows.mT.cov()
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=1e-12).sqrt()) @ vectors.mT
    source = normal_rows(table.dim)
    log_det = float(torch.linalg.slogdet(root).logabsdet)

    def backward(z: Tensor) -> Tensor:
        return torch.linalg.solve(root, (z.double() - mean).mT).mT

    return PhysicsFit(
        lambda n, generator: mean + source(n, generator).double() @ root,
        backward,
        lambda z: standard(backward(z)) - log_det,
        {"parameters": table.dim + table.dim * (table.dim + 1) // 2},
    )


def trained(name: str, table: PhysicsTable, seed: int, budget: Budget) -> PhysicsFit:
    """Train an estimator for so many seconds; the inverse and the density are its own, or there are none."""
    estimator = estimator_of(name, seed, budget)
    source = normal_rows(table.dim)
    began = time.perf_counter(), time.process_time()
    with CLOCKS[budget.clock]():
        estimator.fit(source, table.train)
    facts = {
        "wall_training": time.perf_counter() - began[0],
        "train_seconds": time.process_time() - began[1],
        **training_facts(estimator),
    }
    both = getattr(estimator, "has_inverse", True)
    return PhysicsFit(
        lambda n, generator: estimator.transform(source(n, generator)),
        estimator.inverse_transform if both else None,
        getattr(estimator, "log_density", None),
        facts,
    )


def estimator_of(name: str, seed: int, budget: Budget) -> Any:
    """Return the estimator of a method, not fitted."""
    given: dict[str, Any] = {"max_time": budget.seconds, "random_state": seed}
    if name == "default":
        return OptimalTransport(**given)
    if name == "ncf":
        return CharacteristicFlow(**given)
    return BASELINES[name](settings=budget.preset, **given)


def training_facts(estimator: Any) -> dict[str, Any]:
    """Return how training went, from the estimator's own record."""
    told = estimator.diagnostics_
    facts = {key: told[key] for key in ("selected", "stopped", "steps") if key in told}
    return facts | {"parameters": parameters_of(estimator.map_)}


def parameters_of(transport: Any) -> int:
    """Return how many numbers a map stores, beside its coordinates."""
    if hasattr(transport, "parameters"):
        return int(transport.parameters)
    return sum(part.numel() for part in transport.network.parameters())


def standard(x: Tensor) -> Tensor:
    """Return the log-density of N(0, I): (n, d) -> (n,)."""
    normal = torch.distributions.Normal(0.0, 1.0)
    return normal.log_prob(x.double()).sum(-1)


def _same(z: Tensor) -> Tensor:
    return z


def _new_training_rows(table: PhysicsTable, seed: int) -> Draw:
    """Return what gives training rows in a random order: the score of a perfect method."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        order = torch.randperm(len(table.train), generator=generator)
        return table.train[order[:n]]

    return draw
