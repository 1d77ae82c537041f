"""Sample files as commands take them: two that belong together, checked; errors name file and column."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brenier.datasets import UNTOLD, GivenDialect, Samples, is_mapped, read_samples
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


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is read of files.

    Attributes:
        columns: the features of a table as the user names them, or None.
        labels: the column, or the array of a .npz file, that holds the labels and so is no feature.
        dialect: what the user says of how .csv files are written.
        features: the features as the model knows them, or None; taken where a table has names and no columns are given.
        weights: the columns, or arrays, of the weights of source and target, which are no features either.
    """

    columns: Sequence[str] | None = None
    labels: str | None = None
    dialect: GivenDialect = UNTOLD
    features: Sequence[str] | None = None
    weights: tuple[str | None, str | None] = (None, None)


def read_file(
    path: Path, wanted: Wanted, key: str | None = None, weight: str | None = None
) -> Samples:
    """Return the samples in a file; large .npy files stay on disk, everything else is read and checked now.

    Args:
        path: a .npy, .npz, .csv or .parquet file.
        wanted: what is read of it.
        key: which array of a .npz file.
        weight: the column, or the array, of its weights.

    Raises:
        DataError: for a file that cannot be used, or holds NaN or inf.
    """
    large = path.is_file() and path.stat().st_size > INPUT.max_in_memory
    if key is None:
        key = other_key(path, {"--labels": wanted.labels, "--weight": weight})
    samples = read_samples(
        path,
        columns=wanted.columns,
        key=key,
        mmap=large,
        labels=wanted.labels,
        weight=weight,
        features=wanted.features,
        dialect=wanted.dialect,
    )
    if not is_mapped(samples.values):
        remedy = "remove or impute those rows"
        if samples.columns is not None and not samples.named:
            remedy += ", or choose among the columns with --columns"
        check_file_rows(samples.values, path, samples.columns, remedy=remedy)
    return samples


def read_pair(
    source: Path,
    target: Path,
    wanted: Wanted,
    source_key: str | None,
    target_key: str | None,
) -> tuple[Samples, Samples]:
    """Return the samples of both sides, with the same features in the same order; arguments as in `read_file`.

    Raises:
        DataError: for a file that cannot be used, or sides that do not fit together.
    """
    x = read_file(source, wanted, source_key, wanted.weights[0])
    z = read_file(target, wanted, target_key, wanted.weights[1])
    if x.columns and z.columns and x.columns != z.columns:
        _check_same_columns(x, z)
        places = [z.columns.index(name) for name in x.columns]
        z = dataclasses.replace(z, values=z.values[:, places], columns=x.columns)
    check_dim(z, x.values.shape[1], f"{source} has")
    return x, z


def _check_same_columns(x: Samples, z: Samples) -> None:
    """Raise where a column is a feature in one of two tables only."""
    for with_it, without in ((x, z), (z, x)):
        reasons = dict(without.left_out)
        for name in with_it.columns or ():
            if name in reasons:
                raise DataError(
                    f"{without.path}: column {name!r} is left out ({reasons[name]}), and holds numbers in "
                    f"{with_it.path}; make it numbers in both, or leave it out: name the other columns with --columns"
                )
    odd = sorted(set(x.columns or ()) ^ set(z.columns or ()))
    if odd:
        raise DataError(
            f"{z.path}: its numeric columns differ from those of {x.path} ({', '.join(odd[:5])}); "
            "name the columns to use with --columns"
        )


def other_key(path: Path, named: Mapping[str, str | None]) -> str | None:
    """Return the one array of a .npz file that is not named; None where there is not exactly one.

    Args:
        path: the file.
        named: arrays that are no samples, by the flag that names them.

    Raises:
        DataError: where there is no array of such a name.
    """
    if not any(named.values()) or path.suffix.lower() != ".npz" or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
    except (ValueError, OSError):  # reading the samples says what is wrong
        return None
    for flag, name in named.items():
        if name is not None:
            check_array(path, names, name, flag)
    others = [name for name in names if name not in named.values()]
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
    """Turn errors about the arguments X and Y, their labels and weights, into errors about the files they came from."""
    files = {
        "X": str(source),
        "Y": str(target),
        "source_weight": str(source),
        "target_weight": str(target),
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


def check_array(
    path: Path, names: Sequence[str], wanted: str, flag: str = "--labels"
) -> None:
    """Raise a DataError where a .npz file has no array of the name that a flag gives."""
    if wanted not in names:
        raise DataError(
            f"{flag}: there is no array {wanted!r} in {path}, which holds {', '.join(names)}; name one"
        )
