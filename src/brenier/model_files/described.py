"""The two files of a saved model: a description in JSON, and its tensors as `NAME-CHECKSUM.safetensors`.

Nothing is pickled. The weights are written first, under a name that contains their checksum; replacing the description
is the one step that makes them the model. So a save that fails at any moment leaves what was there before. Both files
are read with distrust: nothing is allocated or decoded before its size is known.

`write_described` and `read_described` save and load what is called NAME in a folder, which may hold others beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from brenier.atomic import locked, write_bytes
from brenier.errors import ModelFileError
from brenier.model_files.reading import (
    Shapes,
    TensorShape,
    Told,
    checked_folder,
    digest_of,
    read_description,
    read_shapes,
    read_tensors,
    unfit,
    weights_name,
)


@dataclasses.dataclass(frozen=True)
class DescribedFiles:
    """The files of what `write_described` saves.

    Attributes:
        format: the number of their format.
        largest_description, largest_header: bytes beyond which what is read can be neither a description nor the header
            of weights, and is not read.
    """

    format: int = 1
    largest_description: int = 2**26
    largest_header: int = 2**20


DESCRIBED_FILES = DescribedFiles()


class Described(NamedTuple):
    """What a folder holds: a description, and tensors by name."""

    told: dict[str, Any]
    tensors: dict[str, Tensor]


def write_described(
    folder: str | Path, name: str, tensors: Mapping[str, Tensor], told: Told
) -> None:
    """Write tensors and what describes them, whole or not at all.

    Raises:
        DataError: where the folder is no path.
        OSError: where it cannot be written; what was there before stays.
    """
    place = checked_folder(folder)
    weights = weights_as_bytes(tensors)
    checksum = hashlib.sha256(weights).hexdigest()
    file = f"{name}-{checksum[:16]}.safetensors"
    description = {
        "format": DESCRIBED_FILES.format,
        "weights": file,
        "weights_sha256": checksum,
        **told,
    }
    content = signed(description)
    place.mkdir(parents=True, exist_ok=True)
    with locked(place) as alone:
        known = os.path.lexists(place / file)
        try:
            write_bytes(place / file, weights)
            write_bytes(place / f"{name}.json", content)
        except BaseException:
            if not known:
                remove_file(place / file)
            raise
        # What another process is about to name is left to it, where it does not wait for this one.
        for other in os.listdir(place) if alone else []:
            if weights_name(name).fullmatch(other) and other != file:
                remove_file(place / other)


def read_described(
    folder: str | Path, name: str, expected: Callable[[Told], Shapes]
) -> Described:
    """Return what a folder holds under a name.

    Args:
        folder: where it was saved.
        name: of its files.
        expected: of a description, the shapes of the tensors that belong to it; whatever it raises says that the
            description cannot be true. Nothing is read from the weights before their shapes agree.

    Raises:
        DataError: where the folder is no path.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    place = checked_folder(folder)
    path = place / f"{name}.json"
    limit = DESCRIBED_FILES.largest_description
    told, _ = read_description(path, DESCRIBED_FILES.format, limit)
    file = str(told.get("weights"))
    try:
        if not weights_name(name).fullmatch(file):
            raise ValueError("weights: is no file of ours")
        shapes = read_shapes(place / file, DESCRIBED_FILES.largest_header)
        if shapes != expected(told):
            raise ValueError("weights: are not of the shapes described")
    except ModelFileError:
        raise
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(place, error) from error
    return Described(told, read_tensors(place / file, told.get("weights_sha256")))


def shapes_by_name(tensors: Mapping[str, Tensor]) -> dict[str, TensorShape]:
    """Return the shapes and types of tensors."""
    return {
        name: TensorShape(tuple(part.shape), part.dtype)
        for name, part in tensors.items()
    }


def weights_as_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the content of a file of weights."""
    return tensors_to_bytes(
        {name: part.detach().cpu().contiguous() for name, part in tensors.items()}
    )


def signed(description: Told) -> bytes:
    """Return the content of the file of a description, its checksum added."""
    whole = {**description, "sha256": digest_of(description)}
    return json.dumps(whole, indent=2).encode()


def remove_file(path: Path) -> None:
    """Remove a file, if that is possible."""
    with contextlib.suppress(OSError):
        path.unlink()
