"""Tables with more columns than features: the features are moved, all other columns are written as they were read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brenier.apps.cli.inputs import INPUT, read_file
from brenier.atomic import replacing
from brenier.errors import DataError

UNNAMED = "Unnamed: 0"  # what pandas calls a row index written without a name


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and its features.

    Attributes:
        frame: all columns, a pandas frame; None where the file has no header and so no other columns.
        values: (n, d), the features.
        features: their d names, or None.
        path: the file.
    """

    frame: Any
    values: NDArray[Any]
    features: tuple[str, ...] | None
    path: Path

    @property
    def others(self) -> list[str]:
        """The columns that are no features."""
        if self.frame is None:
            return []
        features = self.features or ()
        return [name for name in self.frame.columns if name not in features]


def read_table(
    path: Path,
    columns: Sequence[str] | None,
    features: Sequence[str] | None,
    dim: int,
    output: Path,
    labels: str | None = None,
) -> Table:
    """Return a table and its features.

    Args:
        path: a .csv or .parquet file.
        columns: the features as the user names them, or None.
        features: the features as the model knows them, or None.
        dim: how many there must be.
        output: where the table will go; from .csv to .csv, text is kept letter by letter.
        labels: the column of the labels, which is no feature, or None.

    Raises:
        DataError: for a file that cannot be used, or that does not have the features.
    """
    samples = read_file(path, columns, features=features, labels=labels)
    found = samples.values.shape[1]
    if found != dim:
        names = ""
        if samples.columns is not None:
            names = f" ({', '.join(samples.columns[: INPUT.max_listed])})"
        raise DataError(
            f"{path}: has {found} numeric columns{names}, but the model has {dim} features; "
            "name those with --columns, in the order of the fit"
        )
    if samples.columns is None:
        return Table(None, samples.values, None, path)
    return Table(_all_columns(path, output), samples.values, samples.columns, path)


def write_table(path: Path, table: Table, moved: NDArray[np.floating]) -> None:
    """Write a table with its features moved (n, d), all columns in their order, whole or not at all.

    A table without a header is written without one, to .csv; to .parquet, columns are called x0, x1, ...
    """
    import pandas

    header: list[str] | bool
    if table.frame is None:
        numbered = [f"x{i}" for i in range(moved.shape[1])]
        frame, header = pandas.DataFrame(moved, columns=numbered), False
    else:
        columns = dict(zip(table.features or (), moved.T, strict=True))
        frame = table.frame.assign(**columns)
        header = ["" if name == UNNAMED else name for name in frame.columns]
    with replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            frame.to_csv(temporary, index=False, header=header)
        else:
            frame.to_parquet(temporary, engine="pyarrow")


def _all_columns(path: Path, output: Path) -> Any:
    """Return all columns of a table as a pandas frame; from .csv to .csv as text, which is then written as it was."""
    import pandas

    if path.suffix.lower() == ".parquet":
        frame = pandas.read_parquet(path, engine="pyarrow")
    elif output.suffix.lower() == ".csv":
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
    else:
        frame = pandas.read_csv(path, float_precision="round_trip", low_memory=False)
    frame.columns = [str(name) for name in frame.columns]
    return frame
