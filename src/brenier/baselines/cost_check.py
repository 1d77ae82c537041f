"""Whether a cost can be trained through: the map's derivative by its parameters passes through grad h*."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.transport.costs import Cost, check_cost, is_of_library

WRITE = (
    "write it with torch functions of its argument, without numpy, detach or no_grad"
)


@dataclasses.dataclass(frozen=True)
class DerivativeCheck:
    """At which points derivatives of a cost are checked, and how closely.

    Attributes:
        points: random displacements.
        difference: of the finite differences, relative to the displacement.
        agreement: relative error up to which derivatives agree, in the median.
    """

    points: int = 32
    difference: float = 1e-5
    agreement: float = 1e-2


def check_differentiable_cost(
    cost: object, dim: int, settings: DerivativeCheck = DerivativeCheck()
) -> Cost:
    """Return a cost whose parts agree, and through whose value and conjugate gradient derivatives flow.

    Raises:
        DataError: where it is no such cost; it says what is wrong.
    """
    checked = check_cost(cost, dim)
    if is_of_library(cost):
        return checked
    generator = torch.Generator().manual_seed(0)
    shape = (settings.points, dim)
    v, along, weights = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    s = checked.gradient(v).detach()
    step = settings.difference * torch.linalg.vector_norm(s, dim=-1, keepdim=True)
    ahead = checked.conjugate_gradient(s + step * along)
    behind = checked.conjugate_gradient(s - step * along)
    expected = torch.linalg.vecdot(weights, (ahead - behind) / (2 * step))
    s.requires_grad_()
    with torch.enable_grad():
        found = _derivative(
            torch.linalg.vecdot(weights, checked.conjugate_gradient(s)),
            s,
            "conjugate_gradient",
        )
        v.requires_grad_()
        slopes = _derivative(checked.value(v), v, "value")
    rise = torch.linalg.vecdot(found, along)
    _agree("conjugate_gradient", rise, expected.detach(), settings)
    truth = checked.gradient(v.detach()).detach()
    _agree("value", slopes.flatten(), truth.flatten(), settings)
    return checked


def _derivative(values: Tensor, by: Tensor, name: str) -> Tensor:
    """Return the derivative of a sum of values (n,) by rows (n, d)."""
    if not values.requires_grad:
        raise DataError(
            f"cost: torch cannot differentiate {name}, and training goes through it; {WRITE}",
            argument="cost",
        )
    return torch.autograd.grad(values.sum(), by)[0].detach()


def _agree(
    name: str, found: Tensor, expected: Tensor, settings: DerivativeCheck
) -> None:
    """Raise where derivatives are not those that finite differences, or the cost's own gradient, give."""
    share = (found - expected).abs() / expected.abs().clamp(min=1e-12)
    if not float(share.median()) <= settings.agreement:
        raise DataError(
            f"cost: torch's derivative of {name} is not that of its values (off by {float(share.median()):.2g} in the "
            f"median of random displacements), and training goes through it; {WRITE}",
            argument="cost",
        )
