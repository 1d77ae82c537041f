"""From what a user gives to what a pipeline fits: samples read, checked against each other, and planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from brenier.datasets import Population, Sampler, TableLike, population
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.conditions import GivenConditions, class_plan, covariate_plan
from brenier.estimators.folded import FoldedPlan
from brenier.estimators.options import Fitted, Options
from brenier.estimators.parameters import FittedMap, Parameters, check_warm_map
from brenier.estimators.pipeline import fit_plan
from brenier.estimators.plain import PlainPlan
from brenier.estimators.plan import Plan
from brenier.potentials import UsualType, usual_modes
from brenier.training import Clock, Progress


class FittedSamples(NamedTuple):
    """What a fit gives, how many features its samples have, and their names, or None."""

    fitted: Fitted
    dim: int
    names: np.ndarray | None


def fit_samples(
    X: TableLike | Sampler,
    Y: TableLike | Sampler,
    given: GivenConditions,
    parameters: Parameters,
    previous: FittedMap | None,
) -> FittedSamples:
    """Return what a fit of two samples gives.

    Args:
        X, Y: as `OptimalTransport.fit` takes them.
        given: labels or covariates of either side.
        parameters: of the estimator.
        previous: the map to go on from, or None.

    Raises:
        DataError: for samples, labels, covariates or parameters that cannot be used.
        ModelFileError: where `checkpoint` holds a damaged run, or one of other samples or settings.
    """
    clock = Clock()
    with Progress(bool(parameters.verbose)) as progress:
        return _read_and_fit(X, Y, given, parameters, previous, clock, progress)


def _read_and_fit(
    X: TableLike | Sampler,
    Y: TableLike | Sampler,
    given: GivenConditions,
    parameters: Parameters,
    previous: FittedMap | None,
    clock: Clock,
    progress: Progress,
) -> FittedSamples:
    """Return what a fit of two samples gives, against a clock and with a progress bar."""
    progress.phase("reading")
    source, target, names = both_sides(X, Y)
    features = None if names is None else tuple(map(str, names))
    with UsualType(), usual_modes(gradients=True):
        plan, options = _planned(
            source, target, given, parameters, previous, clock, progress
        )
        fitted = fit_plan(plan, dataclasses.replace(options, features=features))
    return FittedSamples(fitted, source.dim, names)


class PopulationPair(NamedTuple):
    """Two populations with the same features, and their names, or None."""

    source: Population
    target: Population
    names: np.ndarray | None


def both_sides(X: TableLike | Sampler, Y: TableLike | Sampler) -> PopulationPair:
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
    if source_samples is not None and target_samples is not None:
        validation.check_columns(source_samples.columns, target_samples.columns)
    names = None if source_samples is None else validation.feature_names(X, "X")
    return PopulationPair(source, target, names)


def _planned(
    source: Population,
    target: Population,
    given: GivenConditions,
    parameters: Parameters,
    previous: FittedMap | None,
    clock: Clock,
    progress: Progress,
) -> tuple[Plan, Options]:
    """Return what is fitted, one map or one for every condition, and what the fit is told."""

    def warm(kind: tuple[Hashable, ...] | str | None) -> FittedMap | None:
        return None if previous is None else check_warm_map(previous, source.dim, kind)

    kind = given.kind()
    plan: Plan = PlainPlan(source, target)
    told: tuple[Hashable, ...] | str | None = kind
    if kind == "labels":
        plan = class_plan(source, target, given)
        told = plan.labels
    options = parameters.options(source, target, warm(told), clock, progress)
    if kind == "covariates":
        plan = covariate_plan(source, target, given)
    elif kind is None and options.folds:
        plan = FoldedPlan(source, target)
    return plan, options
