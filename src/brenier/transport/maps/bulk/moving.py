"""Rows in memory through a map, each with a status; rows that cannot be moved are found and left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.errors import DataError
from brenier.transport.coordinates import rows_encoded_at_once
from brenier.transport.maps.bulk.orders import (
    BulkMap,
    BulkOrders,
    RowStatus,
    classes_of,
)
from brenier.transport.maps.conditional import ConditionalMap

Floats: TypeAlias = NDArray[np.floating]
RowConditions: TypeAlias = (
    Sequence[Hashable] | Floats
)  # labels (n,) or covariates (n, p)


@dataclasses.dataclass(frozen=True)
class RowBlock:
    """Some rows of a file.

    Attributes:
        values: (n, d), NaN where a value is missing.
        condition: labels (n,) as the model calls them, covariates (n, p), or None.
    """

    values: Floats
    condition: RowConditions | None = None


@dataclasses.dataclass(frozen=True)
class MovedBlock:
    """Rows moved.

    Attributes:
        values: (n, d), NaN where a row cannot be moved.
        status: (n,), a `RowStatus` of each.
    """

    values: Floats
    status: NDArray[np.int8]


def move_block(transport: BulkMap, orders: BulkOrders, block: RowBlock) -> MovedBlock:
    """Return rows moved as ordered.

    Rows that can be moved go through the map together, so that without others the result is that of the map on these
    rows to the bit.
    """
    status = _first_status(transport, block)
    moved = np.full_like(block.values, np.nan)
    unknown = status == RowStatus.UNKNOWN
    moved[unknown] = block.values[unknown]
    places = np.flatnonzero(status == RowStatus.CONVERGED)
    while len(places):
        try:
            found, converged = _through_map(transport, orders, block, places)
        except DataError:
            beyond = _beyond(transport, orders, block, places)
            if not len(beyond):
                raise
            status[beyond] = RowStatus.INVALID
            places = np.setdiff1d(places, beyond)
        else:
            moved[places] = found
            status[places[~converged]] = RowStatus.UNCONVERGED
            break
    return MovedBlock(moved, status)


def rows_per_batch(transport: BulkMap) -> int:
    """Return how many rows a map works on at once."""
    if isinstance(transport, ConditionalMap):
        return min(transport.batch_size, rows_encoded_at_once(transport.dim))
    return transport.batch_size


def _first_status(transport: BulkMap, block: RowBlock) -> NDArray[np.int8]:
    """Return the status of rows before they are moved: those that can be count as converged."""
    finite = np.isfinite(block.values).all(1)
    classes = classes_of(transport)
    if classes is None and block.condition is not None:
        finite = finite & np.isfinite(np.asarray(block.condition)).all(1)
    status = np.where(finite, RowStatus.CONVERGED, RowStatus.INVALID).astype(np.int8)
    if classes is not None:
        own, labels = set(classes), block.condition or ()
        odd = [row for row, label in enumerate(labels) if label not in own]
        status[odd] = RowStatus.UNKNOWN
    return status


def _through_map(
    transport: BulkMap, orders: BulkOrders, block: RowBlock, places: NDArray[np.integer]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return some rows moved, and which of them converged."""
    mapping: Any = transport  # one of two classes that take other arguments
    arguments: list[object] = [block.values[places]]
    if isinstance(block.condition, np.ndarray):
        arguments.append(block.condition[places])
    elif block.condition is not None:
        arguments.append([block.condition[place] for place in places.tolist()])
    if orders.inverse:
        moved, solution = mapping.inverse(*arguments, return_solution=True)
        return moved, solution.converged.cpu().numpy()
    every = np.ones(len(places), dtype=bool)
    if orders.t is not None:
        return mapping.interpolate(*arguments, orders.t), every
    return mapping(*arguments), every


def _beyond(
    transport: BulkMap, orders: BulkOrders, block: RowBlock, places: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Return which of some rows the map refuses, found by halving."""
    try:
        _through_map(transport, orders, block, places)
    except DataError:
        if len(places) == 1:
            return places
        halves = np.array_split(places, 2)
        return np.concatenate(
            [_beyond(transport, orders, block, half) for half in halves]
        )
    return places[:0]
