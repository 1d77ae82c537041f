"""`brenier drift`: whether weeks have drifted from a reference, by how much, and in which features."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from brenier.apps.cli.console import ExitCode
from brenier.apps.cli.drift_inputs import (
    DriftWanted,
    naming_files,
    read_drift_table,
    tell_drift_tables,
)
from brenier.apps.cli.drift_told import tell_drift
from brenier.apps.cli.kept_reference import KeptReference
from brenier.datasets import GivenDialect, MixedTableLike
from brenier.errors import DataError
from brenier.report import Drift, DriftReference, drift

NO_CATEGORIES = ["none"]  # of --categorical: columns of text are left out


class ReadingRules(TypedDict, total=False):
    """How columns are compared, which a reference settles for all weeks; see `brenier.report.drift`."""

    columns: Sequence[str]
    categorical: Sequence[str] | str
    missing: str


class ComparingBy(TypedDict):
    """How a reference is fitted and compared; see `brenier.report.drift`."""

    map_: bool | str
    max_time: float | None
    seed: int
    verbose: bool


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
    level: float = 0.05,
    permutations: int = 999,
    with_map: bool = True,
    max_time: float | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> ExitCode:
    """Compare weeks with a reference; print the verdict and what moved, and write a report on request.

    Args:
        reference: a file, or the folder of a saved reference; None for that in `reference_model`.
        weeks: a file for each.
        out: a folder for the report and its pictures, or None.
        as_json: whether to print JSON.
        by: the column that says which week a row is of, where one file holds them all.
        columns, categorical, missing: see `brenier.report.drift`; `NO_CATEGORIES` leaves categories out.
        key: which array of .npz files.
        delimiter, decimal: signs between the fields of .csv files, and before fractions; None to find them out.
        reference_model: a folder that keeps the fitted reference for the next time, or None.
        level, permutations, max_time, seed: see `brenier.report.drift`.
        with_map: whether a map may be fitted, for the distance and the rows that moved.
        quiet: whether to leave out progress bars.

    Returns:
        `ExitCode.DRIFT` where any week has drifted.
    """
    _check_files(reference, weeks, reference_model, by, out)
    rules = _rules(columns, categorical, missing)
    named = [] if categorical in (None, NO_CATEGORIES) else list(categorical or ())
    wanted = DriftWanted(columns, named, by, key, GivenDialect(delimiter, decimal))
    map_: bool | str = "auto" if with_map else False
    fit = ComparingBy(map_=map_, max_time=max_time, seed=seed, verbose=not quiet)
    before = _reference(reference, reference_model, wanted, rules, fit)
    if isinstance(before, DriftReference):
        wanted, rules = _as_fitted(wanted, before), ReadingRules()
    files = _names_of(weeks)
    tables = {name: read_drift_table(path, wanted, True) for name, path in files.items()}  # fmt: skip
    tell_drift_tables({files[name]: table for name, table in tables.items()}, wanted)
    source = reference or reference_model
    with naming_files(_arguments(source, files)):
        found = drift(
            before,
            tables if len(weeks) > 1 else next(iter(tables.values())),
            by=by,
            level=level,
            permutations=permutations,
            **rules,
            **fit,
        )
    if isinstance(found, Drift):
        found = dataclasses.replace(found, name=next(iter(files)))
    told = weeks[0].name if len(weeks) == 1 else f"{len(weeks)} files"
    tell_drift(found, out, as_json, f"Drift of {told} from {source}")
    return ExitCode.DRIFT if found.drifted else ExitCode.OK


def _check_files(
    first: Path | None,
    weeks: Sequence[Path],
    folder: Path | None,
    by: str | None,
    out: Path | None,
) -> None:
    """Raise unless reference, weeks, the folder of a saved reference and that of the report go together."""
    if out is not None and out.exists() and not out.is_dir():
        raise DataError(f"--out: {out} is a file; give a folder")
    if first is None and folder is None:
        raise DataError(
            "WEEK: is missing; give a file of the reference, then one for each week"
        )
    if first is None and folder is not None and not folder.is_dir():
        raise DataError(
            f"--reference-model: there is no folder {folder}, and no REFERENCE to make it from; "
            "give the reference's file before the week's"
        )
    if first is not None and not first.exists():
        raise DataError(
            f"{first}: does not exist; give the path of a file, or the folder of a saved reference"
        )
    if first is not None and first.is_dir() and folder is not None:
        raise DataError(
            f"--reference-model: {first} is a saved reference already; leave it out"
        )
    if by is not None and len(weeks) > 1:
        raise DataError(
            f"--by: splits one file into weeks, but {len(weeks)} are given; give one, or leave it out"
        )


def _rules(
    columns: Sequence[str] | None,
    categorical: Sequence[str] | None,
    missing: str | None,
) -> ReadingRules:
    """Return how columns are compared, as far as the user says."""
    rules = ReadingRules()
    if columns is not None:
        rules["columns"] = columns
    if categorical is not None:
        leave_out = categorical == NO_CATEGORIES
        rules["categorical"] = "leave out" if leave_out else categorical
    if missing is not None:
        rules["missing"] = missing
    return rules


def _reference(
    first: Path | None,
    folder: Path | None,
    wanted: DriftWanted,
    rules: ReadingRules,
    fit: ComparingBy,
) -> MixedTableLike | DriftReference:
    """Return the table of the reference, or what was fitted to it and saved."""
    if first is None or first.is_dir():
        saved = folder if first is None else first
        if rules:
            raise DataError(
                f"--{next(iter(rules))}: is settled by the saved reference {saved}; leave it out"
            )
        return DriftReference.load(saved or Path())
    if folder is None:
        return _read_reference(first, wanted)

    def fitted() -> DriftReference:
        table = _read_reference(first, wanted)
        with naming_files({"reference": first}):
            return DriftReference.fit(table, **rules, **fit)

    how = {**dataclasses.asdict(wanted), **rules, "seed": fit["seed"]}
    return KeptReference(folder, first, how).fitted(fitted)


def _read_reference(path: Path, wanted: DriftWanted) -> MixedTableLike:
    """Return the table of the reference, after warnings about it."""
    table: MixedTableLike = read_drift_table(path, wanted)
    tell_drift_tables({path: table}, wanted)
    return table


def _as_fitted(wanted: DriftWanted, reference: DriftReference) -> DriftWanted:
    """Return what is read of weeks that are compared with a saved reference."""
    layout = reference.layout
    chosen = layout.names if layout.named and layout.chosen else None
    return dataclasses.replace(
        wanted, columns=None, features=chosen, categorical=layout.categorical
    )


def _names_of(weeks: Sequence[Path]) -> dict[str, Path]:
    """Return the weeks by their names: those of the files without suffixes, where these differ."""
    twice = [path for path, times in Counter(weeks).items() if times > 1]
    if twice:
        raise DataError(
            f"{twice[0]}: is given {weeks.count(twice[0])} times; give each week once"
        )
    short = [path.stem.removesuffix(".csv") for path in weeks]  # of x.csv.gz, too
    names = short if len(set(short)) == len(short) else list(map(str, weeks))
    return dict(zip(names, weeks, strict=True))


def _arguments(reference: Path | None, weeks: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files by the names that the library has for what they hold."""
    found = {f"current[{name!r}]": path for name, path in weeks.items()}
    if len(weeks) == 1:
        found = {"current": next(iter(weeks.values()))}
    return found if reference is None else {"reference": reference, **found}
