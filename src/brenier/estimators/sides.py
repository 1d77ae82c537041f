"""Both sides of a fit: read, checked against each other, and in several processes brought together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from brenier.datasets import CheckedSamples, Population, Scan, population
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.conditions import GivenConditions
from brenier.estimators.scanned import (
    DealtOut,
    FitSide,
    ReadSide,
    scan_mark,
    with_scans,
)
from brenier.estimators.together import OwnSide, fit_together
from brenier.training import RankSettings, launched, led, place_of_process

# The names of features, or None.
FeatureNames: TypeAlias = "tuple[str, ...] | None"
Result = TypeVar("Result")


class PopulationPair(NamedTuple):
    """Two populations with the same features, and their names, or None."""

    source: Population
    target: Population
    names: np.ndarray | None


def both_sides(X: ReadSide, Y: ReadSide) -> PopulationPair:
    """Return the populations of a source and a target, checked against each other.

    Raises:
        DataError: for samples that cannot be used, or have other features than those of the other side.
    """
    source, source_samples = population(X, "X")
    validation.check_no_labels_as_target(Y)
    target, target_samples = population(Y, "Y")
    if source.dim != target.dim:
        hint = ""
        if source.size is not None and source.size == target.size:
            hint = f"; both have {source.size} rows: if their columns are the samples, give X.T and Y.T"
        wrong = f"Y: has {target.dim} features, X has {source.dim}"
        raise DataError(
            f"{wrong}; both sides must have the same features, in the same order{hint}"
        )
    validation.warn_if_transposed(source, target)
    columns = _columns_of(X, source_samples)
    validation.check_columns(columns, _columns_of(Y, target_samples))
    if isinstance(X, Scan | CheckedSamples):
        names = None if columns is None else np.array(columns, dtype=object)
    else:
        names = None if source_samples is None else validation.feature_names(X, "X")
    return PopulationPair(source, target, names)


def sides_of(
    X: FitSide, Y: FitSide, given: GivenConditions, dealt: DealtOut
) -> tuple[OwnSide, OwnSide]:
    """Return what one of several processes holds of both sides; of a scan that all have its part."""
    of_x, of_z, given = with_scans(X, Y, given, dealt)
    x, z, names = both_sides(of_x, of_z)
    named = None if names is None else tuple(map(str, names))
    return (
        OwnSide(
            "X",
            x,
            named,
            given.source_labels,
            given.source_covariates,
            given.source_weight,
        ),
        OwnSide(
            "Y",
            z,
            named,
            given.target_labels,
            given.target_covariates,
            given.target_weight,
        ),
    )


def given_of(x: OwnSide, z: OwnSide) -> GivenConditions:
    """Return what belongs to the rows of two sides."""
    return GivenConditions(
        *(x.labels, z.labels, x.covariates, z.covariates), *(x.weight, z.weight)
    )


def names_of_side(side: OwnSide) -> np.ndarray | None:
    """Return the names of the features of a side, as an estimator keeps them."""
    return None if side.names is None else np.array(side.names, dtype=object)


def _columns_of(given: object, samples: CheckedSamples | None) -> FeatureNames:
    """Return the names of the features of a side, None where they have none."""
    if isinstance(given, Scan):
        return given.names
    return None if samples is None else samples.columns


def follows(alone: bool = False) -> bool:
    """Say whether this process follows the first of several that a launcher started; not where it is to be alone."""
    place = None if alone else place_of_process()
    return place is not None and place.rank > 0


def fit_both(
    X: FitSide,
    Y: FitSide,
    given: GivenConditions,
    fit: Callable[[PopulationPair, GivenConditions], Result],
    told: Callable[[Result], object],
    alone: bool = False,
    waiting: RankSettings | None = None,
) -> Result:
    """Return what a fit of two samples gives: here, or where a launcher started several processes in all of them.

    Args:
        X, Y: as `OptimalTransport.fit` takes them; of several processes each may give a part.
        given: what belongs to their rows.
        fit: both populations and what belongs to them -> what comes of them.
        told: what the first of several processes tells the others of that.
        alone: whether other processes are none of our business.
        waiting: how long processes wait for each other.

    Raises:
        DataError: for samples that cannot be used.
        RankError: where another process was lost.
    """
    ranks = None if alone or led() is not None else launched(waiting)
    if ranks is None:
        x, z, given = with_scans(X, Y, given)
        return fit(both_sides(x, z), given)

    def fit_sides(sides: tuple[OwnSide, OwnSide]) -> Result:
        x, z = sides
        pair = PopulationPair(x.population, z.population, names_of_side(x))
        return fit(pair, given_of(x, z))

    marks = ranks.gathered((scan_mark(X, ranks), scan_mark(Y, ranks)))
    same = tuple(
        len(set(side)) == 1 and bool(side[0]) for side in zip(*marks, strict=True)
    )
    dealt = DealtOut(ranks.rank, ranks.size, same)
    return fit_together(ranks, lambda: sides_of(X, Y, given, dealt), fit_sides, told)
