"""A saved model: a folder with `model.json` and one safetensors file. Nothing is pickled.

Of the samples there are inside: their moments, in the coordinates; some rows of the source, where the map has kept any
(`start_rows`, see `OptimalTransport(keep_rows=)`); of a map of an exact plan the target rows it leads to, of that of an
entropic plan the rows of both sides.

The weights are written first, under a name that contains their checksum; replacing `model.json` is the one step that
makes them the model. So a save that fails at any moment leaves the old model as it was, and processes that save into
one folder at the same time leave the model of one of them. Both files are checked when loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from brenier.atomic import locked, write_bytes
from brenier.errors import DataError, ModelFileError
from brenier.model_files import (
    FoundDescription,
    checked_folder,
    read_description,
    read_shapes,
    read_tensors,
    remove_file,
    signed,
    unfit,
    weights_as_bytes,
    weights_name,
)
from brenier.transport.coordinates import Coordinates
from brenier.transport.maps.checks import in_short
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.description import (
    FILED_AS,
    START_ROWS,
    check_moves,
    describe,
    rebuild,
    shapes_of,
)
from brenier.transport.maps.ground_files import GROUND, METRIC
from brenier.transport.maps.map import TransportMap

Description: TypeAlias = dict[str, Any]  # as JSON holds it


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """The files of a saved model.

    Attributes:
        format: the number of the format of models of another cost or mass; lower ones are read too.
        with_rows: that of models with kept rows or weighted members.
        plain: that of models without, which version 0.1 reads.
        description: the name of the file that describes the model.
        largest_description, largest_header: bytes beyond which what is read can be neither that nor the header of
            weights, and is not read.
    """

    format: int = 3
    with_rows: int = 2
    plain: int = 1
    description: str = "model.json"
    largest_description: int = 2**26
    largest_header: int = 2**24


MODEL_FILES = ModelFiles()
_WEIGHTS = weights_name("weights")


def save_map(
    folder: str | Path, transport: TransportMap | ConditionalMap, extra: Description
) -> None:
    """Write a map and whatever else (JSON) belongs to it.

    Raises:
        DataError: where the potential is of a class this library cannot rebuild, or labels of a kind JSON cannot hold.
        OSError: where the folder cannot be written; what was there before stays.
    """
    folder = Path(folder)
    weights = weights_as_bytes(_tensors_of(transport))
    checksum = hashlib.sha256(weights).hexdigest()
    told = {"weights_sha256": checksum, **describe(transport), **extra}
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as alone:
        before = _named_weights(folder)
        # Another process may be about to remove a file of the same name, unless it waits for this one.
        suffix = "" if alone else f"-{secrets.token_hex(4)}"
        name = f"weights-{checksum[:16]}{suffix}.safetensors"
        try:
            write_bytes(folder / name, weights)
            write_bytes(folder / MODEL_FILES.description, _described_map(name, told))
        except BaseException:
            if name != before:
                remove_file(folder / name)
            raise
        # Once killed, a save leaves weights that no description names; while others may be saving, so may they.
        old = _weights_in(folder) if alone else [before]
        for other in old:
            if other and other != name:
                remove_file(folder / other)


def mark_of_map(transport: TransportMap | ConditionalMap) -> str:
    """Return a checksum of a map, the same for one saved and loaded."""
    found = hashlib.sha256(weights_as_bytes(_tensors_of(transport)))
    try:
        told: object = describe(transport)
    except DataError:  # of your own potential or cost, which cannot be saved
        told = repr(transport.network)
    found.update(json.dumps(told, sort_keys=True, default=repr).encode())
    return found.hexdigest()


def load_map(
    folder: str | Path, device: torch.device | str = "cpu"
) -> tuple[TransportMap | ConditionalMap, Description]:
    """Return the map saved in a folder, and its description.

    Raises:
        DataError: where the folder is no path.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    folder = checked_folder(folder)
    path = folder / MODEL_FILES.description

    def describe_again() -> FoundDescription:
        return read_description(
            path, MODEL_FILES.format, MODEL_FILES.largest_description
        )

    found = describe_again()
    while True:
        try:
            transport = _rebuilt(folder, found.content, device)
        except ModelFileError:
            newer = describe_again()  # by another process, which has removed weights
            if newer.checksum == found.checksum:
                raise
            found = newer
        else:
            return transport, found.content


