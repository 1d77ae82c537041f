"""A saved characteristic flow: `flow.json` and its weights, read with distrust."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brenier.baselines.flow import Flow, FlowUnits
from brenier.baselines.flow_network import FlowNetwork
from brenier.errors import DataError
from brenier.model_files import (
    Shapes,
    Told,
    read_described,
    shapes_by_name,
    unfit,
    write_described,
)
from brenier.transport.costs import cost_from_json, cost_to_json
from brenier.transport.maps import label_fault

NAME = "flow"
UNITS = ("units.source", "units.target", "units.scale")


class SavedFlow(NamedTuple):
    """What is kept of a fitted `CharacteristicFlow`.

    Attributes:
        flow: the flow.
        labels: its classes, or None.
        parameters: of the estimator, but the cost.
        features: their names, or None.
        history, diagnostics: as the estimator has them.
    """

    flow: Flow
    labels: tuple[Hashable, ...] | None
    parameters: dict[str, object]
    features: list[str] | None
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]


def save_flow(folder: str | Path, saved: SavedFlow) -> None:
    """Write a flow, whole or not at all.

    Raises:
        DataError: where its cost or labels are of a kind JSON cannot hold.
        OSError: where the folder cannot be written; what was there before stays.
    """
    flow = saved.flow
    for label in saved.labels or ():
        fault = label_fault(label)
        if fault is not None:
            raise DataError(
                f"labels: {fault}; fit with labels that are strings, numbers or tuples of these"
            )
    told = {
        "estimator": "CharacteristicFlow",
        "network": flow.network.config(),
        "cost": cost_to_json(flow.cost),
        "dtype": str(flow.dtype).removeprefix("torch."),
        "labels": None if saved.labels is None else list(saved.labels),
        "parameters": saved.parameters,
        "features": saved.features,
        "history": saved.history,
        "diagnostics": saved.diagnostics,
    }
    write_described(folder, NAME, _flow_tensors(flow), told)


def load_flow(
    folder: str | Path,
    device: torch.device,
    check: Callable[[dict[str, object]], None],
) -> SavedFlow:
    """Return what a folder holds of a flow.

    Args:
        folder: where it was saved.
        device: to move it to.
        check: raises for parameters that no fit would take.

    Raises:
        DataError: where the folder is no path.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    found = read_described(folder, NAME, _expected)
    told, tensors = found
    try:
        for name, part in tensors.items():
            if not bool(part.isfinite().all()):
                raise ValueError(f"{name}: holds NaN or inf")
        source, target = tensors.pop(UNITS[0]), tensors.pop(UNITS[1])
        units = FlowUnits(source, target, _scale(tensors))
        network = _described_network(told)
        network.load_state_dict(tensors)
        cost = cost_from_json(told["cost"])
        network = network.eval().requires_grad_(False).to(device)
        flow = Flow(network, units, cost)
        flow.forward(units.source[None].to(device))
        parameters = dict(told["parameters"])
        # A folder that is there no more need not be refused before the next fit.
        check({**parameters, "checkpoint": None})
        return SavedFlow(
            flow,
            _labels(told["labels"]),
            parameters,
            _names_of_features(told["features"], flow.dim),
            _history(told["history"]),
            dict(told["diagnostics"]),
        )
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(folder, error) from error


def _expected(told: Told) -> Shapes:
    """Return the shapes of the tensors that a description tells of; no memory is taken for them."""
    with torch.device("meta"):
        network = _described_network(told)
        one = torch.empty(network.dim, dtype=torch.float64)
        parts = dict(zip(UNITS, (one, one, one[0]), strict=True))
        return shapes_by_name({**network.state_dict(), **parts})


def _described_network(told: Told) -> FlowNetwork:
    """Return a network as a description tells of it, its weights still to come."""
    config = dict(told["network"])
    for name in ("dim", "width", "layers"):
        if type(config[name]) is not int or config[name] < 1:
            raise ValueError(f"network: {name} must be a whole number above zero")
    if not config["layers"] < 1000 or type(config["quadratic_head"]) is not bool:
        raise ValueError("network: is none of ours")
    if told["dtype"] not in ("float32", "float64"):
        raise ValueError("dtype: must be float32 or float64")
    return FlowNetwork(**config).to(getattr(torch, told["dtype"]))


def _flow_tensors(flow: Flow) -> dict[str, Tensor]:
    """Return the tensors of a flow by their names in the file."""
    scale = torch.tensor(flow.units.scale, dtype=torch.float64)
    units = zip(UNITS, (flow.units.source, flow.units.target, scale), strict=True)
    # Both centres may be one tensor, which safetensors would refuse.
    return {
        **flow.network.state_dict(),
        **{name: part.clone() for name, part in units},
    }


def _scale(tensors: dict[str, Tensor]) -> float:
    """Take out the unit."""
    scale = float(tensors.pop(UNITS[2]))
    if not scale > 0:
        raise ValueError("units: must be positive")
    return scale


def _labels(told: object) -> tuple[Hashable, ...] | None:
    """Return labels, of which JSON holds tuples as lists."""
    if told is None:
        return None
    if not isinstance(told, list):
        raise ValueError("labels: must be a list")
    return tuple(
        (_labels(label) or ()) if isinstance(label, list) else label for label in told
    )


def _names_of_features(told: object, dim: int) -> list[str] | None:
    """Return the names of features, or None where they had none."""
    if told is None:
        return None
    if not (isinstance(told, list) and all(isinstance(name, str) for name in told)):
        raise ValueError("features: must be a list of names")
    if len(told) != dim:
        raise ValueError(f"features: {len(told)} names for {dim} features")
    return told


def _history(told: object) -> list[dict[str, float]]:
    """Return the training record."""
    rows = told if isinstance(told, list) else None
    if rows is None or not all(isinstance(row, dict) for row in rows):
        raise ValueError("history: must be a list of mappings")
    for row in rows:
        if not all(math.isfinite(row[name]) for name in ("step", "seconds")):
            raise ValueError("history: steps and seconds must be finite")
    return rows
