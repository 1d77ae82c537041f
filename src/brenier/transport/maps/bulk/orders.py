"""What is to be done with every row of a table: which way, by which columns, and what becomes of rows that cannot."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Hashable, Sequence
from typing import TypeAlias

from brenier.datasets import listed
from brenier.errors import DataError
from brenier.transport.maps.arguments import finite_time
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.map import TransportMap

BulkMap: TypeAlias = TransportMap | ConditionalMap
INVALID_ROWS, UNKNOWN_LABELS = ("null", "error"), ("error", "keep", "drop")


class RowStatus(enum.IntEnum):
    """How a row ended; tables hold the name in lower case, files of arrays the number.

    Attributes:
        CONVERGED: it was moved.
        UNCONVERGED: its inner problem did not converge; it is the best iterate.
        INVALID: it holds NaN, inf or nothing, or lies beyond the precision of the network; it is left empty.
        UNKNOWN: its class is unknown to the model; it stays as it is.
    """

    CONVERGED = 0
    UNCONVERGED = 1
    INVALID = 2
    UNKNOWN = 3


STATUS_NAMES = tuple(each.name.lower() for each in RowStatus)


@dataclasses.dataclass(frozen=True)
class BulkOrders:
    """What is done with the rows of every file.

    Attributes:
        columns: the features, in the order of the fit; None for those of the model, else all that are numeric.
        inverse: whether rows are moved back.
        t: where to stop between x (0) and T(x) (1), or None.
        labels: the column of the classes, or None.
        covariates: the columns of the covariates, or None.
        status: the column that will say how every row ended, or None for none.
        invalid: what becomes of rows that cannot be moved: "null" or "error".
        unknown_labels: what becomes of rows of a class that the model does not know: "error", "keep" or "drop".
    """

    columns: tuple[str, ...] | None = None
    inverse: bool = False
    t: float | None = None
    labels: str | None = None
    covariates: tuple[str, ...] | None = None
    status: str | None = "status"
    invalid: str = INVALID_ROWS[0]
    unknown_labels: str = UNKNOWN_LABELS[0]

    @property
    def conditions(self) -> tuple[str, ...]:
        """The columns of labels or covariates."""
        return self.covariates or (() if self.labels is None else (self.labels,))

    def check(self, transport: BulkMap) -> None:
        """Raise a DataError where an order is none, or does not fit the map."""
        _check_one_of("invalid", self.invalid, INVALID_ROWS)
        _check_one_of("unknown_labels", self.unknown_labels, UNKNOWN_LABELS)
        if self.t is not None:
            finite_time(self.t)
        if self.inverse and self.t is not None:
            raise DataError("t: is for the way forward; leave out inverse=True")
        if self.columns is not None and len(set(self.columns)) != len(self.columns):
            raise DataError("columns: name one twice; name each once, as in the fit")
        if self.columns is not None and len(self.columns) != transport.dim:
            raise DataError(
                f"columns: are {len(self.columns)}, but the model has {transport.dim} features; name those of the "
                "fit, in its order"
            )
        self._check_conditions(transport)

    def _check_conditions(self, transport: BulkMap) -> None:
        """Raise unless labels or covariates are given to a map that takes them, and to no other."""
        classes = classes_of(transport)
        covariates = isinstance(transport, ConditionalMap) and classes is None
        if classes is not None and self.labels is None:
            raise DataError(
                f"labels: the model was fitted with classes ({listed(classes)}); name the column that holds them"
            )
        if self.labels is not None and classes is None:
            raise DataError(
                "labels: the model was fitted without classes; leave them out"
            )
        if covariates and not self.covariates:
            raise DataError(
                "covariates: the model was fitted with covariates; name the columns that hold them"
            )
        if self.covariates is not None and not covariates:
            raise DataError(
                "covariates: the model was fitted without covariates; leave them out"
            )


def classes_of(transport: BulkMap) -> Sequence[Hashable] | None:
    """Return the classes of a map, None where it has none."""
    return (transport.labels or None) if isinstance(transport, ConditionalMap) else None


def _check_one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        listing = ", ".join(map(repr, choices))
        raise DataError(f"{name}: must be one of {listing}, got {value!r}")
