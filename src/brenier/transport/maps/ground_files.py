"""The cost, the mass and the metric of a map in words that JSON can hold, and back."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from brenier.transport.coordinates import Coordinates, Metric
from brenier.transport.costs import Mahalanobis, cost_from_json, cost_to_json
from brenier.transport.dual import UnbalancedMass
from brenier.transport.maps.checks import Json, check_real, require_finite
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.ground import Ground
from brenier.transport.maps.map import TransportMap

GROUND, METRIC = "ground", "metric"  # their names in a description


def ground_to_json(transport: TransportMap | ConditionalMap) -> dict[str, Any]:
    """Return the cost, the mass and the metric of a map; nothing of one of the squared distance and balanced mass.

    Raises:
        DataError: where the cost is a user's own.
    """
    told: dict[str, Any] = {}
    metric = transport.coordinates.metric
    if metric is not None:
        told[METRIC] = metric.matrix.tolist()
    if isinstance(transport, TransportMap) and transport.ground is not None:
        ground = transport.ground
        told[GROUND] = {
            "cost": cost_to_json(ground.cost),
            "mass": None if ground.mass is None else _mass_to_json(ground.mass),
            "constant": ground.constant,
            "level": ground.level,
            "reach": ground.reach,
        }
    return told


def ground_from_json(description: Json, coordinates: Coordinates) -> Ground | None:
    """Return the cost and the mass that a description tells of, or None.

    Raises:
        ValueError: for what cannot be.
    """
    if GROUND not in description:  # models of 0.1, and all of the squared distance
        return None
    told = description[GROUND]
    cost, mass = cost_from_json(told["cost"]), told["mass"]
    if isinstance(cost, Mahalanobis) and cost.dim != coordinates.dim:
        raise ValueError("ground: its matrix is for other features")
    level, reach = told["level"], told["reach"]
    return Ground(
        cost,
        None if mass is None else _mass_from_json(mass),
        check_real("ground: constant", told["constant"]),
        None if level is None else check_real("ground: level", level, 0.0),
        None if reach is None else _reach_from_json(reach, coordinates.dim),
    )


def with_metric(coordinates: Coordinates, description: Json) -> Coordinates:
    """Return coordinates after the metric that a description tells of, if any.

    Raises:
        ValueError: where it is for other features.
    """
    if METRIC not in description:
        return coordinates
    cost = Mahalanobis(description[METRIC])
    if cost.dim != coordinates.dim:
        raise ValueError("metric: is for other features")
    metric = Metric(cost.matrix, cost.root, cost.inverse_root)
    return dataclasses.replace(coordinates, metric=metric)


def _reach_from_json(
    told: object, dim: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the bounds of displacements, checked."""
    bounds = torch.tensor(told, dtype=torch.float64)
    if bounds.shape != (2, dim) or not bool((bounds[0] <= bounds[1]).all()):
        raise ValueError("ground: reach must be two bounds for every feature")
    require_finite("ground: reach", bounds)
    least, greatest = bounds.tolist()
    return tuple(least), tuple(greatest)


def _mass_to_json(mass: UnbalancedMass) -> dict[str, float | None]:
    """Return the prices of either side, None for infinity, which JSON does not hold."""
    pair = {"source": mass.source, "target": mass.target}
    return {side: None if math.isinf(rho) else rho for side, rho in pair.items()}


def _mass_from_json(told: Json) -> UnbalancedMass:
    sides = {
        side: math.inf
        if told[side] is None
        else check_real(f"mass: {side}", told[side])
        for side in ("source", "target")
    }
    return UnbalancedMass(**sides)
