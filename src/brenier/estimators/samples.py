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
    ScanRows,
    WeightsLike,
    read_weights,
)
from brenier.errors import DataError
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
from brenier.estimators.overrides import check_settings
from brenier.estimators.parameters import FittedMap, Parameters, check_warm_map
from brenier.estimators.pipeline import fit_plan
from brenier.estimators.plain import PlainPlan
from brenier.estimators.plan import Plan
from brenier.estimators.precision import warn_of_tf32
from brenier.estimators.scanned import FitSide, with_scans
from brenier.estimators.settings import overridden
from brenier.estimators.sides import (
    PopulationPair,
    both_sides,
    fit_both,
    follows,
)
from brenier.potentials import UsualType, usual_modes
from brenier.statistics import weighted_mean
from brenier.training import Clock, Progress, RankSettings
from brenier.transport.costs import Mahalanobis
from brenier.transport.maps import ConditionalMap, TransportMap


class FittedSamples(NamedTuple):
    """What a fit gives, how many features its samples have, and their names, or None."""

    fitted: Fitted
    dim: int
    names: np.ndarray | None


def fit_samples(
    X: FitSide,
    Y: FitSide,
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
    clock, alone = Clock(), parameters.n_jobs == 1
    with Progress(bool(parameters.verbose) and not follows(alone)) as progress:
        progress.phase("reading")

        def fit(pair: PopulationPair, own: GivenConditions) -> FittedSamples:
            return _fit_pair(pair, own, parameters, previous, clock, progress)

        waiting = overridden(RankSettings(), check_settings(parameters.settings))
        return fit_both(X, Y, given, fit, _told_to_others, alone, waiting)


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
        effective = source.effective, target.effective
        options = dataclasses.replace(
            options, features=features, weights=weights, effective=effective
        )
        fitted = fit_plan(plan, options)
        if metric is not None:
            fitted = fitted_in_data(fitted, metric)
    return FittedSamples(fitted, source.dim, names)


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
    warn_of_tf32(options)
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
    X: FitSide,
    Y: FitSide,
    given: GivenConditions,
    transport: FittedMap,
) -> Plan:
    """Return new samples of a fitted map as a fit would take them.

    Raises:
        DataError: for samples, labels, covariates or weights that do not fit the map.
    """
    x, z, given = with_scans(X, Y, given)
    source, target, _ = both_sides(x, z)
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
    return side.own_weights if isinstance(side, Rows | ScanRows) else None
