"""What kinds of fit differ in: how samples are split and encoded, and what comes of the trained network.

A plan prepares a problem, and the one pipeline (see `pipeline`) trains, judges and finishes it, whatever its kind.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

from brenier.datasets import LabelsLike
from brenier.estimators.options import Options
from brenier.potentials import Potential
from brenier.statistics import spread_numbers
from brenier.training import Run
from brenier.transport.coordinates import Coordinates
from brenier.transport.dual import DualTask
from brenier.transport.maps import ConditionalMap, TransportMap


class RoundTripRows(NamedTuple):
    """Source rows (n, d) that go there and back, their condition, where a map takes any, and their weights."""

    rows: Tensor
    condition: tuple[LabelsLike | Tensor, ...] = ()
    weights: Tensor | None = None

    def at_most(self, n: int) -> RoundTripRows:
        """Return n of these rows at equal distances, or all where there are no more."""
        if n >= len(self.rows):
            return self
        chosen = spread_numbers(len(self.rows), n)
        condition = tuple(chosen_of(part, chosen) for part in self.condition)
        weights = None if self.weights is None else self.weights[chosen]
        return RoundTripRows(self.rows[chosen], condition, weights)


def chosen_of(
    condition: LabelsLike | Tensor, chosen: Tensor
) -> list[Hashable] | Tensor:
    """Return the labels or covariates of the chosen rows."""
    if isinstance(condition, Tensor):
        return condition[chosen]
    labels = list(cast(Iterable[Hashable], condition))
    return [labels[i] for i in chosen.tolist()]


class Choice(NamedTuple):
    """The potential that a fit gives, among those that it could.

    Attributes:
        potential: the one chosen.
        selected: its name.
        facts: what else a person wants to know of the choice.
    """

    potential: Potential
    selected: str
    facts: Mapping[str, object] = {}


class FitProblem(Protocol):
    """A transport problem in its coordinates, ready to be trained."""

    @property
    def plan(self) -> Plan:
        """What it is the problem of: the samples without wild rows."""
        ...

    @property
    def task(self) -> DualTask:
        """What is trained."""
        ...

    @property
    def coordinates(self) -> Coordinates:
        """What tells this problem from others, beside its held-out rows."""
        ...

    def choose(self, run: Run[Potential]) -> Choice:
        """Return what comes of a run that has ended: its network, or the start where it is no better."""
        ...

    def identity(self) -> Potential:
        """Return the potential of the map that training started from."""
        ...

    def certified_map(
        self, network: Potential, refit: bool
    ) -> TransportMap | ConditionalMap:
        """Return the map of a network, with its distance measured on rows that took part in nothing else.

        Args:
            network: the potential.
            refit: whether the network is that of the start, which is refitted to all rows once it has been measured.
        """
        ...

    def fault(self, transport: TransportMap | ConditionalMap) -> str | None:
        """Return in words what shows that a network's map is wrong, or None where nothing does."""
        ...

    def of_exact_plan(self) -> Potential | None:
        """Return the potential of the exact plan between some training rows, or None where there is none."""
        ...

    def round_trip(self) -> RoundTripRows:
        """Return source rows, not trained on, to go there and back."""
        ...


class Plan(Protocol):
    """What a fit is of: plain samples, samples by class, or samples by covariate."""

    def prepare(self, options: Options, generator: torch.Generator) -> FitProblem:
        """Return the problem, its samples split and encoded.

        Args:
            options: what the fit is told.
            generator: the only source of randomness.
        """
        ...
