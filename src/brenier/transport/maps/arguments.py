"""What maps are given beside samples, checked; and what they warn of."""

from __future__ import annotations

import math

from torch import Tensor

from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.potentials import Potential
from brenier.solve import Solution


def checked_rows(rows: Tensor | None, potential: Potential) -> Tensor | None:
    """Return rows at which inverse problems start as the potential takes them, or None where there are none.

    Raises:
        DataError: where they are not (k, d), as the potential's points are.
    """
    if rows is None:
        return None
    if rows.ndim != 2 or rows.shape[1] != potential.dim:
        raise DataError(
            f"start_rows: must be (k, {potential.dim}), in the coordinates of the map, got {tuple(rows.shape)}"
        )
    return rows.detach().to(next(potential.parameters()))


def finite_time(t: float) -> float:
    """Return the time of an interpolation, checked.

    Raises:
        DataError: where it is not a finite number.
    """
    if not math.isfinite(t):
        raise DataError(f"t: must be a finite number, got {t}; 0 gives x, 1 gives T(x)")
    return float(t)


def warn_unconverged(solution: Solution, name: str = "inverse") -> None:
    """Warn, on behalf of an inverse or of what else is named, where rows did not converge."""
    if solution.unconverged:
        warn(f"{name}: {solution.report()}", ConvergenceWarning)
