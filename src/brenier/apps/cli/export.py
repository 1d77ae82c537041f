"""`brenier export`: a saved map as one file of standard operations, that runs without this library."""

from __future__ import annotations

from pathlib import Path

from brenier.apps.cli.console import ExitCode, print_json
from brenier.estimators import load
from brenier.transport.maps import Exported


def export(
    model: Path,
    output: Path,
    *,
    what: str = "map",
    dtype: str = "float64",
    as_json: bool = False,
) -> ExitCode:
    """Write a saved map as a .pt2 or .onnx file; print what it takes and gives, and how far it differs from the map.

    Args:
        model: the folder that `fit` wrote.
        output: the file, whose suffix says of which kind it is.
        what: "map", or "potential", what an inverse minimises.
        dtype: of inputs and outputs.
        as_json: whether to print JSON.
    """
    found = load(model).export(output, what, dtype)
    difference = found.difference
    if as_json:
        print_json(
            {
                "file": str(found.path),
                "what": found.what,
                "bytes": found.size,
                "inputs": list(found.inputs),
                "outputs": list(found.outputs),
                "error": None if difference is None else difference.error,
                "error_far": None if difference is None else difference.far,
            }
        )
    else:
        print(_statement(found))
    return ExitCode.OK


def _statement(found: Exported) -> str:
    """Return what was written, for people."""
    inputs, outputs = ", ".join(found.inputs), ", ".join(found.outputs)
    told = f"{found.path}: {inputs} -> {outputs}, {found.size / 1000:,.0f} kB"
    if found.difference is None:
        return f"{told}; not compared with the map"
    return (
        f"{told}; differs from the map by {found.difference.error:.1e} of the spread of the data, of rows far outside "
        f"by {found.difference.far:.1e} of their distance"
    )
