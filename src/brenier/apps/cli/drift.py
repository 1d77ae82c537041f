"""`brenier drift`: whether weeks have drifted from a reference, by how much, and in which features."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brenier.apps.cli.console import ExitCode
from brenier.apps.cli.drift_inputs import (
    DriftWanted,
    naming_files,
    read_drift_table,
    tell_drift_tables,
)
from brenier.apps.cli.drift_told import tell_drift
from brenier.apps.cli.kept_reference import KeptReference
from brenier.datasets import GivenDialect
from brenier.errors import DataError
from brenier.report import Drift, DriftReference, drift

NO_CATEGORIES = ["none"]  # of --categorical: columns of text are left out


def drift_command(
    reference: Path | None,
    weeks: Sequence[Path],
    *,
    out: Path | None = None,
    as_json: bool = False,
    by: str | None = None,
    columns: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    missing: str | None = None,
    key: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    reference_model: Path | None = None,
    with_map: bool = True,
    quiet: bool = False,
    **settings: object,
) -> ExitCode:
    """Compare weeks with a reference; print the verdict and what moved, and write a report on request.

    Args:
        reference: a file, or the folder of a saved reference; None for that in `reference_model`.
        weeks: a file for each.
        out: a folder for the report and its pictures, or None.
        as_json: whether to print JSON.
        by: the column that says which week a row is of, where one file holds them all.
        columns: the features of tables, None for all columns.
        categorical: columns that hold categories whatever they look like, or `NO_CATEGORIES`; None to tell from the
            files.
        missing: what becomes of missing values: "error", "drop" or "fill"; None for the first.
        key: which array of .npz files.
        delimiter, decimal: signs between the fields of .csv files, and before fractions; None to find them out.
        reference_model: a folder that keeps the fitted reference for the next time, or None.
        with_map: whether a map may be fitted, for the distance and the rows that moved.
        quiet: whether to leave out progress bars.
        settings: `level`, `permutations`, `max_time` and `seed` of `brenier.report.drift`, those that were given.

    Returns:
        `ExitCode.DRIFT` where any week has drifted.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise DataError(f"--out: {out} is a file; give a folder")
    _check_files(reference, weeks, reference_model, by)
    names = [] if categorical in (None, NO_CATEGORIES) else list(categorical or ())
    dialect = GivenDialect(delimiter, decimal)
    wanted = DriftWanted(columns, names, by, key, dialect)
    given: dict[str, Any] = {"columns": columns, "missing": missing}
    given["categorical"] = "leave out" if categorical == NO_CATEGORIES else categorical
    how = {name: value for name, value in given.items() if value is not None}
    map_: bool | str = "auto" if with_map else False
    fit_by = {"map_": map_, "verbose": not quiet}
    before = _reference(reference, reference_model, wanted, how, {**settings, **fit_by})
    if isinstance(before, DriftReference):
        wanted, how = _as_fitted(wanted, before), {}
    tables = {path: read_drift_table(path, wanted, is_week=True) for path in weeks}
    tell_drift_tables(tables, wanted)
    named, source = _named(weeks), reference or reference_model
    current: Any = {name: tables[path] for name, path in named.items()}
    if len(weeks) == 1:
        current = tables[weeks[0]]
    with naming_files(_arguments(source, named)):
        found = drift(
            before,
            current,
            by=by,
            **how,
            **fit_by,
            **settings,
        )
    if isinstance(found, Drift):
        found = dataclasses.replace(found, name=next(iter(named)))
    title = f"Drift of {', '.join(path.name for path in weeks)}"
    tell_drift(found, out, as_json, f"{title} from {source}")
    return ExitCode.DRIFT if found.drifted else ExitCode.OK


def _check_files(
    first: Path | None, weeks: Sequence[Path], folder: Path | None, by: str | None
) -> None:
    """Raise unless reference, weeks and the folder of a saved reference go together."""
    if first is None and folder is None:
        raise DataError(
            "WEEK: is missing; give a file of the reference, then one for each week"
        )
    if first is None and folder is not None and not folder.is_dir():
        raise DataError(
            f"--reference-model: there is no folder {folder}, and no REFERENCE to make it from; "
            "give the reference's file before the week's"
        )
    if first is not None and first.is_dir() and folder is not None:
        raise DataError(
            f"--reference-model: {first} is a saved reference already; leave it out"
        )
    if by is not None and len(weeks) > 1:
        raise DataError(
            f"--by: splits one file into weeks, but {len(weeks)} are given; give one, or leave it out"
        )


def _reference(
    first: Path | None,
    folder: Path | None,
    wanted: DriftWanted,
    how: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Any:
    """Return the table of the reference, or what was fitted to it and saved."""
    saved = folder if first is None else first
    if saved is not None and (first is None or first.is_dir()):
        if how:
            raise DataError(
                f"--{next(iter(how))}: is settled by the saved reference {saved}; leave it out"
            )
        return DriftReference.load(saved)
    if first is None:
        return None

    def read() -> Any:
        table = read_drift_table(first, wanted)
        tell_drift_tables({first: table}, wanted)
        return table

    if folder is None:
        return read()

    def fit() -> DriftReference:
        with naming_files({"reference": first}):
            return DriftReference.fit(read(), **how, **fit_by)

    tested = ("level", "permutations")  # which a reference does not depend on
    fit_by = {name: value for name, value in settings.items() if name not in tested}
    told = {**dataclasses.asdict(wanted), **how, "seed": settings.get("seed", 0)}
    return KeptReference(folder, first, told).fitted(fit)


def _as_fitted(wanted: DriftWanted, reference: DriftReference) -> DriftWanted:
    """Return what is read of weeks that are compared with a saved reference."""
    layout = reference.layout
    chosen = layout.names if layout.named and layout.chosen else None
    return dataclasses.replace(
        wanted, columns=None, features=chosen, categorical=layout.categorical
    )


def _named(weeks: Sequence[Path]) -> dict[str, Path]:
    """Return the weeks by their names: those of the files without suffixes where they differ."""
    twice = [path for path, times in Counter(weeks).items() if times > 1]
    if twice:
        raise DataError(f"{twice[0]}: is given {weeks.count(twice[0])} times; give each week once")  # fmt: skip
    short = [Path(path.stem).stem if Path(path.stem).suffix == ".csv" else path.stem for path in weeks]  # fmt: skip
    names = short if len(set(short)) == len(short) else list(map(str, weeks))
    return dict(zip(names, weeks, strict=True))


def _arguments(reference: Path | None, named: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files by the names that the library has for what they hold."""
    found = {f"current[{name!r}]": path for name, path in named.items()}
    found |= named
    if len(named) == 1:
        found = {"current": next(iter(named.values()))}
    return found if reference is None else {"reference": reference, **found}
