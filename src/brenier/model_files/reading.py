"""Reading the two files of a saved model with distrust: nothing is allocated or decoded before its size is known."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from safetensors.torch import load as tensors_from_bytes
from torch import Tensor

from brenier.errors import DataError, ModelFileError

REMEDY = "save the model again, or restore the folder from a copy"
# What safetensors call the types of numbers that a model may have.
DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}


class TensorShape(NamedTuple):
    """What is known of a tensor before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


Shapes: TypeAlias = Mapping[str, TensorShape]
Told: TypeAlias = Mapping[str, Any]  # a description, as JSON holds it


class FoundDescription(NamedTuple):
    """A description, and the checksum it came with, by which it is told from others."""

    content: dict[str, Any]
    checksum: str


def digest_of(description: Mapping[str, Any]) -> str:
    """Return the checksum of a description."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def read_description(path: Path, newest_format: int, largest: int) -> FoundDescription:
    """Return what describes a model.

    Args:
        path: of the file.
        newest_format: the highest number of a format that can be read.
        largest: bytes beyond which it can be no description.

    Raises:
        ModelFileError: where the file is missing, damaged, altered, or made by a newer version.
    """
    try:
        content = _read_regular(path, largest)
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{path}: not found; give the folder that `save` wrote"
        ) from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error})") from error
    try:
        description = json.loads(content)
        version, claimed = description["format"], description.pop("sha256")
        if type(version) is not int or version < 1:
            raise ValueError("format: must be a whole number")
        digest = digest_of(description) if version <= newest_format else ""
    except Exception as error:  # whatever damage leads to, such as too deep a nesting
        raise ModelFileError(
            f"{path}: is truncated or not a model description; {REMEDY}"
        ) from error
    if version > newest_format:
        raise ModelFileError(
            f"{path}: has format {version}, this brenier reads up to {newest_format}; upgrade brenier"
        )
    if claimed != digest:
        raise ModelFileError(
            f"{path}: was altered after it was saved (checksum differs); {REMEDY}"
        )
    return FoundDescription(description, claimed)


def read_shapes(path: Path, largest_header: int) -> dict[str, TensorShape]:
    """Return the tensors that a file of weights says it holds, of which it is known to have the size.

    Args:
        path: of the file.
        largest_header: bytes beyond which what is before the tensors can be no header.

    Raises:
        ModelFileError: where it is missing, no regular file, or of another size than it says.
    """
    try:
        size = _regular_size(path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, largest_header))
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: the weights are missing or cannot be read ({error}); {REMEDY}"
        ) from error
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        found = {
            str(name): TensorShape(
                tuple(map(_length, entry["shape"])), DTYPES[entry["dtype"]]
            )
            for name, entry in entries.items()
        }
        said = 8 + length + sum(tensor.bytes for tensor in found.values())
    except Exception as error:
        raise altered(path, "what they hold cannot be read") from error
    if size != said:
        raise altered(path, f"{size} bytes, where {said} are expected")
    return found


def read_tensors(path: Path, checksum: object) -> dict[str, Tensor]:
    """Return the tensors of a file of weights.

    Raises:
        ModelFileError: where it is not the file with that checksum.
    """
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != checksum:
            raise altered(path, "checksum differs")
        return tensors_from_bytes(content)
    except ModelFileError:
        raise
    except Exception as error:  # of safetensors, or no memory
        raise altered(path, f"{type(error).__name__}: {error}") from error


def altered(path: Path, fault: str) -> ModelFileError:
    """Return the error for weights that are not those that were saved."""
    return ModelFileError(
        f"{path}: the weights are truncated or were altered ({fault}); {REMEDY}"
    )


def unfit(folder: str | Path, error: Exception) -> ModelFileError:
    """Return the error for a description that cannot be true, or not of its weights."""
    fault = " ".join(str(error).split()) or type(error).__name__
    return ModelFileError(
        f"{folder}: the parts of the model do not fit together ({fault[:500]}); {REMEDY}"
    )


def weights_name(name: str) -> re.Pattern[str]:
    """Return what names of files of weights look like; the second number is of a save that others may disturb."""
    return re.compile(
        rf"{re.escape(name)}-[0-9a-f]{{16}}(-[0-9a-f]{{8}})?\.safetensors"
    )


def checked_folder(folder: object) -> Path:
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


def _length(value: object) -> int:
    """Return the length of one side of a tensor."""
    if type(value) is not int or value < 0:
        raise ValueError("no shape")
    return value


def _read_regular(path: Path, largest: int) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: where it cannot be read, is no regular file, or larger than this.
    """
    size = _regular_size(path)
    if size > largest:
        raise OSError(f"{size} bytes are no description")
    return path.read_bytes()


def _regular_size(path: Path) -> int:
    """Return the size of a file, or that of the file that a link leads to.

    Raises:
        OSError: where it is none, such as a pipe, which would keep us waiting.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is no regular file")
    return found.st_size
