"""Sample files as commands take them: two that belong together, checked, faults told by file and column."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brenier.datasets import (
    TABLES,
    Samples,
    is_mapped,
    listed,
    read_frame,
    read_samples,
)
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.transport.maps import ConditionalMap

MAPPED = 2**30  # bytes of a .npy file above which it is left on disk


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
    large = path.is_file() and path.stat().st_size > MAPPED
    samples = read_samples(
        path,
        columns=columns,
        key=other_key(path, labels) if key is None else key,
        mmap=large,
    )
    if columns is None and labels in (samples.columns or ()):
        kept = [i for i, name in enumerate(samples.columns or ()) if name != labels]
        samples = Samples(
            samples.values[:, kept],
            tuple(name for name in samples.columns or () if name != labels),
            path,
        )
    if columns is None and features is not None and samples.columns is not None:
        samples = _of_model(samples, features)
    if not is_mapped(samples.values):
        unchosen = samples.columns is not None and columns is None and features is None
        remedy = "remove or impute those rows" + (
            ", or choose among the columns with --columns" if unchosen else ""
        )
        check_finite(samples.values, path, samples.columns, remedy=remedy)
    return samples


def read_labels(path: Path, name: str, rows: int) -> list[Any]:
    """Return the labels of a file's rows: a column of a table, or an array (n,) of a .npz file.

    Raises:
        DataError: where there are none of that name, or not one per row.
    """
    if path.suffix.lower() in TABLES:
        frame, named = read_frame(path)
        if not named:
            raise DataError(
                f"--labels: {path} has no header; name its columns in a first line"
            )
        if name not in frame.columns:
            raise DataError(
                f"--labels: there is no column {name!r} in {path}, which has {', '.join(frame.columns[:30])}"
            )
        values: list[Any] = frame[name].tolist()
    elif path.suffix.lower() == ".npz":
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
    """Return the one array of a .npz file beside that of the labels, None where it is not so.

    Raises:
        DataError: where there is no array of labels.
    """
    if labels is None or path.suffix.lower() != ".npz" or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
    except (ValueError, OSError):  # whoever reads the samples says what is wrong
        return None
    _check_array(path, names, labels)
    others = [name for name in names if name != labels]
    return others[0] if len(others) == 1 else None


def _check_array(path: Path, names: Sequence[str], labels: str) -> None:
    if labels not in names:
        raise DataError(
            f"--labels: there is no array {labels!r} in {path}, which holds {', '.join(names)}; name one"
        )


def _of_model(samples: Samples, features: Sequence[str]) -> Samples:
    """Return the columns that the model was fitted on, in its order."""
    names = samples.columns or ()
    missing = [name for name in features if name not in names]
    if missing:
        raise DataError(
            f"{samples.path}: has no numeric column {missing[0]!r}, a feature of the model "
            f"({', '.join(features[:30])}); rename its columns, or name those to use with --columns"
        )
    chosen = [names.index(name) for name in features]
    return Samples(samples.values[:, chosen], tuple(features), samples.path)


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


def check_dim(samples: Samples, dim: int, who: str) -> None:
    """Raise a DataError unless samples have d features; `who` says what asks for them, as in "the model has"."""
    found = samples.values.shape[1]
    if found != dim:
        raise DataError(
            f"{samples.path}: has {found} features, but {who} {dim}; give files with the same features"
        )


def check_finite(
    values: NDArray[Any],
    path: Path,
    columns: Sequence[str] | None = None,
    first_row: int = 0,
    remedy: str = "remove or impute those rows",
) -> None:
    """Raise a DataError that names file, column and row where values (n, d) hold NaN or inf."""
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


def check_labels(ot: OptimalTransport, labels: str | None, model: Path) -> None:
    """Raise a DataError where a model with classes is given no labels, one without some, or one wants covariates."""
    if isinstance(ot.map_, ConditionalMap) and ot.labels_ is None:
        raise DataError(
            f"{model}: was fitted with covariates, which cannot be given here; in Python: "
            "brenier.load(folder).transform(X, covariates=...)"
        )
    if (labels is None) != (ot.labels_ is None):
        known = "" if ot.labels_ is None else f" ({listed(ot.labels_)})"
        raise DataError(
            f"--labels: {model} was fitted {'with' if labels is None else 'without'} classes{known}; "
            + ("name the column that holds them" if labels is None else "leave it out")
        )


def features_of(ot: OptimalTransport) -> tuple[str, ...] | None:
    """Return the names of the features a model was fitted on, if they had any."""
    names = getattr(ot, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def as_features(samples: Samples) -> Any:
    """Return what the estimator takes: a frame where the columns have names, else the array."""
    if samples.columns is None:
        return samples.values
    import pandas

    return pandas.DataFrame(samples.values, columns=list(samples.columns))


def some_rows(samples: Samples, n: int, seed: int) -> torch.Tensor:
    """Return at most n random rows in float64, in their order: (min(n, rows), d).

    Raises:
        DataError: where a row of a file left on disk holds NaN or inf.
    """
    return _rows_at(samples, np.arange(len(samples.values)), n, seed)[0]


def labelled_rows(
    samples: Samples,
    labels: Sequence[Any],
    known: Sequence[Hashable],
    n: int,
    seed: int,
) -> tuple[torch.Tensor, list[Any]]:
    """Return at most n random rows of known classes in float64, in their order, and their labels."""
    among = set(known)
    rows, index = _rows_at(
        samples,
        np.array([i for i, label in enumerate(labels) if label in among], int),
        n,
        seed,
    )
    return rows, [labels[i] for i in index]


def _rows_at(
    samples: Samples, index: NDArray[Any], n: int, seed: int
) -> tuple[torch.Tensor, NDArray[Any]]:
    """Return at most n of some rows, and which."""
    if len(index) > n:
        index = np.sort(np.random.default_rng(seed).choice(index, n, replace=False))
    values = (
        samples.values if len(index) == len(samples.values) else samples.values[index]
    )
    check_finite(values, samples.path, samples.columns)
    return torch.from_numpy(np.array(values, dtype=np.float64)), index


@contextlib.contextmanager
def named(source: Path, target: Path) -> Iterator[None]:
    """Tell faults of the arguments X and Y, and of their labels, as faults of the files they came from."""
    files = {
        "X": str(source),
        "Y": str(target),
        "source_labels": str(source),
        "target_labels": str(target),
    }
    try:
        yield
    except DataError as error:
        message = re.sub(
            r"^(X, Y|X|Y|source_labels, target_labels|source_labels|target_labels)(?=:)",
            lambda found: _files(found[0], files),
            str(error),
        )
        raise type(error)(message) from error


def _files(arguments: str, files: dict[str, str]) -> str:
    return " and ".join(files[name] for name in arguments.split(", "))
