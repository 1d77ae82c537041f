"""The two kinds of files: `.pt2`, which torch reads, and `.onnx`, which onnxruntime and many others read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.export import ExportedProgram

from brenier.errors import DataError
from brenier.transport.maps.export.functions import Outputs
from brenier.transport.maps.export.tracing import quiet

Runner: TypeAlias = Callable[[Sequence[Tensor]], Outputs]
Metadata: TypeAlias = Mapping[str, object]
METADATA = "metadata.json"  # the name of a description inside a .pt2 file


class TensorNames(NamedTuple):
    """What the inputs and outputs of a program are called."""

    inputs: list[str]
    outputs: list[str]


class FileKind(NamedTuple):
    """A kind of file.

    Attributes:
        check: raises a DataError where what writes it is missing.
        write: returns the content of the file of a program.
        read: returns what runs a file, or None where nothing here does.
    """

    check: Callable[[Path], None]
    write: Callable[[ExportedProgram, TensorNames, Metadata], bytes]
    read: Callable[[Path], Runner | None]


def _nothing_needed(path: Path) -> None:
    """Torch alone writes it."""


def _pt2_bytes(program: ExportedProgram, names: TensorNames, told: Metadata) -> bytes:
    content = io.BytesIO()
    with quiet():
        extra = {METADATA: as_json(told)}
        torch.export.save(program, content, extra_files=extra)
    return content.getvalue()


def _pt2_runner(path: Path) -> Runner:
    with quiet():
        module = torch.export.load(io.BytesIO(path.read_bytes())).module()

    def run(inputs: Sequence[Tensor]) -> Outputs:
        with torch.no_grad():
            found: Outputs = module(*inputs)
        return found

    return run


def _check_onnx(path: Path) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DataError(
            f'{path}: .onnx files need {error.name}, which is missing; install it with pip install "brenier[export]", '
            "or write a .pt2 file",
            argument="path",
        ) from error


def _onnx_bytes(program: ExportedProgram, names: TensorNames, told: Metadata) -> bytes:
    try:
        with quiet():
            made: Any = torch.onnx.export(
                program,
                input_names=names.inputs,
                output_names=names.outputs,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        opset = {"opset": made.model.opset_imports[""]}
        for name, value in {**told, **opset}.items():
            made.model.metadata_props[name] = as_json(value)
        content: bytes = made.model_proto.SerializeToString()
    except Exception as error:  # operations ONNX lacks, and files beyond what it holds
        fault = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"path: the map cannot be written as ONNX ({fault}); write a .pt2 file",
            argument="path",
        ) from error
    return content


def _onnx_runner(path: Path) -> Runner | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it refuses comes as an error as well
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options)
    except Exception as error:  # of its own kinds
        fault = " ".join(str(error).split())[:300]
        raise DataError(
            f"path: onnxruntime cannot run the file ({fault}); write a .pt2 file",
            argument="path",
        ) from error
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> Outputs:
        arrays = (part.numpy() for part in inputs)
        found = session.run(None, dict(zip(names, arrays, strict=True)))
        return tuple(map(torch.from_numpy, found))

    return run


def as_json(value: object) -> str:
    """Return a value as JSON; labels that it cannot hold by what they print as."""
    return json.dumps(value, default=repr)


FILE_KINDS: Mapping[str, FileKind] = MappingProxyType(
    {
        ".onnx": FileKind(_check_onnx, _onnx_bytes, _onnx_runner),
        ".pt2": FileKind(_nothing_needed, _pt2_bytes, _pt2_runner),
    }
)
