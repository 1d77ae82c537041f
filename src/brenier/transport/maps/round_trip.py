"""How well a map inverts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.solve import Solution


def inverse_errors(
    transport: Any, x: Tensor, *condition: Any
) -> tuple[Tensor, Solution]:
    """Return |T^{-1}(T(x)) - x| relative to the spread of x, in the units of the cost (n,), and how the solves went.

    Args:
        transport: a map, or one for every condition.
        x: (n, d), source rows.
        condition: their labels or covariates, where there are any.
    """
    unit = transport.coordinates.unit
    x = x.to(unit)
    back, solution = transport.inverse(
        transport(x, *condition), *condition, return_solution=True
    )
    spread = float(
        torch.linalg.vector_norm((x - x.mean(0)) / unit, dim=-1).square().mean().sqrt()
    )
    return torch.linalg.vector_norm((back - x) / unit, dim=-1) / (
        spread or 1.0
    ), solution


@dataclasses.dataclass(frozen=True)
class RoundTrip:
    """How well a map inverts on some rows.

    Attributes:
        errors: (n,), |T^{-1}(T(x)) - x| relative to the spread of x, in the units of the cost.
        unconverged: rows whose inverse did not converge.
    """

    errors: NDArray[np.float64]
    unconverged: int

    def statement(self) -> str:
        """Return the figures in one sentence."""
        median, high = np.median(self.errors), np.percentile(self.errors, 99)
        return (
            f"Round trip x -> T(x) -> back: median error {median:.2g}, 99th percentile {high:.2g} of the spread of "
            f"the source; {self.unconverged} of {len(self.errors)} rows unconverged."
        )


def round_trip(transport: Any, x: torch.Tensor, *labels: Any) -> RoundTrip:
    """Return how well a map inverts on source rows x (n, d), whose labels it is given where it has classes."""
    errors, solution = inverse_errors(transport, x, *labels)
    return RoundTrip(errors.cpu().numpy(), solution.unconverged)
