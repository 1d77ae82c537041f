"""Both sides of `brenier fit`: files that are read now, or folders, patterns and large files that are gone through."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor

from brenier.apps.cli.console import note
from brenier.apps.cli.inputs import (
    INPUT,
    Wanted,
    as_features,
    read_pair,
    rename_arguments,
)
from brenier.apps.cli.labels import both_labels
from brenier.apps.cli.remarks import tell_tables
from brenier.apps.cli.rows import labelled_rows, random_rows
from brenier.apps.cli.weights import BothWeights, both_weights
from brenier.datasets import (
    NUMERIC,
    SCANNED,
    Samples,
    Scan,
    is_pattern,
    scan,
    table_of_scan,
)
from brenier.estimators import OptimalTransport
from brenier.report import REPORT

# The labels of all rows of either side.
BothLabels: TypeAlias = tuple[list[Hashable], list[Hashable]]


class ReportRows(NamedTuple):
    """Random rows of either side, float64, and their labels where the map has classes."""

    source: Tensor
    target: Tensor
    labels: BothLabels | None


class FitSides(Protocol):
    """Both sides of a fit."""

    def fit(self, ot: OptimalTransport) -> None:
        """Fit; errors name the file they are about."""
        ...

    def described(self) -> str:
        """Return what both hold, as a list."""
        ...

    def title(self) -> str:
        """Return the title of the report."""
        ...

    def rows(self, ot: OptimalTransport, seed: int) -> ReportRows:
        """Return random rows for the report."""
        ...


@dataclasses.dataclass(frozen=True)
class FileSides:
    """Two files.

    Attributes:
        source, target: their rows.
        classes: the labels of these, or None.
        weights: theirs.
    """

    source: Samples
    target: Samples
    classes: BothLabels | None
    weights: BothWeights

    def fit(self, ot: OptimalTransport) -> None:
        """Fit; errors name the file they are about."""
        source_labels, target_labels = self.classes or (None, None)
        with rename_arguments(self.source.path, self.target.path):
            ot.fit(
                as_features(self.source),
                as_features(self.target),
                source_labels=source_labels,
                target_labels=target_labels,
                source_weight=self.weights[0],
                target_weight=self.weights[1],
            )

    def described(self) -> str:
        """Return what both files hold, as a list."""
        return "\n".join(map(_describe_file, (self.source, self.target)))

    def title(self) -> str:
        """Return the title of the report."""
        return f"Transport map from {self.source.path.name} to {self.target.path.name}"

    def rows(self, ot: OptimalTransport, seed: int) -> ReportRows:
        """Return random rows for the report."""
        n, (x, z) = REPORT.max_rows, (self.source, self.target)
        if self.classes is None:
            return ReportRows(random_rows(x, n, seed), random_rows(z, n, seed), None)
        known = ot.labels_ or ()
        x_rows, x_labels = labelled_rows(x, self.classes[0], known, n, seed)
        z_rows, z_labels = labelled_rows(z, self.classes[1], known, n, seed)
        return ReportRows(x_rows, z_rows, (x_labels, z_labels))


@dataclasses.dataclass(frozen=True)
class ScanSides:
    """Two scans.

    Attributes:
        source, target: their rows, which are read when they are used.
        paths: as they were given.
    """

    source: Scan
    target: Scan
    paths: tuple[Path, Path]

    def fit(self, ot: OptimalTransport) -> None:
        """Fit; errors name the file they are about."""
        with rename_arguments(*self.paths):
            ot.fit(self.source, self.target)

    def described(self) -> str:
        """Return what both scans hold, as a list."""
        lines = []
        for side, path in zip((self.source, self.target), self.paths, strict=True):
            names = f": {', '.join(side.columns)}" if side.named else ""
            lines.append(
                f"* {path}: {side.size:,} rows in {len(side.parts):,} files, {side.dim} features{names}"
            )
        return "\n".join(lines)

    def title(self) -> str:
        """Return the title of the report."""
        return f"Transport map from {self.paths[0]} to {self.paths[1]}"

    def rows(self, ot: OptimalTransport, seed: int) -> ReportRows:
        """Return random rows for the report, the same for every seed."""
        found, labels = [], []
        known = set(ot.labels_ or ())
        for side in (self.source, self.target):
            settings = side.settings
            table = table_of_scan(side, REPORT.max_rows, settings.pooled_pieces)
            rows, own = table.rows.double(), table.labels
            if own is not None:
                kept = [row for row, label in enumerate(own) if label in known]
                rows, own = rows[kept], [own[row] for row in kept]
            found.append(rows)
            labels.append(own)
        first, second = labels
        both = None if first is None or second is None else (first, second)
        return ReportRows(found[0], found[1], both)


def fit_sides(
    source: Path,
    target: Path,
    wanted: Wanted,
    keys: tuple[str | None, str | None],
    quiet: bool,
) -> FitSides:
    """Return both sides of a fit; print what a user should know of them.

    Args:
        source, target: files; where one is a folder, a pattern or too large for memory, both are gone through.
        wanted: what is read of them.
        keys: which array of .npz files, or dataset of HDF5 files.
        quiet: whether to leave out what hides nothing.

    Raises:
        DataError: for files that cannot be used.
    """
    if is_scanned(source) or is_scanned(target):
        first, second = (
            _scan_of(path, wanted, weight, key, quiet)
            for path, weight, key in zip(
                (source, target), wanted.weights, keys, strict=True
            )
        )
        return ScanSides(first, second, (source, target))
    x, z = read_pair(source, target, wanted, *keys)
    tell_tables((x, z), quiet)
    weights = both_weights(x, z, wanted)
    classes = None
    if wanted.labels is not None:
        classes = both_labels(x, z, wanted.labels, wanted.dialect)
    return FileSides(x, z, classes, weights)


def is_scanned(path: Path) -> bool:
    """Say whether a path is gone through rather than read at once."""
    if path.is_dir() or is_pattern(path):
        return True
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in SCANNED:
        return False
    known = suffix in (
        ".npy",
        ".parquet",
    )  # which are read at once where they are small
    return not known or path.stat().st_size > INPUT.max_in_memory


def _scan_of(
    path: Path, wanted: Wanted, weight: str | None, key: str | None, quiet: bool
) -> Scan:
    """Return a side as a scan; print which of its columns are features."""
    columns = NUMERIC if wanted.columns is None else wanted.columns
    found = scan(path, columns=columns, labels=wanted.labels, weight=weight, key=key)
    if found.named and (found.left_out or not quiet):
        words = f"{path}: features {', '.join(found.columns[: INPUT.max_listed])}"
        if found.left_out:
            left_out = ", ".join(found.left_out[: INPUT.max_listed])
            words += f"; left out, since they are no numbers: {left_out}"
        note(words)
    return found


def _describe_file(samples: Samples) -> str:
    """Return what a file holds, as an item of a list."""
    rows, dim = samples.values.shape
    names = "" if samples.columns is None else f": {', '.join(samples.columns)}"
    return f"* {samples.path.name}: {rows} rows, {dim} features{names}"
