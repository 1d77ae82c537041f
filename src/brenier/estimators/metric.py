"""A fit under a Mahalanobis cost: the default fit of rows in other variables, and its map in those of the data."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor

from brenier.datasets import Population, ScanRows, Stream
from brenier.errors import DataError
from brenier.estimators.options import Fitted
from brenier.estimators.parameters import FittedMap
from brenier.estimators.sharded import Sharded
from brenier.transport.coordinates import Metric
from brenier.transport.costs import Mahalanobis
from brenier.transport.maps import ConditionalMap, Distance


def metric_of(cost: Mahalanobis) -> Metric:
    """Return the change of variables after which a cost is the squared distance."""
    return Metric(cost.matrix, cost.root, cost.inverse_root)


def in_metric(side: Population, metric: Metric) -> Population:
    """Return a population in the variables of a metric.

    Raises:
        DataError: for rows of a file that is larger than memory.
    """
    if isinstance(side, Sharded):
        raise DataError(
            f"{side.name}: lies in several processes, and its rows cannot be taken through the matrix of a "
            "Mahalanobis cost; give rows times the root of the matrix, under the default cost"
        )
    if isinstance(side, Stream):
        return Stream(
            lambda n, generator: side.sample(n, generator) @ metric.root,
            side.name,
            side.dim,
        )
    if isinstance(side, ScanRows):
        return side.changed(lambda rows: rows @ metric.root)
    if not isinstance(side.values, Tensor):
        raise DataError(
            f"{side.name}: lies in a file, whose rows cannot be taken through the matrix of a Mahalanobis cost; load "
            "it into memory, or give a function that reads rows (see `fit`)"
        )
    root = metric.root.to(side.values.device)
    return dataclasses.replace(side, values=side.values.double() @ root)


def fitted_in_data(fitted: Fitted, metric: Metric) -> Fitted:
    """Return what a fit of rows in the variables of a metric gives, its map one of the rows of the data."""
    transport = in_data(fitted.map, metric)
    if isinstance(transport, ConditionalMap):
        named = {k: _renamed(each) for k, each in transport.held_out_distance.items()}
        transport.held_out_distance = named
        pooled = transport.pooled_distance
        transport.pooled_distance = None if pooled is None else _renamed(pooled)
    elif isinstance(transport.held_out_distance, Distance):
        transport.held_out_distance = _renamed(transport.held_out_distance)
    return dataclasses.replace(fitted, map=transport)


def without_metric(
    transport: FittedMap | None, metric: Metric | None
) -> FittedMap | None:
    """Return the map to go on from as one of rows in the variables of a metric.

    Raises:
        DataError: where it is one of another metric.
    """
    if transport is None:
        return None
    own = transport.coordinates.metric
    alike = (own is None) == (metric is None)
    if own is not None and metric is not None:
        alike = torch.equal(own.root.cpu(), metric.root)
    if not alike:
        raise DataError(
            "warm_start: the map to go on from was fitted with another cost; give the same, or set warm_start=False"
        )
    if own is None:
        return transport
    return in_data(transport, None)


def in_data(transport: FittedMap, metric: Metric | None) -> FittedMap:
    """Return a map with its coordinates after a metric, or after none."""
    found = copy.copy(transport)
    coordinates = dataclasses.replace(transport.coordinates, metric=metric)
    coordinates = coordinates.to(transport.coordinates.unit.device)
    if isinstance(found, ConditionalMap):
        found.conditions = found.conditions.after(coordinates)
    else:
        found.coordinates = coordinates
    return found


def _renamed(found: Distance) -> Distance:
    """Return a distance in the units it has."""
    return dataclasses.replace(found, unit="units of the metric")