def _rebuilt(
    folder: Path, description: Description, device: torch.device | str
) -> TransportMap | ConditionalMap:
    """Return the map that a folder's description tells of, on a device."""
    name = str(description.get("weights"))
    if not _WEIGHTS.fullmatch(name):
        raise unfit(folder, ValueError(f"weights: {in_short(name)} is no file of ours"))
    shapes = read_shapes(folder / name, MODEL_FILES.largest_header)
    try:
        expected = shapes_of(description, len(shapes))
        if shapes != expected:
            odd = sorted(set(shapes.items()) ^ set(expected.items()), key=str)
            raise ValueError(f"{in_short(odd[0][0])} is not of the shape described")
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(folder, error) from error
    tensors = read_tensors(folder / name, description.get("weights_sha256"))
    try:
        coordinates = _coordinates_from(_under(tensors, "coordinates."))
        weights, rows = _under(tensors, "network."), tensors.get(START_ROWS)
        transport = rebuild(description, weights, coordinates, rows)
        transport = transport.to(device)
        check_moves(transport)
    except Exception as error:
        raise unfit(folder, error) from error
    return transport


def _described_map(weights: str, told: Description) -> bytes:
    """Return the description of a model as its file holds it."""
    newer = START_ROWS in told or _is_weighted(told["potential"])
    number = MODEL_FILES.with_rows if newer else MODEL_FILES.plain
    if GROUND in told or METRIC in told:
        number = MODEL_FILES.format
    description = {"format": number, "weights": weights, **told}
    content = signed(description)
    if len(content) > MODEL_FILES.largest_description:
        raise DataError(
            f"model: its description would have {len(content)} bytes, {MODEL_FILES.largest_description} at most; fit "
            "with fewer classes, or evaluate less often"
        )
    return content


def _is_weighted(spec: Description) -> bool:
    """Say whether a potential that is described has members of other than equal weights, which 0.1 would overlook."""
    return "weights" in spec or any(map(_is_weighted, spec.get("mean", ())))


def _named_weights(folder: Path) -> str | None:
    """Return the file of weights that the description in a folder names, or None where there is none."""
    path = folder / MODEL_FILES.description
    try:
        found = read_description(
            path, MODEL_FILES.format, MODEL_FILES.largest_description
        )
    except ModelFileError:
        return None
    name = str(found.content.get("weights"))
    return name if _WEIGHTS.fullmatch(name) else None


def _weights_in(folder: Path) -> list[str]:
    """Return the names of all files of weights in a folder."""
    return [name for name in os.listdir(folder) if _WEIGHTS.fullmatch(name)]


def _tensors_of(transport: TransportMap | ConditionalMap) -> dict[str, Tensor]:
    """Return the tensors of a map by their names in the file."""
    tensors = {
        f"network.{name}": part for name, part in transport.network.state_dict().items()
    }
    for name, part in transport.coordinates.tensors().items():
        tensors[f"coordinates.{FILED_AS.get(name, name)}"] = part
    if transport.start_rows is not None and len(transport.start_rows):
        tensors[START_ROWS] = transport.start_rows
    return tensors


def _coordinates_from(tensors: dict[str, Tensor]) -> Coordinates:
    """Return the coordinates of tensors by their names in the file."""
    fields = {filed: name for name, filed in FILED_AS.items()}
    parts: dict[str, Any] = {
        fields.get(filed, filed): part for filed, part in tensors.items()
    }
    return Coordinates(**parts)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): part
        for name, part in tensors.items()
        if name.startswith(prefix)
    }
