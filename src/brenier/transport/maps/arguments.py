"""What maps are given beside samples, checked; and what they warn of."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from torch import Tensor

from brenier.datasets import is_dask, over_partitions
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


class HasDim(Protocol):
    """What moves points of some dimension."""

    dim: int


MapMethod = TypeVar("MapMethod", bound=Callable[..., object])


def by_partitions(method: MapMethod) -> MapMethod:
    """Return a method of a map that takes Dask frames and arrays too, as its first argument; they come back as such.

    Raises:
        DataError: by the method, for frames or arrays that do not fit the map, and where a `Solution` is asked for.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def moved(self: HasDim, *arguments: object, **named: object) -> object:
        bound = signature.bind(self, *arguments, **named).arguments
        (_, (name, values), *others) = bound.items()
        if not is_dask(values):
            return method(self, *arguments, **named)
        conditions = dict(others)
        if conditions.pop("return_solution", False):
            raise DataError(
                f"return_solution: cannot be had of a Dask {type(values).__name__}; leave it out, or use "
                "brenier.transport.maps.bulk.transform, which writes a status for every row"
            )
        function = functools.partial(method, self)
        return over_partitions(function, values, name, self.dim, conditions)

    return cast(MapMethod, moved)
