"""A fitted estimator, read from the folder it was saved in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brenier.errors import ModelFileError
from brenier.estimators import validation
from brenier.estimators.optimal_transport import OptimalTransport
from brenier.estimators.parameters import FittedMap, Parameters
from brenier.transport.costs import Cost, Mahalanobis
from brenier.transport.dual import UnbalancedMass
from brenier.transport.maps import Certificate, TransportMap, load_map, method_from_json

# What summaries of a training record are made of.
NEEDED = ("step", "seconds", "value", "held_out_unconverged")


class LoadedModel(NamedTuple):
    """An estimator, and everything that its folder says of it."""

    estimator: OptimalTransport
    description: Mapping[str, Any]


def load(folder: str | Path, device: torch.device | str = "cpu") -> OptimalTransport:
    """Return the estimator saved in a folder.

    Raises:
        DataError: where the folder is no path, or the device cannot be used.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    return load_model(folder, device).estimator


def load_model(folder: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Return the estimator saved in a folder, and its description.

    Raises:
        DataError: where the folder is no path, or the device cannot be used.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    transport, description = load_map(folder, validation.check_device(device))
    try:
        parameters = _parameters(description)
        features = _features(description, transport.dim)
        history = _history_records(description["history"])
        diagnostics = description["diagnostics"]
        if not isinstance(diagnostics, dict):
            raise ValueError("diagnostics: must be a mapping")
        certificate = description.get("certificate")
        if certificate is not None:
            certificate = Certificate.from_json(certificate)
    except Exception as error:  # whatever fields of another kind lead to
        fault = " ".join(f"{error}".split())
        raise ModelFileError(
            f"{folder}: holds no estimator ({fault}); give a folder that its `save` wrote"
        ) from error
    ot = OptimalTransport(**parameters)
    ot.map_, ot.history_, ot.diagnostics_ = transport, history, diagnostics
    ot.certificate_ = certificate
    ot.method = method_from_json(description["method"])
    ot.cost, ot.mass = _ground_of(transport, ot)
    ot.n_features_in_ = transport.dim
    if features is not None:
        ot.feature_names_in_ = np.asarray(features, dtype=object)
    return LoadedModel(ot, description)


def _ground_of(
    transport: FittedMap, ot: OptimalTransport
) -> tuple[str | Cost, str | UnbalancedMass]:
    """Return the cost and the mass of a map as the parameters of its estimator."""
    metric = transport.coordinates.metric
    if metric is not None:
        return Mahalanobis(metric.matrix), ot.mass
    ground = transport.ground if isinstance(transport, TransportMap) else None
    if ground is None:
        return ot.cost, ot.mass
    return ground.cost, ground.mass or "balanced"


def _parameters(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that this version knows, checked as those of a fit are."""
    defaults = OptimalTransport().get_params()
    told = description["parameters"]
    known = {name: told[name] for name in told.keys() & defaults.keys()}
    # A folder that is there no more need not be refused before the next fit.
    Parameters(**{**defaults, **known, "checkpoint": None}).check()
    if not isinstance(known.get("settings"), dict | None):
        raise ValueError("settings: must be a mapping")
    return known


def _features(description: Mapping[str, Any], dim: int) -> list[str] | None:
    """Return the names of features, or None where they had none."""
    names = description["features"]
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("features: must be a list of names")
    if len(names) != dim:
        raise ValueError(f"features: {len(names)} names for {dim} features")
    return names


def _history_records(history: object) -> list[dict[str, float]]:
    """Return the training record."""
    if not isinstance(history, list):
        raise ValueError("history: must be a list")
    for row in history:
        values = [row[name] for name in NEEDED]
        if not all(isinstance(value, int | float) for value in row.values()):
            raise ValueError("history: holds what is no number")
        if not all(map(math.isfinite, values[:2])):
            raise ValueError("history: steps and seconds must be finite")

    return history
