"""A map in words that JSON can hold, and back: its potential, its method, its conditions, what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

import brenier.solve as solve
from brenier.errors import DataError
from brenier.model_files import DTYPES, TensorShape
from brenier.potentials import KNOWN, Conditional, MeanPotential, Potential
from brenier.solve import Method
from brenier.transport.coordinates import Classes, Coordinates, Covariates
from brenier.transport.maps.checks import (
    Json,
    check_coordinates,
    check_described_potential,
    check_fields,
    check_real,
    check_solver,
    check_whole,
    in_short,
    require_distinct,
    require_finite,
)
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.cost_distance import CostDistance
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.ground_files import (
    ground_from_json,
    ground_to_json,
    with_metric,
)
from brenier.transport.maps.map import TransportMap
from brenier.transport.maps.support import ALL_CLASSES
from brenier.transport.maps.support_files import (
    support_to_json,
    supports_from_json,
)

START_ROWS = "start_rows"  # the name of the kept rows in either file
# Where a field of the coordinates has another name in files, the latter.
FILED_AS = {"scale": "spread"}


def describe(transport: TransportMap | ConditionalMap) -> dict[str, Any]:
    """Return what `rebuild` needs beside the tensors.

    Raises:
        DataError: where the potential is of a class this library cannot rebuild, or labels of a kind JSON cannot hold.
    """
    network, rows = transport.network, transport.start_rows
    kept = {} if rows is None or not len(rows) else {START_ROWS: len(rows)}
    return {
        "potential": _potential_to_json(network),
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "method": method_to_json(transport.method),
        "tol": transport.tol,
        "max_steps": transport.max_steps,
        **kept,
        **ground_to_json(transport),
        **support_to_json(transport),
        **_conditions_to_json(transport),
    }


def shapes_of(description: Json, tensors: int) -> dict[str, TensorShape]:
    """Return the tensors that `rebuild` needs, by the names they are saved under, without making any.

    Args:
        description: what `describe` returned.
        tensors: how many there are.

    Raises:
        ValueError: where what is described cannot be.
    """
    dtype = _dtype_of(description)
    check_described_potential(description["potential"], tensors)
    with torch.device("meta"):
        network = _potential_from_json(description["potential"])
    shapes = {
        f"network.{name}": TensorShape(tuple(part.shape), dtype)
        for name, part in network.state_dict().items()
    }
    d = network.transport_dim
    front: tuple[int, ...] = ()
    if isinstance(network, Conditional):
        front = (_conditions_in(description),)
    sides = {
        "unit": (d,),
        "scale": (),
        "source_mean": (*front, d),
        "target_mean": (*front, d),
        "basis": (*front, d, d),
        "inverse": (*front, d, d),
    }
    for name, shape in sides.items():
        filed = f"coordinates.{FILED_AS.get(name, name)}"
        shapes[filed] = TensorShape(shape, torch.float64)
    if START_ROWS in description:  # 0.1 kept none
        rows = check_whole(START_ROWS, description[START_ROWS], 1)
        shapes[START_ROWS] = TensorShape((rows, network.dim), dtype)
    return shapes


def rebuild(
    description: Json,
    weights: dict[str, Tensor],
    coordinates: Coordinates,
    start_rows: Tensor | None = None,
) -> TransportMap | ConditionalMap:
    """Return the map that was described, with these weights, coordinates and kept rows.

    Raises:
        ValueError: for a field that cannot be.
    """
    network = _potential_from_json(description["potential"]).to(_dtype_of(description))
    network.load_state_dict(weights)
    network = network.eval().requires_grad_(False)
    for name, part in weights.items():
        require_finite(name, part)
    check_coordinates(coordinates)
    if start_rows is not None:
        require_finite(START_ROWS, start_rows)
    coordinates = with_metric(coordinates, description)
    settings: dict[str, Any] = {
        "method": method_from_json(description["method"]),
        "tol": check_real("tol", description["tol"], 0.0),
        "max_steps": check_whole("max_steps", description["max_steps"]),
        "start_rows": start_rows,
    }
    held_out = description["held_out"]
    supports = supports_from_json(description, coordinates.dim)
    if not isinstance(network, Conditional):
        ground = ground_from_json(description, coordinates)
        found: Distance | CostDistance | None = None
        if held_out is not None:
            from_json = _cost_distance_from_json if ground else _distance_from_json
            found = from_json(held_out)
        plain = TransportMap(
            network, coordinates, **settings, held_out_distance=found, ground=ground
        )
        plain.fitted_support = supports.get(ALL_CLASSES)
        return plain
    if "covariates" in description:
        covariates = _covariates_from_json(description["covariates"], coordinates)
        _check_embedding(network, covariates.embedding(covariates.knots[:1]))
        pooled = description.get("pooled")  # which 0.1 did not measure
        found = None if pooled is None else _distance_from_json(pooled)
        many = ConditionalMap(network, covariates, **settings, pooled_distance=found)
        many.fitted_supports = supports
        return many
    labels = tuple(map(_label_from_json, description["labels"]))
    require_distinct(labels)
    classes = Classes(labels, coordinates)
    _check_embedding(network, classes.embedding(torch.zeros(1, dtype=torch.int64)))
    by_class = {
        check_whole("held_out", int(key), 0, len(labels) - 1): _distance_from_json(
            found
        )
        for key, found in held_out.items()
    }
    many = ConditionalMap(network, classes, **settings, held_out_distance=by_class)
    many.fitted_supports = supports
    return many


def check_moves(transport: TransportMap | ConditionalMap) -> None:
    """Raise where a map has no finite image of a point in the middle of its source.

    Raises:
        ValueError: as told.
    """
    middle = transport.coordinates.source_mean
    if isinstance(transport, TransportMap):
        image = transport(middle.unsqueeze(0))
    elif isinstance(transport.conditions, Covariates):
        image = transport(middle[:1], transport.conditions.low.unsqueeze(0))
    else:
        image = transport(middle[:1], list(transport.labels[:1]))
    require_finite("map: the image of the mean", image)


def method_to_json(method: Method | None) -> dict[str, Any] | None:
    """Return a solver method's class and settings, or None for a class this library does not know."""
    name = type(method).__name__
    if name not in solve.__all__ or not dataclasses.is_dataclass(method):
        return None
    return {"class": name, "config": dataclasses.asdict(method)}  # type: ignore[arg-type]


