"""How a scan is made: of which files, or of which dataset, and which of its columns are what."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from torch.utils.data import DataLoader, Dataset

from brenier.datasets.scans.files import scan_parts
from brenier.datasets.scans.lazy import Scan
from brenier.datasets.scans.parts import (
    ScanPart,
    check_alike,
    check_numbers,
    chosen_names,
)
from brenier.datasets.scans.settings import ScanSettings
from brenier.datasets.scans.torch_data import (
    DatasetPart,
    IterableRows,
    is_torch_data,
    torch_part,
)
from brenier.errors import DataError

# Names of columns, or their numbers where they have none.
Names: TypeAlias = Sequence[str | int]
# What a scan is made of: paths, patterns, folders, a dataset or a loader.
TorchData: TypeAlias = "Dataset[object] | DataLoader[object]"
ScanSource: TypeAlias = "str | Path | Sequence[str | Path] | TorchData"
NUMERIC = "numeric"


class Asked(NamedTuple):
    """Columns as a user names them."""

    columns: Names | str | None
    labels: str | int | None
    covariates: Names | str | int | None
    weight: str | int | None


def scan(
    source: ScanSource,
    *,
    columns: Names | str | None = None,
    labels: str | int | None = None,
    covariates: Names | str | int | None = None,
    weight: str | int | None = None,
    key: str | None = None,
    buffer_rows: int | None = None,
    settings: ScanSettings | None = None,
) -> Scan:
    """Return rows of files, or of a dataset, that are read when they are used and need not fit into memory.

    Args:
        source: the path of a file (`.parquet`; Arrow IPC as `.arrow`, `.ipc` or `.feather`; `.npy`; HDF5 as `.h5` or
            `.hdf5`), of a zarr array, or of a folder of files of one kind; a pattern such as `"in/*.parquet"`; several
            of these; or a dataset or loader of `torch.utils.data`, an item of which is a row, or a tuple or mapping
            with one.
        columns: the features, in this order; by default all columns that are not named otherwise. "numeric" takes those
            of numbers, and leaves others out. Arrays have numbers for names, and so have the entries of a tuple, of
            which the first is the default.
        labels, covariates, weight: the columns that hold these, as `OptimalTransport.fit` takes them. With labels or
            covariates, rows are drawn at random from all over the scan into memory, up to a million.
        key: which dataset of an HDF5 file, by default its only table.
        buffer_rows: rows that are shuffled together, by default as many as 32 MiB hold.
        settings: everything else about how rows are read.

    Raises:
        DataError: for a path that is not there, files that are empty, damaged or of different columns or types, columns
            that are missing or no numbers, and where an optional library is missing.
    """
    if isinstance(source, Scan):
        raise DataError("source: is a scan already; give the path that it was made of")
    chosen = settings or ScanSettings()
    if buffer_rows is not None:
        whole = isinstance(buffer_rows, int) and not isinstance(buffer_rows, bool)
        if not whole or buffer_rows < 1:
            raise DataError(
                f"buffer_rows: must be a whole number above 0, got {buffer_rows!r}"
            )
        chosen = dataclasses.replace(chosen, buffer_rows=buffer_rows)
    asked = Asked(columns, labels, covariates, weight)
    if not is_torch_data(source):
        parts = scan_parts(source, key)
        return _with_columns(Scan(parts, (), False, chosen), asked)
    found = torch_part(source, chosen)
    if isinstance(found, IterableRows):
        made = Scan((), (), False, chosen, iterable=found)
    else:
        made = Scan((found,), (), False, chosen)
    return _with_columns(made, asked)


def _with_columns(made: Scan, asked: Asked) -> Scan:
    """Return a scan with its columns chosen and checked."""
    first = made.iterable or made.parts[0]
    labels, covariates, weight = (
        chosen_names(_names_asked(given), first.fields, first.where, argument)
        for argument, given in (
            ("labels", asked.labels),
            ("covariates", asked.covariates),
            ("weight", asked.weight),
        )
    )
    for names, argument in ((labels, "labels"), (weight, "weight")):
        if len(names) > 1:
            raise DataError(
                f"{argument}: stands for {len(names)} columns, {names[0]!r} and others; name one",
                argument=argument,
            )
    if labels and covariates:
        raise DataError("labels, covariates: name labels or covariates, not both")
    features, left_out = _chosen_features(
        first, asked.columns, {*labels, *covariates, *weight}
    )
    for argument, names in (
        ("columns", features),
        ("covariates", covariates),
        ("weight", weight),
    ):
        check_numbers(names, first, argument)
    if made.parts:
        used = (*features, *labels, *covariates, *weight)
        check_alike(made.parts, used, asked.columns is None)
    return dataclasses.replace(
        made,
        columns=features,
        named=first.named,
        labels=labels[0] if labels else None,
        covariates=covariates or None,
        weight=weight[0] if weight else None,
        left_out=left_out,
    )


def _chosen_features(
    first: ScanPart | IterableRows, asked: Names | str | None, others: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the features, and the columns that are left out.

    Args:
        first: part.
        asked: as in `scan`.
        others: columns that are no features unless they are named.
    """
    left_out: tuple[str, ...] = ()
    if asked is None or asked == NUMERIC:
        rest = [field for field in first.fields if field.name not in others]
        if isinstance(first, DatasetPart | IterableRows) and first.tuples:
            rest = [each for each in rest if each.name.partition("[")[0] == "0"]
        if asked == NUMERIC:
            left_out = tuple(field.name for field in rest if not field.number)
        features = tuple(each.name for each in rest if each.name not in left_out)
    else:
        features = chosen_names(
            _names_asked(asked), first.fields, first.where, "columns"
        )
    if not features:
        raise DataError(
            f"columns: {first.where} has no column left for features; name some",
            argument="columns",
        )
    return features, left_out


def _names_asked(given: Names | str | int | None) -> list[str | int]:
    """Return the columns asked for as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, str | int) else list(given)
