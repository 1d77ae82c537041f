"""From what a user gives to what a pipeline fits: samples read, checked against each other, and planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from brenier.datasets import (
    Population,
    Rows,
    Sampler,
    TableLike,
    WeightsLike,
    population,
    read_weights,
)
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.conditions import GivenConditions, class_plan, covariate_plan
from brenier.estimators.costed import CostPlan
from brenier.estimators.folded import FoldedPlan
from brenier.estimators.given_cost import check_mass, checked_cost, is_costed
from brenier.estimators.metric import (
    fitted_in_data,
    in_metric,
    metric_of,
    without_metric,
)
from brenier.estimators.options import Fitted, Options
from brenier.estimators.parameters import FittedMap, Parameters, check_warm_map
from brenier.estimators.pipeline import fit_plan
from brenier.estimators.plain import PlainPlan
from brenier.estimators.plan import Plan
from brenier.estimators.together import OwnSide, fit_together
from brenier.potentials import UsualType, usual_modes
from brenier.statistics import weighted_mean
from brenier.training import Clock, Progress, Ranks, launched
from brenier.transport.costs import Mahalanobis
from brenier.transport.maps import ConditionalMap, TransportMap


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
    ranks = None if parameters.n_jobs == 1 else launched()
    shown = bool(parameters.verbose) and (ranks is None or ranks.first)
    with Progress(shown) as progress:
        progress.phase("reading")
        if ranks is None:
            pair = both_sides(X, Y)
            return _fit_pair(pair, given, parameters, previous, clock, progress)

        def fit(sides: tuple[OwnSide, OwnSide]) -> FittedSamples:
            x, z = sides
            pair = PopulationPair(x.population, z.population, names_of_side(x))
            own = given_of(x, z)
            return _fit_pair(pair, own, parameters, previous, clock, progress, ranks)

        return fit_together(ranks, lambda: sides_of(X, Y, given), fit, _told_to_others)


def _told_to_others(found: FittedSamples) -> FittedSamples:
    """Return what the first of several processes tells the others of a fit: all but samples and files."""
    fitted = dataclasses.replace(found.fitted, plan=None, run_file=None)
    return found._replace(fitted=fitted)


def _fit_pair(
    pair: PopulationPair,
    given: GivenConditions,
    parameters: Parameters,
    previous: FittedMap | None,
    clock: Clock,
    progress: Progress,
    ranks: Ranks | None = None,
) -> FittedSamples:
    """Return what a fit of two populations gives, against a clock and with a progress bar."""
    source, target, names = pair
    source, target = given.weighted(source, target)
    features = None if names is None else tuple(map(str, names))
    metric = None
    if isinstance(parameters.cost, Mahalanobis) and check_mass(parameters.mass) is None:
        checked_cost(parameters.cost, source.dim)
        metric = metric_of(parameters.cost)
        source, target = in_metric(source, metric), in_metric(target, metric)
    previous = without_metric(previous, metric)
    with UsualType(), usual_modes(gradients=True):
        plan, options = _planned(
            source, target, given, parameters, previous, clock, progress
        )
        weights = _weights_of_side(source), _weights_of_side(target)
        options = dataclasses.replace(
            options, features=features, weights=weights, ranks=ranks
        )
        fitted = fit_plan(plan, options)
        if metric is not None:
            fitted = fitted_in_data(fitted, metric)
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


def sides_of(
    X: TableLike | Sampler, Y: TableLike | Sampler, given: GivenConditions
) -> tuple[OwnSide, OwnSide]:
    """Return what one of several processes holds of both sides; of what can be dealt out its part."""
    x, z, names = both_sides(X, Y)
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
    if kind is not None and is_costed(options.cost, options.mass):
        raise DataError(
            f"source_{kind}: fits with {kind} know quadratic costs and balanced mass only; fit every class by itself, "
            "or leave cost and mass out"
        )
    if kind == "covariates":
        plan = covariate_plan(source, target, given)
    elif kind is None and is_costed(options.cost, options.mass):
        plan = CostPlan(source, target)
    elif kind is None and options.folds:
        plan = FoldedPlan(source, target)
    return plan, options


def plan_of(
    X: TableLike | Sampler,
    Y: TableLike | Sampler,
    given: GivenConditions,
    transport: FittedMap,
) -> Plan:
    """Return new samples of a fitted map as a fit would take them.

    Raises:
        DataError: for samples, labels, covariates or weights that do not fit the map.
    """
    source, target, _ = both_sides(X, Y)
    if source.dim != transport.dim:
        raise DataError(
            f"X: has {source.dim} features, the map {transport.dim}; give the columns used in fit"
        )
    source, target = given.weighted(source, target)
    kind, fitted = given.kind(), None
    if isinstance(transport, ConditionalMap):
        fitted = transport.conditions.kind
    if kind != fitted:
        raise DataError(
            f"source_{kind or fitted}: the map was fitted {'with' if fitted else 'without'} {fitted or kind}; "
            f"{'give' if fitted else 'leave out'} those of both sides"
        )
    metric = transport.coordinates.metric
    if metric is not None:
        own = metric.to("cpu")
        source, target = in_metric(source, own), in_metric(target, own)
    if kind == "labels":
        return class_plan(source, target, given)
    if kind == "covariates":
        return covariate_plan(source, target, given)
    return PlainPlan(source, target)


def value_of(
    transport: FittedMap,
    terms: tuple[Tensor, Tensor, object],
    *weights: WeightsLike | None,
) -> float:
    """Return the dual value in the units of distances, from terms phi (n,) and phi^c (m,), the first two given.

    Args:
        transport: the map.
        terms: its `dual_terms`.
        weights: of the source and of the target.

    Raises:
        DataError: for weights that cannot be used.
    """
    pair = terms[:2]
    if isinstance(transport, TransportMap) and transport.ground is not None:
        pair = transport.ground.terms(*pair)
    means = [
        weighted_mean(own, read_weights(given, name, len(own)))
        for own, name, given in zip(
            pair, ("source_weight", "target_weight"), weights, strict=True
        )
    ]
    return transport.unit_of_values() * float(means[0] + means[1])


def _weights_of_side(side: Population) -> Tensor | None:
    """Return the weights of the rows that belong to a population, or None where all count alike."""
    return side.own_weights if isinstance(side, Rows) else None