def method_from_json(spec: Json | None) -> Method | None:
    """Return the solver method described, None for None.

    Raises:
        ValueError: where this library does not know the method.
    """
    if spec is None:
        return None
    kind = (
        getattr(solve, str(spec["class"])) if spec["class"] in solve.__all__ else None
    )
    if not (isinstance(kind, type) and hasattr(kind, "step")):
        raise ValueError(f"unknown method {in_short(spec['class'])}")
    check_solver(spec["config"], kind)
    method: Method = kind(**spec["config"])
    return method


def _potential_to_json(network: Potential) -> dict[str, Any]:
    """Return the class and arguments of a potential; of a conditional one those of its network, of a mean of each."""
    if isinstance(network, Conditional):
        return {"space": network.transport_dim, **_potential_to_json(network.network)}
    if isinstance(network, MeanPotential):
        members = [_potential_to_json(member) for member in network.members()]
        weighted = {} if network.weights is None else {"weights": network.weights}
        return {"mean": members, **weighted}
    name = type(network).__name__
    if KNOWN.get(name) is not type(network):
        raise DataError(
            f"potential: {name} cannot be rebuilt from a file; save "
            f"`map_.network.state_dict()` yourself, or use one of {', '.join(sorted(KNOWN))}"
        )
    return {"class": name, "config": network.config()}


def _potential_from_json(spec: Json) -> Potential:
    network: Potential
    if "mean" in spec:
        network = MeanPotential(
            [_potential_from_json(member) for member in spec["mean"]],
            spec.get("weights"),
        )
    else:
        network = KNOWN[spec["class"]](**spec["config"])
    return Conditional(network, spec["space"]) if "space" in spec else network


