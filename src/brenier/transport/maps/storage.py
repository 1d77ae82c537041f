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
from typing import Any, TypeAlias

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from brenier.atomic import write_bytes
from brenier.errors import ModelFileError
from brenier.transport.coordinates import Coordinates
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.description import describe, rebuild
from brenier.transport.maps.map import TransportMap

Description: TypeAlias = dict[str, Any]  # as JSON holds it

REMEDY = "save the model again, or restore the folder from a copy"
# Where a field of the coordinates has another name in files, the latter.
FILED_AS = {"scale": "spread"}


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """The files of a saved model.

    Attributes:
        format: the number of the format that is written; lower ones are read too.
        description: the name of the file that describes the model.
    """

    format: int = 1
    description: str = "model.json"


MODEL_FILES = ModelFiles()


def save_map(
    folder: str | Path, transport: TransportMap | ConditionalMap, extra: Description
) -> None:
    """Write a map and whatever else (JSON) belongs to it.

    Raises:
        DataError: where the potential is of a class this library cannot rebuild, or labels of a kind JSON cannot hold.
        OSError: where the folder cannot be written; what was there before stays.
    """
    folder = Path(folder)
    weights = tensors_to_bytes(_tensors_of(transport))
    checksum = hashlib.sha256(weights).hexdigest()
    description = {
        "format": MODEL_FILES.format,
        "weights": f"weights-{checksum[:16]}.safetensors",
        "weights_sha256": checksum,
        **describe(transport),
        **extra,
    }
    description["sha256"] = digest_of(description)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / description["weights"], weights)
    write_bytes(
        folder / MODEL_FILES.description, json.dumps(description, indent=2).encode()
    )
    for old in folder.glob("weights-*.safetensors"):
        if old.name != description["weights"]:
            old.unlink(missing_ok=True)


def load_map(
    folder: str | Path, device: torch.device | str = "cpu"
) -> tuple[TransportMap | ConditionalMap, Description]:
    """Return the map saved in a folder, and its description.

    Raises:
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    folder = Path(folder)
    description = _read_description(folder)
    tensors = _read_tensors(folder, description)
    try:
        coordinates = _coordinates_from(_under(tensors, "coordinates."))
        transport = rebuild(description, _under(tensors, "network."), coordinates)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        fault = " ".join(str(error).split())
        raise ModelFileError(
            f"{folder}: the parts of the model do not fit together ({fault}); {REMEDY}"
        ) from error
    return transport.to(device), description


def digest_of(description: Description) -> str:
    """Return the checksum of a description."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _tensors_of(transport: TransportMap | ConditionalMap) -> dict[str, Tensor]:
    """Return the tensors of a map by their names in the file."""
    tensors = {
        f"network.{name}": part for name, part in transport.network.state_dict().items()
    }
    for name, part in transport.coordinates.tensors().items():
        tensors[f"coordinates.{FILED_AS.get(name, name)}"] = part
    return {name: part.detach().cpu().contiguous() for name, part in tensors.items()}


def _coordinates_from(tensors: dict[str, Tensor]) -> Coordinates:
    """Return the coordinates of tensors by their names in the file."""
    fields = {filed: name for name, filed in FILED_AS.items()}
    return Coordinates(
        **{fields.get(filed, filed): part for filed, part in tensors.items()}
    )


def _read_description(folder: Path) -> Description:
    path = folder / MODEL_FILES.description
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
            f"{path}: is truncated or not a model description; {REMEDY}"
        ) from error
    if version > MODEL_FILES.format:
        raise ModelFileError(
            f"{path}: has format {version}, this brenier reads up to {MODEL_FILES.format}; upgrade brenier"
        )
    if claimed != digest_of(description):
        raise ModelFileError(
            f"{path}: was altered after it was saved (checksum differs); {REMEDY}"
        )
    return dict(description)


def _read_tensors(folder: Path, description: Description) -> dict[str, Tensor]:
    path = folder / Path(str(description.get("weights"))).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path}: the weights are missing or cannot be read ({error}); {REMEDY}"
        ) from error
    if hashlib.sha256(content).hexdigest() != description.get("weights_sha256"):
        raise ModelFileError(
            f"{path}: the weights are truncated or were altered (checksum differs); {REMEDY}"
        )
    return tensors_from_bytes(content)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): part
        for name, part in tensors.items()
        if name.startswith(prefix)
    }
