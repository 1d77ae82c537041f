"""The two files of a saved baseline: `NAME.json`, which describes it, and `NAME-CHECKSUM.safetensors`.

Nothing is pickled. The weights are written first; replacing the description is the one step that makes them the model.
So a save that fails at any moment leaves what was there before. A folder may hold a baseline beside a model of
`OptimalTransport`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from brenier.atomic import locked, write_bytes
from brenier.errors import DataError, ModelFileError
from brenier.transport.maps import (
    Shapes,
    TensorShape,
    digest_of,
    read_description,
    read_shapes,
    read_tensors,
)

Told = Mapping[str, Any]  # as JSON holds it


@dataclasses.dataclass(frozen=True)
class BaselineFiles:
    """The files of a saved baseline.

    Attributes:
        format: the number of their format.
        largest_description, largest_header: bytes beyond which what is read can be neither a description nor the header
            of weights, and is not read.
    """

    format: int = 1
    largest_description: int = 2**26
    largest_header: int = 2**20


BASELINE_FILES = BaselineFiles()


class SavedBaseline(NamedTuple):
    """What a folder holds: a description, and tensors by name."""

    told: dict[str, Any]
    tensors: dict[str, Tensor]


def write_baseline(
    folder: str | Path, name: str, tensors: Mapping[str, Tensor], told: Told
) -> None:
    """Write a baseline's tensors and description, whole or not at all.

    Raises:
        DataError: where the folder is no path.
        OSError: where it cannot be written; what was there before stays.
    """
    place = _folder_of(folder)
    weights = tensors_to_bytes(
        {key: part.detach().cpu().contiguous() for key, part in tensors.items()}
    )
    checksum = hashlib.sha256(weights).hexdigest()
    file = f"{name}-{checksum[:16]}.safetensors"
    description = {
        "format": BASELINE_FILES.format,
        "weights": file,
        "weights_sha256": checksum,
        **told,
    }
    description["sha256"] = digest_of(description)
    content = json.dumps(description, indent=2).encode()
    place.mkdir(parents=True, exist_ok=True)
    with locked(place) as alone:
        known = os.path.lexists(place / file)
        try:
            write_bytes(place / file, weights)
            write_bytes(place / f"{name}.json", content)
        except BaseException:
            if not known:
                _remove_file(place / file)
            raise
        # What another process is about to name is left to it, where it does not wait for this one.
        for other in os.listdir(place) if alone else []:
            if _weights_name(name).fullmatch(other) and other != file:
                _remove_file(place / other)


def read_baseline(
    folder: str | Path, name: str, expected: Callable[[Told], Shapes]
) -> SavedBaseline:
    """Return what a folder holds of a baseline.

    Args:
        folder: where it was saved.
        name: of its files.
        expected: of a description, the shapes of the tensors that belong to it; whatever it raises says that the
            description cannot be true. Nothing is read from the weights before their shapes agree.

    Raises:
        DataError: where the folder is no path.
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    place = _folder_of(folder)
    path = place / f"{name}.json"
    limit = BASELINE_FILES.largest_description
    told, _ = read_description(path, BASELINE_FILES.format, limit)
    file = str(told.get("weights"))
    try:
        if not _weights_name(name).fullmatch(file):
            raise ValueError("weights: is no file of ours")
        shapes = read_shapes(place / file, BASELINE_FILES.largest_header)
        if shapes != expected(told):
            raise ValueError("weights: are not of the shapes described")
    except ModelFileError:
        raise
    except Exception as error:  # whatever a made-up description leads to
        raise unfit(place, error) from error
    return SavedBaseline(told, read_tensors(place / file, told.get("weights_sha256")))


def unfit(folder: str | Path, error: Exception) -> ModelFileError:
    """Return the error for a description that cannot be true, or not of its weights."""
    fault = " ".join(str(error).split()) or type(error).__name__
    return ModelFileError(
        f"{folder}: the parts of the model do not fit together ({fault[:500]}); save the model again, or restore the "
        "folder from a copy"
    )


def shapes_by_name(tensors: Mapping[str, Tensor]) -> dict[str, TensorShape]:
    """Return the shapes and types of tensors."""
    return {
        name: TensorShape(tuple(part.shape), part.dtype)
        for name, part in tensors.items()
    }


def _weights_name(name: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(name)}-[0-9a-f]{{16}}\.safetensors")


def _folder_of(folder: object) -> Path:
    """Return the path of a folder.

    Raises:
        DataError: where it is none.
    """
    if not isinstance(folder, str | os.PathLike):
        raise DataError(
            f"folder: must be the path of a folder, got {folder!r}", argument="folder"
        )
    path = Path(os.fsdecode(folder))
    if "\0" in str(path):
        raise ModelFileError(f"{str(path)!r}: not found; give the folder of a model")
    return path


def _remove_file(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