def _conditions_to_json(transport: TransportMap | ConditionalMap) -> dict[str, Any]:
    """Return what a map is conditioned on, and what was measured on held-out samples, for which classes."""
    if isinstance(transport, TransportMap):
        found = transport.held_out_distance
        return {"held_out": None if found is None else dataclasses.asdict(found)}
    conditions = transport.conditions
    if isinstance(conditions, Covariates):
        ranges = {
            name: getattr(conditions, name).tolist()
            for name in ("knots", "low", "high")
        }
        found = transport.pooled_distance
        pooled = None if found is None else dataclasses.asdict(found)
        return {"covariates": ranges, "held_out": {}, "pooled": pooled}
    labels = [_label_to_json(label) for label in transport.labels]
    by_class = {
        str(key): dataclasses.asdict(found)
        for key, found in transport.held_out_distance.items()
    }
    return {"labels": labels, "held_out": by_class}


def _dtype_of(description: Json) -> torch.dtype:
    """Return the type of the numbers of the network."""
    known = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES.values()}
    name = description["dtype"]
    if name not in known:
        raise ValueError(
            f"dtype: must be one of {', '.join(known)}, is {in_short(name)}"
        )
    return known[name]


def _conditions_in(description: Json) -> int:
    """Return for how many classes, or at how many knots, there are coordinates."""
    if "covariates" in description:
        return len(description["covariates"]["knots"])
    return len(description["labels"])


def _check_embedding(network: Conditional, embedded: Tensor) -> None:
    """Raise where a network has not room for the embeddings (n, e) of conditions."""
    room = network.dim - network.transport_dim
    if room != embedded.shape[1]:
        raise ValueError(
            f"potential: has {room} coordinates for conditions that have {embedded.shape[1]}"
        )


def _covariates_from_json(told: Json, coordinates: Coordinates) -> Covariates:
    """Return the covariates of a map, checked."""
    ranges = {
        name: torch.tensor(part, dtype=torch.float64) for name, part in told.items()
    }
    for name, part in ranges.items():
        require_finite(f"covariates: {name}", part)
    covariates = Covariates(**ranges, coordinates=coordinates)
    p = covariates.low.shape[0]
    shapes = [
        part.shape for part in (covariates.knots, covariates.low, covariates.high)
    ]
    if shapes != [(len(coordinates.basis), p), (p,), (p,)]:
        raise ValueError("covariates: knots and ranges are of different shapes")
    span = covariates.high - covariates.low
    require_finite("covariates: their range", span)
    if not bool((span >= 0).all() and (covariates.knots.abs() <= 2).all()):
        raise ValueError("covariates: knots lie far outside the range")  # -1 ... 1
    return covariates


def _distance_from_json(held: Json) -> Distance:
    check_fields("held_out", held, Distance)
    return Distance.from_json(held)


def _cost_distance_from_json(held: Json) -> CostDistance:
    check_fields("held_out", held, CostDistance)
    return CostDistance.from_json(held)


def _label_to_json(label: Hashable) -> Any:
    """Return a label as JSON holds it: a tuple becomes a list."""
    if isinstance(label, tuple):
        return [_label_to_json(part) for part in label]
    fault = label_fault(label)
    if fault is None:
        return label
    raise DataError(
        f"labels: {fault}; fit with labels that are strings, numbers or tuples of these"
    )


def label_fault(label: Hashable) -> str | None:
    """Return why a label cannot be saved as JSON, in words, or None where it can."""
    if isinstance(label, tuple):
        return next(filter(None, map(label_fault, label)), None)
    if isinstance(label, str | int | float):  # and bool
        return None
    return f"{label!r} is a {type(label).__name__}, which cannot be saved"


def _label_from_json(label: object) -> Hashable:
    if isinstance(label, list):
        return tuple(map(_label_from_json, label))
    return label  # type: ignore[return-value]
