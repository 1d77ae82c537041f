"""What `fit` was given of either side beside its samples, checked and joined to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence

import torch

from brenier.datasets import (
    LabelsLike,
    Population,
    Rows,
    TableLike,
    WeightsLike,
    alike_as_text,
    grouped,
    listed,
    names_of,
    read_covariates,
    read_labels,
    with_weights,
)
from brenier.errors import DataError, DataWarning, warn
from brenier.estimators.by_class import ClassPlan
from brenier.estimators.by_covariate import CovariatePlan
from brenier.estimators.covariate_checks import GivenCovariates, check_covariates
from brenier.transport.coordinates import CovariateRows
from brenier.transport.maps import label_fault


@dataclasses.dataclass(frozen=True)
class GivenConditions:
    """Labels or covariates of either side, and the weights of its rows, as a user gives them."""

    source_labels: LabelsLike | None = None
    target_labels: LabelsLike | None = None
    source_covariates: TableLike | None = None
    target_covariates: TableLike | None = None
    source_weight: WeightsLike | None = None
    target_weight: WeightsLike | None = None

    def kind(self) -> str | None:
        """Return "labels", "covariates" or None.

        Raises:
            DataError: where both are given.
        """
        labels = self.source_labels is not None or self.target_labels is not None
        covariates = (
            self.source_covariates is not None or self.target_covariates is not None
        )
        if labels and covariates:
            raise DataError(
                "source_labels, source_covariates: give labels or covariates, not both; a class can be a covariate of "
                "zeros and ones, or have a fit of its own"
            )
        if labels:
            return "labels"
        return "covariates" if covariates else None

    def nothing(self) -> bool:
        """Return whether nothing at all was given beside the samples."""
        return all(value is None for value in vars(self).values())

    def weighted(
        self, source: Population, target: Population
    ) -> tuple[Population, Population]:
        """Return both sides with the weights of their rows.

        Raises:
            DataError: for weights that cannot be used, or beside covariates.
        """
        given = self.source_weight is not None or self.target_weight is not None
        if given and self.kind() == "covariates":
            raise DataError(
                "source_weight, target_weight: cannot be given with covariates; leave them out, or fit with labels, "
                "each of a range of the covariate"
            )
        x = with_weights(source, self.source_weight, "source_weight")
        return x, with_weights(target, self.target_weight, "target_weight")


def class_plan(
    source: Population, target: Population, given: GivenConditions
) -> ClassPlan:
    """Return both sides of every class that both have; warn of rows whose class only one side has.

    Args:
        source, target: tables.
        given: one label per row; None on one side where all its rows belong to every class.

    Raises:
        DataError: for labels that cannot be used, endless populations, or sides that share no class.
    """
    of_source = _grouped(source, given.source_labels, "source_labels")
    of_target = _grouped(target, given.target_labels, "target_labels")
    first = of_source.groups or of_target.groups or {}
    second = of_target.groups or of_source.groups or {}
    common = tuple(label for label in first if label in second)
    odd = [
        label for label in (*first, *second) if not (label in first and label in second)
    ]
    _check_types(first, second)
    if not common:
        raise DataError(
            f"source_labels, target_labels: share no class ({listed(tuple(first))} and {listed(tuple(second))}); "
            "transport goes from a class to the same class, so name them alike on both sides",
            argument="source_labels, target_labels",
        )
    if odd:
        warn(
            f"source_labels, target_labels: only one side has {listed(tuple(odd))}; those rows are left out, and such "
            "labels cannot be transported",
            DataWarning,
        )
    _warn_of_unsaveable(common)
    pairs = [(of_source.of_class(label), of_target.of_class(label)) for label in common]
    return ClassPlan(pairs, common)


def _check_types(first: Iterable[Hashable], second: Iterable[Hashable]) -> None:
    """Raise where a label of one side and one of the other read the same and are of different types."""
    others = set(second)
    odd = [label for label in first if label not in others]
    alike = alike_as_text(odd, others)
    if alike is None:
        return
    label, other = alike
    raise DataError(
        f"source_labels, target_labels: the source has {label!r} ({type(label).__name__}) and the target {other!r} "
        f"({type(other).__name__}), which read the same and are not equal; give both sides the same type, such as "
        "[str(label) for label in labels]",
        argument="source_labels, target_labels",
    )


def _warn_of_unsaveable(labels: Sequence[Hashable]) -> None:
    """Warn of labels that a saved model cannot hold."""
    for label in labels:
        fault = label_fault(label)
        if fault is not None:
            warn(
                f"source_labels, target_labels: {fault}, so the fitted map cannot be saved; give labels that are "
                "strings, numbers or tuples of these where it is to be",
                DataWarning,
            )
            return


@dataclasses.dataclass(frozen=True)
class _GroupedRows:
    """A side, and its rows by label, or None where all its rows belong to every class."""

    side: Rows
    groups: dict[Hashable, list[int]] | None

    def of_class(self, label: Hashable) -> Rows:
        """Return the rows of a class."""
        if self.groups is None:
            return self.side
        return dataclasses.replace(self.side, index=torch.tensor(self.groups[label]))


def _grouped(side: Population, labels: LabelsLike | None, name: str) -> _GroupedRows:
    """Return a side by its labels."""
    if not isinstance(side, Rows):
        raise DataError(
            f"{side.name}: a function that draws samples has no labels; give an array with one per row"
        )
    if labels is None:
        return _GroupedRows(side, None)
    found = read_labels(labels, name, side.values.shape[0])
    groups = grouped(found)
    if side.index is not None:  # rows of weight zero are left out
        counting = torch.zeros(len(found), dtype=torch.bool)
        counting[side.index] = True
        kept = {
            label: [row for row in rows if counting[row]]
            for label, rows in groups.items()
        }
        groups = {label: rows for label, rows in kept.items() if rows}
    return _GroupedRows(side, groups)


def covariate_plan(
    source: Population, target: Population, given: GivenConditions
) -> CovariatePlan:
    """Return both sides with their covariates.

    Args:
        source, target: tables in memory.
        given: covariates (n, p), or (n,); None on one side where they do not matter to it.

    Raises:
        DataError: for covariates that cannot be used, populations that are no tables, or ranges that do not overlap.
    """
    x = _with_covariates(source, given.source_covariates, "source_covariates")
    z = _with_covariates(target, given.target_covariates, "target_covariates")
    if x.covariates is not None and z.covariates is not None:
        first, second = x.covariates, z.covariates
        if first.shape[1] != second.shape[1]:
            raise DataError(
                f"target_covariates: has {second.shape[1]} columns, source_covariates {first.shape[1]}; give the same"
            )
    sides = []
    for argument, values, rows in (
        ("source_covariates", given.source_covariates, x),
        ("target_covariates", given.target_covariates, z),
    ):
        if rows.covariates is not None:
            names = names_of(values)
            sides.append(GivenCovariates(argument, rows.covariates, names))
    check_covariates(sides)
    return CovariatePlan(x, z)


def _with_covariates(
    side: Population, covariates: TableLike | None, name: str
) -> CovariateRows:
    """Return the rows of a side with their covariates."""
    if not isinstance(side, Rows) or not side.in_memory:
        raise DataError(
            f"{side.name}: with covariates samples must be a table in memory; load it, or take a part"
        )
    found = None if covariates is None else read_covariates(covariates, name, side.size)
    rows = side.sample_distinct(side.size, torch.Generator()).cpu()
    return CovariateRows(rows, found)
