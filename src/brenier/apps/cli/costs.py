"""The cost and the mass of a fit, from the words of a command."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from brenier.datasets import read_samples
from brenier.errors import DataError
from brenier.transport.costs import COSTS, KnownCost, cost_named
from brenier.transport.dual import UnbalancedMass


class GivenCost(NamedTuple):
    """What a command says of the cost and of mass; None for what it does not.

    Attributes:
        cost: its name.
        p, sparsity, cost_scale: its parameters.
        matrix: the file of the matrix of a Mahalanobis cost.
        rho, source_rho, target_rho: prices of mass, of both sides or of one.
    """

    cost: str | None = None
    p: float | None = None
    sparsity: float | None = None
    cost_scale: float | None = None
    matrix: Path | None = None
    rho: float | None = None
    source_rho: float | None = None
    target_rho: float | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the estimator that this asks for.

        Raises:
            DataError: for parameters that the cost does not take, or cannot be used; and for a matrix that cannot be
                read.
        """
        found: dict[str, Any] = {}
        cost, mass = self._cost(), self._mass()
        if cost is not None:
            found["cost"] = cost
        if mass is not None:
            found["mass"] = mass
        return found

    def _cost(self) -> KnownCost | None:
        flags = {
            "p": ("--p", self.p),
            "sparsity": ("--sparsity", self.sparsity),
            "scale": ("--cost-scale", self.cost_scale),
            "matrix": ("--matrix", self.matrix),
        }
        given: dict[str, object] = {
            name: value for name, (_, value) in flags.items() if value is not None
        }
        if self.cost is None:
            if given:
                flag = flags[next(iter(given))][0]
                raise DataError(f"{flag}: is of a cost; name it with --cost")
            return None
        if self.matrix is not None:
            given["matrix"] = read_samples(self.matrix).values
        try:
            return cost_named(self.cost, **given)
        except DataError as error:
            known = {name: flag for name, (flag, _) in flags.items()}
            name, _, rest = str(error).partition(":")
            raise DataError(f"{known.get(name, name)}:{rest}") from error

    def _mass(self) -> UnbalancedMass | None:
        pair = self.source_rho, self.target_rho
        if self.rho is not None:
            if pair != (None, None):
                raise DataError(
                    "--rho: is that of both sides; leave it out, or --source-rho and --target-rho"
                )
            return UnbalancedMass(self.rho, self.rho)
        if pair == (None, None):
            return None
        source, target = (math.inf if rho is None else rho for rho in pair)
        return UnbalancedMass(source, target)


def with_cost(settings: Mapping[str, object]) -> dict[str, Any]:
    """Return parameters of the estimator, of settings among which those of `GivenCost` say the cost and the mass.

    Raises:
        DataError: as `GivenCost.parameters` does.
    """
    own = {name: settings.get(name) for name in GivenCost._fields}
    others = {name: value for name, value in settings.items() if name not in own}
    return {**others, **GivenCost(**own).parameters()}  # type: ignore[arg-type]


COST_NAMES = tuple(COSTS)
