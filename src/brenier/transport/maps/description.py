"""A map in words that JSON can hold, and back: its potential, its method, its conditions, what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

import brenier.solve as solve
from brenier.errors import DataError
from brenier.potentials import KNOWN, Conditional, MeanPotential, Potential
from brenier.solve import Method
from brenier.transport.coordinates import Classes, Coordinates, Covariates
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.map import TransportMap

Json: TypeAlias = Mapping[str, Any]


def describe(transport: TransportMap | ConditionalMap) -> dict[str, Any]:
    """Return what `rebuild` needs beside the tensors.

    Raises:
        DataError: where the potential is of a class this library cannot rebuild, or labels of a kind JSON cannot hold.
    """
    network = transport.network
    return {
        "potential": _potential_to_json(network),
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "method": method_to_json(transport.method),
        "tol": transport.tol,
        "max_steps": transport.max_steps,
        **_conditions_to_json(transport),
    }


def rebuild(
    description: Json, weights: dict[str, Tensor], coordinates: Coordinates
) -> TransportMap | ConditionalMap:
    """Return the map that was described, with these weights and coordinates."""
    network = _potential_from_json(description["potential"])
    network = network.to(getattr(torch, description["dtype"]))
    network.load_state_dict(weights)
    network = network.eval().requires_grad_(False)
    settings = {
        "method": method_from_json(description["method"]),
        "tol": description["tol"],
        "max_steps": description["max_steps"],
    }
    held_out = description["held_out"]
    if not isinstance(network, Conditional):
        found = None if held_out is None else Distance.from_json(held_out)
        return TransportMap(network, coordinates, **settings, held_out_distance=found)
    if "covariates" in description:
        ranges = {
            name: torch.tensor(part, dtype=torch.float64)
            for name, part in description["covariates"].items()
        }
        covariates = Covariates(**ranges, coordinates=coordinates)
        pooled = description.get("pooled")  # which 0.1 did not measure
        found = None if pooled is None else Distance.from_json(pooled)
        return ConditionalMap(network, covariates, **settings, pooled_distance=found)
    classes = Classes(tuple(map(_label_from_json, description["labels"])), coordinates)
    by_class = {int(key): Distance.from_json(found) for key, found in held_out.items()}
    return ConditionalMap(network, classes, **settings, held_out_distance=by_class)


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
    if spec["class"] not in solve.__all__:
        raise ValueError(f"unknown method {spec['class']!r}")
    method: Method = getattr(solve, spec["class"])(**spec["config"])
    return method


def _potential_to_json(network: Potential) -> dict[str, Any]:
    """Return the class and arguments of a potential; of a conditional one those of its network, of a mean of each."""
    if isinstance(network, Conditional):
        return {"space": network.transport_dim, **_potential_to_json(network.network)}
    if isinstance(network, MeanPotential):
        return {"mean": [_potential_to_json(member) for member in network.members()]}
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
            [_potential_from_json(member) for member in spec["mean"]]
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
