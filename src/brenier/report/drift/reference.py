"""A reference that many later tables are compared with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from brenier.datasets import (
    CATEGORY,
    EMPTY,
    MixedTable,
    MixedTableLike,
    read_mixed,
)
from brenier.errors import DataError
from brenier.report.drift.encoding import encoded_pair
from brenier.report.drift.maps import MapOptions, map_between
from brenier.report.drift.margins import halves, margin_noise, noise_half
from brenier.report.drift.reading import (
    POLICIES,
    Layout,
    quoted,
    read_rows,
    rows_kept,
)
from brenier.report.drift.rules import ENCODING, ColumnRule, missing_rule, rule_for

AUTO, LEAVE_OUT = "auto", "leave out"


@dataclasses.dataclass(frozen=True)
class Noise:
    """How far features move where nothing has changed: between two halves of the reference.

    Attributes:
        half: rows of a half.
        moved: one figure for each feature.
    """

    half: int
    moved: tuple[float, ...]

    def floor(self, place: int) -> float:
        """Return the figure of a feature, but no less than the root mean square of all.

        One fit to two halves says little of one feature; in standard units noise is much the same for all.
        """
        squares = [each**2 for each in self.moved]
        return max(self.moved[place], math.sqrt(sum(squares) / len(squares)))


@dataclasses.dataclass(frozen=True, eq=False)
class DriftReference:
    """A reference table, as later tables are compared with it: `DriftReference.fit(table)`, once, for many weeks.

    It holds rows of the table, up to 200,000, which tests and maps need. Whoever has it, or the folder it is saved in,
    can read these rows.

    Attributes:
        layout: the columns that later tables must have.
        rules: how each feature is read.
        missing: the policy: "error", "drop" or "fill".
        left_out: columns that are not compared, and why.
        rows: of the table, those left out because of missing values not counted.
        dropped: rows left out because of missing values.
        sample: (n, features), rows of the table as `ColumnRule.read` returns them.
        margins: how far features taken alone move where nothing has changed.
        mapped: the same under a map, or None where no map was fitted.
        no_map: why not, in a sentence, or nothing.
        remarks: what else must be known, in sentences.
    """

    layout: Layout
    rules: tuple[ColumnRule, ...]
    missing: str
    left_out: dict[str, str]
    rows: int
    dropped: int
    sample: np.ndarray
    margins: Noise
    mapped: Noise | None = None
    no_map: str = ""
    remarks: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        reference: MixedTableLike,
        *,
        columns: Sequence[str] | str | None = None,
        categorical: Sequence[str] | str = AUTO,
        missing: str = "error",
        map_: bool | str = AUTO,
        max_time: float | None = None,
        seed: int = 0,
        verbose: bool = False,
    ) -> DriftReference:
        """Return the reference that a table is.

        Args:
            reference: a frame of pandas, polars or pyarrow, an array or tensor (n, d), or a sequence of rows.
            columns: those to compare; None for all that hold numbers or categories.
            categorical: "auto": columns of text, and of true and false, are categories; names: these columns are, too,
                though they hold numbers; "leave out": no column of categories is compared.
            missing: "error": a missing value is an error; "drop": its row is left out; "fill": the median or the most
                frequent category takes its place, and whether it was missing is a feature of its own.
            map_: whether maps are fitted: "auto" where rows and columns allow; see `drift`.
            max_time: seconds for a map, or None for a number of steps, which makes results the same every time.
            seed: of rows drawn, and of the map.
            verbose: whether a progress bar is shown.

        Raises:
            DataError: for a table that cannot be used, for columns that are not there, and where there is none to
                compare.
        """
        check_choices(missing, map_)
        table = read_mixed(reference, "reference", named_categories(categorical))
        chosen = chosen_table(table, columns, categorical)
        found = _fitted_reference(
            cls, chosen, columns is not None, categorical, missing, seed
        )
        options = MapOptions(map_, False, max_time, seed, verbose)
        return found.with_map_noise(options)

    def with_map_noise(self, options: MapOptions) -> DriftReference:
        """Return the reference with the noise of displacements under maps, as two halves of it show it."""
        if options.wanted is False or self.mapped is not None or self.no_map:
            return self
        generator = torch.Generator().manual_seed(options.seed)
        first, second = halves(len(self.sample), generator)
        pair = encoded_pair(
            self.rules, self.sample[first], self.sample[second], with_new=False
        )
        found = map_between(pair, options, generator)
        if isinstance(found, str):
            return dataclasses.replace(self, no_map=found)
        moved = pair.of_features(found.moved, len(self.rules))
        noise = Noise(min(found.rows), tuple(moved.tolist()))
        return dataclasses.replace(self, mapped=noise)

    @property
    def encoding(self) -> str:
        """How figures count numbers and categories, in sentences."""
        return ENCODING

    def save(self, folder: str | Path) -> None:
        """Write the reference to a folder, whole or not at all. Whoever reads the folder can read the rows kept.

        Raises:
            DataError: where the folder is no path.
            OSError: where it cannot be written; what was there before stays.
        """
        from brenier.report.drift.reference_files import save_reference

        save_reference(folder, self)

    @classmethod
    def load(cls, folder: str | Path) -> DriftReference:
        """Return the reference saved in a folder.

        Raises:
            DataError: where the folder is no path.
            ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
        """
        from brenier.report.drift.reference_files import load_reference

        return load_reference(folder)


def _fitted_reference(
    cls: type[DriftReference],
    table: MixedTable,
    chosen: bool,
    categorical: Sequence[str] | str,
    missing: str,
    seed: int,
) -> DriftReference:
    """Return a reference without maps."""
    generator = torch.Generator().manual_seed(seed)
    filled = missing == "fill"
    left_out = _left_out(table, chosen, categorical)
    used = [name for name in table.names if name not in left_out]
    kept = rows_kept(table, used, missing)
    whole = table if kept is None else table.take(kept)
    if not whole.rows:
        raise DataError(
            "reference: has no rows without missing values; give more rows, or leave columns out with `columns`",
            argument="reference",
        )
    rules = []
    for name in used:
        rule = rule_for(whole.column(name), filled)
        if isinstance(rule, str):
            _refuse_if(chosen, name, rule)
            left_out[name] = rule
            continue
        rules.append(rule)
        if filled:
            rules.append(missing_rule(whole.column(name)))
    if not rules:
        why = "; ".join(f"{name!r} {reason}" for name, reason in left_out.items())
        raise DataError(
            f"reference: has no column to compare ({why}); give numbers or categories",
            argument="reference",
        )
    rows = read_rows(whole, rules, None, generator)
    return cls(
        layout=Layout(table.names, table.named, chosen, named_categories(categorical)),
        rules=tuple(rules),
        missing=missing,
        left_out=left_out,
        rows=rows.rows,
        dropped=table.rows - whole.rows,
        sample=rows.values,
        margins=Noise(
            noise_half(len(rows.values)), margin_noise(rules, rows.values, generator)
        ),
        remarks=tuple(_remarks(rules)),
    )


def check_choices(missing: object, map_: object) -> None:
    """Raise unless the policy of missing values and the wish for a map are known."""
    if missing not in POLICIES:
        raise DataError(
            f"missing: is {missing!r}; give one of {', '.join(map(repr, POLICIES))}",
            argument="missing",
        )
    if not (isinstance(map_, bool) or map_ == AUTO):
        raise DataError(
            f"map_: is {map_!r}; give True, False or {AUTO!r}", argument="map_"
        )


def named_categories(categorical: Sequence[str] | str) -> tuple[str, ...]:
    """Return the columns named as categories."""
    if isinstance(categorical, str):
        return () if categorical in (AUTO, LEAVE_OUT) else (categorical,)
    return tuple(categorical)


def chosen_table(
    table: MixedTable,
    columns: Sequence[str] | str | None,
    categorical: Sequence[str] | str,
) -> MixedTable:
    """Return the columns of a table that the user named, all where none are.

    Raises:
        DataError: for a name that no column has.
    """
    wanted = [columns] if isinstance(columns, str) else columns
    named = {"columns": wanted or (), "categorical": named_categories(categorical)}
    for argument, names in named.items():
        unknown = [name for name in names if name not in table.names]
        if unknown:
            raise DataError(
                f"{argument}: there is no {quoted(unknown)} in {table.argument}, which has {quoted(table.names)}; name "
                "some of these",
                argument=argument,
            )
    if wanted is None:
        return table
    if not wanted:
        raise DataError("columns: is empty; name one at least", argument="columns")
    chosen = tuple(table.column(name) for name in dict.fromkeys(wanted))
    return dataclasses.replace(table, columns=chosen)


def _left_out(
    table: MixedTable, chosen: bool, categorical: Sequence[str] | str
) -> dict[str, str]:
    """Return columns that are left out because of what they hold, and why."""
    left_out = {}
    for column in table.columns:
        if column.kind == CATEGORY and categorical == LEAVE_OUT:
            left_out[column.name] = "holds categories, which were to be left out"
        elif column.kind == EMPTY:
            left_out[column.name] = "all its values are missing in the reference"
        else:
            reason = None if column.kind in ("number", CATEGORY) else rule_for(column, False)  # fmt: skip
            if isinstance(reason, str):
                _refuse_if(chosen, column.name, reason)
                left_out[column.name] = reason
    return left_out


def _refuse_if(chosen: bool, name: str, reason: str) -> None:
    """Raise where a column that the user named cannot be compared."""
    if chosen:
        raise DataError(
            f"columns: {name!r} {reason}; name other columns", argument="columns"
        )


def _remarks(rules: Sequence[ColumnRule]) -> list[str]:
    """Return what must be known of how columns are read."""
    remarks = []
    rare = [rule.name for rule in rules if len(rule.levels) > rule.kept]
    if rare:
        remarks.append(
            f"Of {quoted(rare)} the most frequent categories are looked at one by one, all others together."
        )
    robust = [rule.name for rule in rules if rule.robust]
    if robust:
        remarks.append(
            f"Wild rows make the standard deviation of {quoted(robust)} large: the scale is that of the quartiles."
        )
    return remarks
