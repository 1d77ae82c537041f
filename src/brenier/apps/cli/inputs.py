"""Sample files as commands take them: two that belong together, checked; errors name file and column."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brenier.datasets import TABLES, Samples, is_mapped, read_frame, read_samples
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class InputSettings:
    """How files are read.

    Attributes:
        max_in_memory: bytes of a .npy file above which it stays on disk, and its rows are read when they are used.
        max_listed: column names that a message lists.
    """

    max_in_memory: int = 2**30
    max_listed: int = 30


INPUT = InputSettings()


def read_file(
    path: Path,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    features: Sequence[str] | None = None,
    labels: str | None = None,
) -> Samples:
    """Return the samples in a file; large .npy files stay on disk, everything else is read and checked now.

    Args:
        path: a .npy, .npz, .csv or .parquet file.
        columns: the features of a table as the user names them, or None.
        key: which array of a .npz file.
        features: the features as the model knows them, or None; taken where a table has names and no columns are given.
        labels: the column, or the array of a .npz file, that holds the labels and so is no feature.

    Raises:
        DataError: for a file that cannot be used, or holds NaN or inf.
    """
    large = path.is_file() and path.stat().st_size > INPUT.max_in_memory
    if key is None:
        key = other_key(path, labels)
    samples = read_samples(path, columns=columns, key=key, mmap=large)
    unchosen = columns is None and samples.columns is not None
    if unchosen and labels is not None:
        samples = _without_column(samples, labels)
    if unchosen and features is not None:
        samples = _columns_of_model(samples, features)
    if not is_mapped(samples.values):
        remedy = "remove or impute those rows"
        if unchosen and features is None:
            remedy += ", or choose among the columns with --columns"
        check_file_rows(samples.values, path, samples.columns, remedy=remedy)
    return samples


def read_pair(
    source: Path,
    target: Path,
    columns: Sequence[str] | None,
    source_key: str | None,
    target_key: str | None,
    features: Sequence[str] | None = None,
    labels: str | None = None,
) -> tuple[Samples, Samples]:
    """Return the samples of both sides, with the same features in the same order; arguments as in `read_file`.

    Raises:
        DataError: for a file that cannot be used, or sides that do not fit together.
    """
    x = read_file(source, columns, source_key, features, labels)
    z = read_file(target, columns, target_key, features, labels)
    if x.columns and z.columns and x.columns != z.columns:
        odd = sorted(set(x.columns) ^ set(z.columns))
        if odd:
            raise DataError(
                f"{target}: its numeric columns differ from those of {source} ({', '.join(odd[:5])}); "
                "name the columns to use with --columns"
            )
        z = read_file(target, x.columns, target_key)
    check_dim(z, x.values.shape[1], f"{source} has")
    return x, z


def label_column(path: Path, name: str, rows: int) -> list[Hashable]:
    """Return the labels of a file's rows: a column of a table, or an array (n,) of a .npz file.

    Raises:
        DataError: where there are none of that name, or not one per row.
    """
    kind = path.suffix.lower()
    if kind in TABLES:
        values = _table_column(path, name)
    elif kind == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            _check_array(path, archive.files, name)
            values = archive[name].tolist()
    else:
        raise DataError(
            f"--labels: {path} holds one array and no labels; give a table, or a .npz file with both"
        )
    if len(values) != rows:
        raise DataError(
            f"--labels: {name!r} in {path} has {len(values)} labels for {rows} rows; give one per row"
        )
    return values


def other_key(path: Path, labels: str | None) -> str | None:
    """Return the one array of a .npz file other than that of the labels; None where there is not exactly one.

    Raises:
        DataError: where there is no array of labels.
    """
    if labels is None or path.suffix.lower() != ".npz" or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
    except (ValueError, OSError):  # reading the samples says what is wrong
        return None
    _check_array(path, names, labels)
    others = [name for name in names if name != labels]
    return others[0] if len(others) == 1 else None


def check_dim(samples: Samples, dim: int, who: str) -> None:
    """Raise a DataError unless samples have d features; `who` says what asks for them, as in "the model has"."""
    found = samples.values.shape[1]
    if found != dim:
        raise DataError(
            f"{samples.path}: has {found} features, but {who} {dim}; give files with the same features"
        )


def check_file_rows(
    values: NDArray[np.generic],
    path: Path,
    columns: Sequence[str] | None = None,
    first_row: int = 0,
    remedy: str = "remove or impute those rows",
) -> None:
    """Raise a DataError that names file, column and row where rows of a file hold NaN or inf.

    Args:
        values: (n, d), some rows of the file.
        path: the file.
        columns: d names of features, or None.
        first_row: the number of the first of these rows in the file.
        remedy: what to do.
    """
    if values.dtype.kind != "f" or np.isfinite(values.sum()):
        return
    bad = ~np.isfinite(values)
    if not bad.any():
        return  # the sum overflowed, not the values
    row, column = np.argwhere(bad)[0]
    name = column if columns is None else repr(columns[column])
    raise DataError(
        f"{path}: {int(bad.any(1).sum())} of {len(values)} rows hold NaN or inf, the first is row {first_row + row} in "
        f"column {name} (counted from 0); {remedy}"
    )


def as_features(samples: Samples) -> Any:
    """Return what the estimator takes: a frame where the columns have names, else the array."""
    if samples.columns is None:
        return samples.values
    import pandas

    return pandas.DataFrame(samples.values, columns=list(samples.columns))


@contextlib.contextmanager
def rename_arguments(source: Path, target: Path) -> Iterator[None]:
    """Turn errors about the arguments X and Y, and about their labels, into errors about the files they came from."""
    files = {
        "X": str(source),
        "Y": str(target),
        "source_labels": str(source),
        "target_labels": str(target),
    }
    try:
        yield
    except DataError as error:
        arguments = [] if error.argument is None else error.argument.split(", ")
        if not arguments or not files.keys() >= set(arguments):
            raise
        names = " and ".join(files[argument] for argument in arguments)
        raise error.for_argument(names) from error


def _table_column(path: Path, name: str) -> list[Hashable]:
    """Return one column of a table."""
    frame, has_names = read_frame(path)
    if not has_names:
        raise DataError(
            f"--labels: {path} has no header; name its columns in a first line"
        )
    if name not in frame.columns:
        known = ", ".join(frame.columns[: INPUT.max_listed])
        raise DataError(
            f"--labels: there is no column {name!r} in {path}, which has {known}"
        )
    values: list[Hashable] = frame[name].tolist()
    return values


def _check_array(path: Path, names: Sequence[str], labels: str) -> None:
    """Raise a DataError where a .npz file has no array of labels."""
    if labels not in names:
        raise DataError(
            f"--labels: there is no array {labels!r} in {path}, which holds {', '.join(names)}; name one"
        )


def _without_column(samples: Samples, name: str) -> Samples:
    """Return samples without one column, or as they are where it is not among the features."""
    names = samples.columns or ()
    if name not in names:
        return samples
    kept = tuple(column for column in names if column != name)
    places = [i for i, column in enumerate(names) if column != name]
    return Samples(samples.values[:, places], kept, samples.path)


def _columns_of_model(samples: Samples, features: Sequence[str]) -> Samples:
    """Return the columns that the model was fitted on, in its order."""
    names = samples.columns or ()
    missing = [name for name in features if name not in names]
    if missing:
        raise DataError(
            f"{samples.path}: has no numeric column {missing[0]!r}, a feature of the model "
            f"({', '.join(features[: INPUT.max_listed])}); rename its columns, or name those to use with --columns"
        )
    places = [names.index(name) for name in features]
    return Samples(samples.values[:, places], tuple(features), samples.path)
