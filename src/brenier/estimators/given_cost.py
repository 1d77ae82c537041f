"""The cost and the mass that a user asks for, checked against each other and against the start."""

from __future__ import annotations

from typing import NamedTuple

from brenier.errors import DataError
from brenier.solve import Method, OrthantBFGS
from brenier.transport.costs import (
    Cost,
    CostFacts,
    Mahalanobis,
    SquaredEuclidean,
    check_cost,
    cost_named,
)
from brenier.transport.dual import UnbalancedMass
from brenier.transport.maps import ConditionalMap, TransportMap


class AskedCost(NamedTuple):
    """The cost and the mass of a fit, and what follows from them.

    Attributes:
        cost: h.
        mass: unbalanced mass, or None.
        start: the map that training starts from.
        costed: whether the fit is one of a cost of its own (see `is_costed`).
    """

    cost: Cost
    mass: UnbalancedMass | None
    start: str
    costed: bool

    @property
    def bounded_below(self) -> bool:
        """Whether potentials have to be."""
        return self.costed and not CostFacts.of(self.cost).dominates_square


def asked_cost(
    cost: object, mass: object, start: str, scale: object, dim: int
) -> AskedCost:
    """Return what is asked for, checked against each other and against the samples.

    Args:
        cost, mass, start, scale: parameters of the estimator.
        dim: features of the samples.

    Raises:
        DataError: where they do not go together.
    """
    known, unbalanced = checked_cost(cost, dim), check_mass(mass)
    check_scale_for(known, scale)
    found = start_of(start, known, unbalanced)
    return AskedCost(known, unbalanced, found, is_costed(known, unbalanced))


def check_mass(mass: object) -> UnbalancedMass | None:
    """Return unbalanced mass, or None for "balanced".

    Raises:
        DataError: where it is neither.
    """
    if isinstance(mass, UnbalancedMass):
        return mass
    if isinstance(mass, str) and mass == "balanced":
        return None
    raise DataError(
        f"mass: must be 'balanced' or UnbalancedMass(source=..., target=...), got {mass!r}"
    )


def checked_cost(cost: object, dim: int) -> Cost:
    """Return a cost for samples of so many features, given as an object or, where it needs no parameter, by name.

    Raises:
        DataError: where it is none, or its parts disagree.
    """
    return check_cost(cost_named(cost) if isinstance(cost, str) else cost, dim)


def is_costed(cost: Cost, mass: UnbalancedMass | None) -> bool:
    """Say whether a fit is one of a cost of its own (see `costed`): not the squared distance with balanced mass.

    That of Mahalanobis is the default fit of other variables, unless mass is unbalanced.
    """
    return mass is not None or not isinstance(cost, SquaredEuclidean | Mahalanobis)


def check_method_for(cost: Cost, method: Method | None) -> None:
    """Raise where an inner solver needs a smooth objective and the cost has a kink.

    Raises:
        DataError: then.
    """
    if CostFacts.of(cost).kink and not isinstance(method, OrthantBFGS):
        raise DataError(
            f"method: {type(method).__name__} needs a smooth cost, and {cost!r} has a kink; leave the method out, or "
            "give `brenier.solve.OrthantBFGS()`"
        )


def start_of(start: str, cost: Cost, mass: UnbalancedMass | None) -> str:
    """Return the start that is asked for, or the usual one: the affine map where that is optimal, else a shift.

    Raises:
        DataError: where the cost does not allow it.
    """
    costed = is_costed(cost, mass)
    if start == "auto":
        return "shift" if costed else "affine"
    if start == "affine" and costed:
        raise DataError(
            "start: the affine map between Gaussian fits is optimal only for quadratic costs and balanced mass; leave "
            "start='auto', which begins with the shift of the means, or give 'identity'"
        )
    if start == "shift" and not costed:
        raise DataError(
            "start: 'shift' is for other costs than quadratic ones; give 'affine', which holds the shift, or 'identity'"
        )
    return start


def check_scale_for(cost: Cost, scale: object) -> None:
    """Raise where units of features are asked for beside a cost that says them itself.

    Raises:
        DataError: then.
    """
    by_name = isinstance(scale, str) and scale in ("auto", "common")
    if isinstance(cost, Mahalanobis) and not by_name:
        raise DataError(
            "scale: the matrix of a Mahalanobis cost says what features count; leave the scale out, or put it into the "
            "matrix"
        )


def check_warm_ground(
    warm: TransportMap | ConditionalMap | None, cost: Cost, mass: UnbalancedMass | None
) -> None:
    """Raise where the map to go on from is one of another cost or mass.

    Raises:
        DataError: then.
    """
    if warm is None:
        return
    ground = warm.ground if isinstance(warm, TransportMap) else None
    costed = is_costed(cost, mass)
    alike = costed == (ground is not None)
    if ground is not None:
        alike = costed and ground.cost == cost and ground.mass == mass
    if not alike:
        raise DataError(
            "warm_start: the map to go on from was fitted with another cost or mass; give the same, or set "
            "warm_start=False"
        )
