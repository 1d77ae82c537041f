"""Whether the parts of a cost agree: its gradient with its value, its conjugate gradient with its gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.transport.costs.base import Cost, KnownCost
from brenier.transport.costs.quadratic import Mahalanobis


@dataclasses.dataclass(frozen=True)
class CostCheck:
    """At which points a cost is checked, and how closely its parts must agree.

    Attributes:
        points: random displacements.
        spans: their standard deviations: short and long ones may take other branches.
        difference: of the finite differences, relative to the span.
        agreement: relative error up to which parts agree. Differences are good to 1e-6; what a user solves for, less.
    """

    points: int = 32
    spans: tuple[float, ...] = (0.1, 1.0, 3.0)
    difference: float = 1e-5
    agreement: float = 1e-3


def check_cost(cost: object, dim: int, settings: CostCheck = CostCheck()) -> Cost:
    """Return a cost whose parts agree on random displacements.

    Args:
        cost: value h, gradient of h, gradient of h*, as `Cost` says.
        dim: d.
        settings: at which points.

    Raises:
        DataError: where it is no cost, is for other features, or its parts disagree; it says which.
    """
    if isinstance(cost, Mahalanobis) and cost.dim != dim:
        raise DataError(
            f"cost: its matrix is for {cost.dim} features, the samples have {dim}; give one of ({dim}, {dim})"
        )
    if isinstance(cost, type) or not isinstance(cost, Cost):
        raise DataError(
            f"cost: must have methods value, gradient and conjugate_gradient (see `brenier.Cost`), got {cost!r}; "
            "give an instance such as Power(1.5)"
        )
    if is_of_library(cost):
        return cost  # the tests have looked at those
    generator = torch.Generator().manual_seed(0)
    for span in settings.spans:
        v = span * torch.randn(
            settings.points, dim, generator=generator, dtype=torch.float64
        )
        _check_at(cost, v, span, settings)
    return cost


def is_of_library(cost: object) -> bool:
    """Say whether a cost is one of this library, not one that a user made of them."""
    return isinstance(cost, KnownCost) and type(cost).__module__.startswith("brenier.")


def _check_at(cost: Cost, v: Tensor, span: float, settings: CostCheck) -> None:
    """Check a cost at displacements v (n, d) of a span."""
    n, d = v.shape
    value = _called(cost.value, v, "value", (n,))
    gradient = _called(cost.gradient, v, "gradient", (n, d))
    step = span * settings.difference
    ends = torch.cat([v + step * torch.eye(d)[i] for i in range(d)])
    starts = torch.cat([v - step * torch.eye(d)[i] for i in range(d)])
    rise = _called(cost.value, ends, "value", (n * d,))
    rise = rise - _called(cost.value, starts, "value", (n * d,))
    slopes = (rise / (2 * step)).view(d, n).mT
    _compare("gradient", "finite differences of value", gradient, slopes, settings)
    back = _called(cost.conjugate_gradient, gradient, "conjugate_gradient", (n, d))
    _compare("conjugate_gradient", "the inverse of gradient", back, v, settings)
    other = v.flip(0)
    middle = _called(cost.value, (v + other) / 2, "value", (n,))
    chord = (value + value.flip(0)) / 2
    slack = settings.difference * (1 + chord.abs())
    if bool((middle > chord + slack).any()):
        raise DataError(
            "cost: value is not convex; of a cost that is not, maps are not determined by a gradient"
        )


def _called(
    function: Callable[[Tensor], Tensor], v: Tensor, name: str, shape: tuple[int, ...]
) -> Tensor:
    """Return what a function of a cost gives, checked."""
    try:
        found = function(v)
    except Exception as error:
        raise DataError(
            f"cost: {name} fails on {tuple(v.shape)} numbers of float64 ({type(error).__name__}: {error}); see "
            "`brenier.Cost`",
            argument="cost",
        ) from error
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise DataError(
            f"cost: {name} must return a tensor of {shape} for displacements of {tuple(v.shape)}, got {got}",
            argument="cost",
        )
    if not bool(found.isfinite().all()):
        raise DataError(
            f"cost: {name} returns values that are not finite", argument="cost"
        )
    return found.detach()


def _compare(
    name: str, truth: str, found: Tensor, expected: Tensor, settings: CostCheck
) -> None:
    """Raise a DataError where what was found is not what was expected."""
    size = torch.linalg.vector_norm(expected, dim=-1)
    away = torch.linalg.vector_norm(found - expected, dim=-1)
    share = away / size.clamp(min=torch.finfo(size.dtype).tiny)
    # A few displacements may lie on a kink, where differences say nothing.
    if float(share.median()) > settings.agreement:
        worst = int(share.argmax())
        raise DataError(
            f"cost: {name} disagrees with {truth}, by {float(share[worst]):.2g} of its length at a random "
            f"displacement of length {float(size[worst]):.3g}; mend `{name}`, or the function it is compared with",
            argument="cost",
        )
