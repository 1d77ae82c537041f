"""Maps written as one file of standard operations, that runs without this library."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from brenier.atomic import replacing
from brenier.errors import DataError, DataWarning, warn
from brenier.potentials import usual_modes
from brenier.transport.coordinates import Classes
from brenier.transport.costs import CostFacts
from brenier.transport.maps.export.comparison import (
    COMPARISON,
    Difference,
    compared,
)
from brenier.transport.maps.export.formats import FILE_KINDS, TensorNames
from brenier.transport.maps.export.subject import Exportable, Subject
from brenier.transport.maps.export.tracing import traced

if TYPE_CHECKING:
    from brenier.transport.maps.conditional import ConditionalMap
    from brenier.transport.maps.map import TransportMap

WHAT = ("map", "potential")
TYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What is written.

    Attributes:
        format: the number of the description in the file.
        examples: rows that are traced: more than one, which would be taken for a number that is always the same.
    """

    format: int = 1
    examples: int = 7


EXPORT = ExportSettings()


@dataclasses.dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: of the file.
        what: "map" or "potential".
        size: bytes.
        inputs, outputs: their names, in order.
        difference: how far it differs from the library on 10,000 random rows, near and far; None where nothing here
            could run the file.
    """

    path: Path
    what: str
    size: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: Difference | None


class MapExport:
    """How a map is exported; a base of `TransportMap` and `ConditionalMap`."""

    def export(
        self,
        path: str | Path,
        what: str = "map",
        dtype: str = "float64",
        *,
        features: Sequence[str] | None = None,
    ) -> Exported:
        """Write the map as one file of standard operations, that runs without this library.

        A `.pt2` file is read by `torch.export.load`, a `.onnx` file by onnxruntime and others; either takes any number
        of rows. Before the file takes its place it is run on 10,000 random rows, near and far, and compared with the
        map. With labels it takes the number of each row's class as well, (n,) int64, in the order of `labels`; with
        covariates these themselves, (n, p). See docs/scale-export.md.

        Args:
            path: ends in .pt2 or .onnx (which takes the extra "export").
            what: "map", x -> T(x) in the units of the data; or "potential", what an inverse minimises: (u, z) -> its
                value, its gradient in u, the row x that u stands for, and where to start.
            dtype: of inputs and outputs, "float32" or "float64". The network keeps its own precision, and coordinates
                are always worked out in double.
            features: names of the columns, which the file tells.

        Raises:
            DataError: where the path has another suffix or is a folder; where the extra is missing; where the map
                cannot be written, such as that of a potential of yours that branches on values; where the file does
                not agree with the map. Nothing is written then.
            OSError: where the file cannot be written; what was there before stays.
        """
        return export_map(cast("Any", self), path, what, dtype, features)


def export_map(
    transport: TransportMap | ConditionalMap,
    path: str | Path,
    what: str = "map",
    dtype: str = "float64",
    features: Sequence[str] | None = None,
) -> Exported:
    """Write a map into a file, as `MapExport.export` says."""
    place = _checked_path(path)
    kind = FILE_KINDS[place.suffix.lower()]
    subject = Subject.of(
        transport, _checked_what(what, transport), _checked_type(dtype)
    )
    kind.check(place)
    names = _tensor_names(subject)
    inputs = subject.trial(EXPORT.examples).inputs
    program = traced(subject.function(), inputs)
    content = kind.write(program, names, _metadata(subject, names, features))
    with replacing(place) as temporary:
        temporary.write_bytes(content)
        with usual_modes(gradients=False):
            run = kind.read(temporary)
            found = None if run is None else compared(run, subject)
        if found is not None and not found.small:
            rounded = (
                ""
                if found.rounding is None
                else f" ({found.rounding:.1e} of it rounding of the map itself)"
            )
            raise DataError(
                f"{place}: the file differs from the map by {found.largest:.1e} of the spread of the data{rounded}, "
                f"{COMPARISON.error:g} at most; nothing was written. Fit with dtype='float64', or write a file of the "
                "other kind",
                argument="path",
            )
    if found is None:
        warn(
            f'{place}: was not compared with the map, since onnxruntime is missing; pip install "brenier[export]", and '
            "export it again",
            DataWarning,
        )
    return Exported(
        place,
        what,
        len(content),
        tuple(names.inputs),
        tuple(names.outputs),
        found,
    )


def _checked_path(path: object) -> Path:
    """Return the path of a file to be written."""
    if not isinstance(path, str | os.PathLike):
        raise DataError(
            f"path: must be the path of a .pt2 or .onnx file, got {path!r}",
            argument="path",
        )
    place = Path(os.fsdecode(path))
    if place.suffix.lower() not in FILE_KINDS:
        raise DataError(
            f"path: {place} must end in {' or '.join(sorted(FILE_KINDS))}, which says what kind of file it is to be",
            argument="path",
        )
    if place.is_dir():
        raise DataError(
            f"path: {place} is a folder; name a file in it", argument="path"
        )
    return place


def _checked_what(what: object, transport: Exportable) -> str:
    """Return what is to be written."""
    if what not in WHAT:
        raise DataError(
            f"what: {what!r} is not known; choose one of {', '.join(WHAT)}",
            argument="what",
        )
    ground = getattr(transport, "ground", None)
    if what == "potential" and ground is not None and CostFacts.of(ground.cost).kink:
        raise DataError(
            f"what: the inverse of {ground.cost!r} minimises a function with kinks, of which a gradient does not tell "
            "the minimum; export the map alone, and invert by this library",
            argument="what",
        )
    return str(what)


def _checked_type(dtype: object) -> torch.dtype:
    """Return a type of inputs and outputs."""
    found = TYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise DataError(
            f"dtype: {dtype!r} is not known; choose one of {', '.join(TYPES)}",
            argument="dtype",
        )
    return found


def _tensor_names(subject: Subject) -> TensorNames:
    """Return what inputs and outputs are called."""
    conditions = getattr(subject.transport, "conditions", None)
    given = []
    if conditions is not None:
        given = ["label" if isinstance(conditions, Classes) else "covariates"]
    if subject.what == "map":
        return TensorNames(["x", *given], ["moved"])
    return TensorNames(["u", "z", *given], ["value", "gradient", "x", "start"])


def _metadata(
    subject: Subject, names: TensorNames, features: Sequence[str] | None
) -> dict[str, object]:
    """Return what a file tells of itself, as JSON holds it."""
    transport, d = subject.transport, subject.transport.dim
    ground = getattr(transport, "ground", None)
    metric = subject.coordinates.metric
    cost = "squared_euclidean" if metric is None else "mahalanobis"
    labels = getattr(transport, "labels", ()) or None
    return {
        "made_by": f"brenier {importlib.metadata.version('brenier')}",
        "format": EXPORT.format,
        "what": subject.what,
        "dimension": d,
        "features": None if features is None else list(map(str, features)),
        "labels": labels and list(labels),
        "cost": cost if ground is None else repr(ground.cost),
        "inputs": [f"{name}: {MEANINGS[name]}" for name in names.inputs],
        "outputs": [f"{name}: {MEANINGS[name]}" for name in names.outputs],
        "dtype": str(subject.dtype).removeprefix("torch."),
        "network_dtype": str(next(transport.network.parameters()).dtype).removeprefix(
            "torch."
        ),
        "units": "rows in and out are in the units of the data",
    }


MEANINGS = {
    "x": "(rows, d), source rows in the units of the data",
    "moved": "(rows, d), T(x) in the units of the data",
    "label": "(rows,) int64, the number of the class of every row, counted from 0 in the order of `labels`",
    "covariates": "(rows, p), in the units of the fit",
    "u": "(rows, d), points in the coordinates of the map",
    "z": "(rows, d), target rows in the units of the data, whose inverses are sought",
    "value": "(rows,), F(u), whose minimiser stands for the inverse",
    "gradient": "(rows, d), of F at u",
    "start": "(rows, d), a u to start at: that of z itself",
}
