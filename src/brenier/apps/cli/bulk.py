"""`brenier transport` of many files, or by several processes; a single file is moved by `transport`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from brenier.apps.cli.console import ExitCode, convergence_code
from brenier.apps.cli.transport import transport
from brenier.apps.cli.unknown import UNKNOWN
from brenier.datasets import GivenDialect, is_pattern
from brenier.errors import DataError
from brenier.transport.maps.bulk import BulkReport
from brenier.transport.maps.bulk import transform as transform_files

# What arguments of `bulk.transform` are called on the command line.
FLAGS = {
    "source": "INPUT",
    "out": "OUTPUT",
    "t": "--interpolate",
    "invalid": "--invalid-rows",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("columns", "labels", "covariates", "status", "unknown_labels"),
            *("workers", "engine"),
        )
    },
}


class OfOneFile(TypedDict, total=False):
    """What `transport` takes of one file, and this of many."""

    inverse: bool
    interpolate: float | None
    columns: Sequence[str] | None
    key: str | None
    labels: str | None
    unknown_labels: str
    delimiter: str | None
    decimal: str | None
    quiet: bool


def transport_files(
    model: Path,
    input: str,
    output: str,
    *,
    covariates: Sequence[str] | None = None,
    workers: int | None = None,
    engine: str | None = None,
    status: str | None = None,
    invalid_rows: str | None = None,
    restart: bool = False,
    **options: Unpack[OfOneFile],
) -> ExitCode:
    """Move the rows of files: one to another as `transport` does, or those of a folder or pattern to a folder.

    Args:
        model: the folder that `fit` wrote.
        input: a file, a folder, or a pattern of files.
        output: a file, or a folder.
        covariates: the columns of the covariates, for a model with such.
        workers: processes, 1 by default.
        engine: "local" (the default) or "dask".
        status: the column that says how every row ended; in many files "status" by default, in one none.
        invalid_rows: "null" (the default) or "error".
        restart: whether to move again what an earlier run has finished.
        options: as `transport` takes them.
    """
    named = (covariates, workers, engine, status, invalid_rows)
    several = os.path.isdir(input) or is_pattern(input) or _is_folder(output)
    if not several and not restart and all(each is None for each in named):
        return transport(model, Path(input), Path(output), **options)
    if options.get("key") is not None:
        raise DataError("--key: names an array of one .npz file; leave it out")
    try:
        report = transform_files(
            model,
            input,
            output,
            engine=engine or "local",
            columns=options.get("columns"),
            workers=1 if workers is None else workers,
            inverse=options.get("inverse", False),
            t=options.get("interpolate"),
            labels=options.get("labels"),
            covariates=covariates,
            status=status or ("status" if several else None),
            invalid=invalid_rows or "null",
            unknown_labels=options.get("unknown_labels", UNKNOWN[0]),
            restart=restart,
            dialect=GivenDialect(options.get("delimiter"), options.get("decimal")),
            quiet=options.get("quiet", False),
        )
    except DataError as error:
        name, _, fault = str(error).partition(":")
        if name not in FLAGS:
            raise
        raise DataError(f"{FLAGS[name]}:{fault}") from error
    _print_report(report)
    counts = report.counts
    return convergence_code(counts.unconverged + counts.invalid, counts.rows)


def _is_folder(output: str) -> bool:
    """Say whether a path is that of a folder, which need not exist yet."""
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return output.endswith(separators) or os.path.isdir(output)


def _print_report(report: BulkReport) -> None:
    """Print what was done."""
    counts = report.counts
    files = "1 file" if report.files == 1 else f"{report.files:,} files"
    print(
        f"{counts.rows:,} rows of {files} moved, {counts.unconverged:,} unconverged, {counts.invalid:,} invalid; "
        f"written to {report.out}"
    )
    if report.skipped:
        print(f"{report.skipped:,} of these files had been finished by an earlier run")
