"""A saved model: a folder with `model.json` and one safetensors file. Nothing is pickled, no data are inside.

The weights are written first, under a name that contains their checksum; replacing `model.json` is the one step that
makes them the model. So a save that fails at any moment leaves the old model as it was. Both files are checked when
loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from brenier import solve
from brenier.atomic import write_bytes
from brenier.errors import DataError, ModelFileError
from brenier.potentials import KNOWN, Conditional, MeanPotential, Potential
from brenier.transport.coordinates import Classes, Coordinates, Covariates
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.map import TransportMap

FORMAT = 1
DESCRIPTION = "model.json"


def save_map(
    folder: str | Path, transport: TransportMap | ConditionalMap, extra: dict[str, Any]
) -> None:
    """Write a map and whatever else (JSON) belongs to it.

    Raises:
        DataError: where the potential is of a class this library cannot rebuild, or labels of a kind JSON cannot hold.
        OSError: where the folder cannot be written; what was there before stays.
    """
    folder = Path(folder)
    network = transport.network
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {
        f"coordinates.{name}": value
        for name, value in transport.coordinates.tensors().items()
    }
    weights = tensors_to_bytes(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    )
    checksum = hashlib.sha256(weights).hexdigest()
    description = {
        "format": FORMAT,
        "weights": f"weights-{checksum[:16]}.safetensors",
        "weights_sha256": checksum,
        "potential": _potential_to_json(network),
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "method": method_to_json(transport.method),
        "tol": transport.tol,
        "max_steps": transport.max_steps,
        **_judged(transport),
        **extra,
    }
    description["sha256"] = _digest(description)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / description["weights"], weights)
    write_bytes(folder / DESCRIPTION, json.dumps(description, indent=2).encode())
    for old in folder.glob("weights-*.safetensors"):
        if old.name != description["weights"]:
            old.unlink(missing_ok=True)


def load_map(
    folder: str | Path, device: torch.device | str = "cpu"
) -> tuple[TransportMap | ConditionalMap, dict[str, Any]]:
    """Return the map saved in a folder, and its description.

    Raises:
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    folder = Path(folder)
    description = _description(folder)
    tensors = _weights(folder, description)
    try:
        network = _potential_from_json(description["potential"]).to(
            getattr(torch, description["dtype"])
        )
        network.load_state_dict(_under(tensors, "network."))
        transport = _rebuilt(
            network.eval().requires_grad_(False),
            Coordinates(**_under(tensors, "coordinates.")),
            description,
            method=method_from_json(description["method"]),
            tol=description["tol"],
            max_steps=description["max_steps"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        fault = " ".join(str(error).split())
        raise ModelFileError(
            f"{folder}: the parts of the model do not fit together ({fault}); {_REMEDY}"
        ) from error
    return transport.to(device), description


def _potential_to_json(network: Potential) -> dict[str, Any]:
    """Return the class and arguments of a potential; of a conditional one those of its network, of a mean of each."""
    if isinstance(network, Conditional):
        return {"space": network.transport_dim, **_potential_to_json(network.network)}
    if isinstance(network, MeanPotential):
        return {"mean": [_potential_to_json(part) for part in network.members()]}
    if KNOWN.get(type(network).__name__) is not type(network):
        raise DataError(
            f"potential: {type(network).__name__} cannot be rebuilt from a file; save "
            f"`map_.network.state_dict()` yourself, or use one of {', '.join(sorted(KNOWN))}"
        )
    return {"class": type(network).__name__, "config": network.config()}


def _potential_from_json(spec: dict[str, Any]) -> Potential:
    network: Potential
    if "mean" in spec:
        network = MeanPotential([_potential_from_json(part) for part in spec["mean"]])
    else:
        network = KNOWN[spec["class"]](**spec["config"])
    return Conditional(network, spec["space"]) if "space" in spec else network


def _judged(transport: TransportMap | ConditionalMap) -> dict[str, Any]:
    """Return what was measured on held-out samples, and for which classes."""
    if isinstance(transport, TransportMap):
        return {
            "held_out": None
            if transport.held_out_distance is None
            else dataclasses.asdict(transport.held_out_distance)
        }
    conditions = transport.conditions
    if isinstance(conditions, Covariates):
        parts = {
            name: getattr(conditions, name).tolist()
            for name in ("knots", "low", "high")
        }
        return {"covariates": parts, "held_out": {}}
    labels = [_label_to_json(label) for label in conditions.labels]
    held_out = {
        str(key): dataclasses.asdict(found)
        for key, found in transport.held_out_distance.items()
    }
    return {"labels": labels, "held_out": held_out}


def _rebuilt(
    network: Potential,
    coordinates: Coordinates,
    description: dict[str, Any],
    **settings: Any,
) -> TransportMap | ConditionalMap:
    held = description["held_out"]
    if isinstance(network, Conditional):
        found = {int(key): _distance(value) for key, value in held.items()}
        if "covariates" in description:
            parts = {
                name: torch.tensor(part, dtype=torch.float64)
                for name, part in description["covariates"].items()
            }
            return ConditionalMap(
                network, Covariates(**parts, coordinates=coordinates), **settings
            )
        classes = Classes(
            tuple(map(_label_from_json, description["labels"])), coordinates
        )
        return ConditionalMap(network, classes, **settings, held_out=found)
    return TransportMap(
        network,
        coordinates,
        **settings,
        held_out=None if held is None else _distance(held),
    )


def _distance(held: dict[str, Any]) -> Distance:
    return Distance(**{**held, "rows": tuple(held["rows"])})


def _label_to_json(label: Any) -> Any:
    """Return a label as JSON holds it: a tuple becomes a list."""
    if isinstance(label, tuple):
        return [_label_to_json(part) for part in label]
    if isinstance(label, str | int | float):  # and bool
        return label
    raise DataError(
        f"labels: {label!r} is a {type(label).__name__}, which cannot be saved; fit with labels that are strings, "
        "numbers or tuples of these"
    )


def _label_from_json(label: Any) -> Any:
    return tuple(map(_label_from_json, label)) if isinstance(label, list) else label


def method_to_json(method: solve.Method | None) -> dict[str, Any] | None:
    """Return a solver method's class and settings, or None for a class this library does not know."""
    name = type(method).__name__
    if name not in solve.__all__ or not dataclasses.is_dataclass(method):
        return None
    return {"class": name, "config": dataclasses.asdict(method)}  # type: ignore[arg-type]


def method_from_json(spec: dict[str, Any] | None) -> solve.Method | None:
    """Return the solver method described, None for None."""
    if spec is None:
        return None
    if spec["class"] not in solve.__all__:
        raise ValueError(f"unknown method {spec['class']!r}")
    return getattr(solve, spec["class"])(**spec["config"])


_REMEDY = "save the model again, or restore the folder from a copy"


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_bytes())
        version = int(description["format"])
        claimed = description.pop("sha256")
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{path}: not found; give the folder that `save` wrote"
        ) from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: is truncated or not a model description; {_REMEDY}"
        ) from error
    if version > FORMAT:
        raise ModelFileError(
            f"{path}: has format {version}, this brenier reads up to {FORMAT}; upgrade brenier"
        )
    if claimed != _digest(description):
        raise ModelFileError(
            f"{path}: was altered after it was saved (checksum differs); {_REMEDY}"
        )
    return description


def _weights(folder: Path, description: dict[str, Any]) -> dict[str, Tensor]:
    path = folder / Path(str(description.get("weights"))).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path}: the weights are missing or cannot be read ({error}); {_REMEDY}"
        ) from error
    if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
        raise ModelFileError(
            f"{path}: the weights are truncated or were altered (checksum differs); {_REMEDY}"
        )
    return tensors_from_bytes(content)


def _digest(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
