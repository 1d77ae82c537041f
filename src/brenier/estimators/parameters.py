"""The estimator's parameters, checked and turned into what a fit is told."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from brenier.datasets import Population, Rows
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.budget import Budget
from brenier.estimators.given_cost import (
    asked_cost,
    check_mass,
    check_method_for,
    check_warm_ground,
)
from brenier.estimators.initial import POTENTIALS, maker_of, network_maker
from brenier.estimators.options import MakePotential, Options
from brenier.estimators.overrides import check_settings
from brenier.estimators.pace import Pace
from brenier.estimators.settings import FitSettings, overridden
from brenier.solve import Method
from brenier.training import Clock, Progress, Settings
from brenier.transport.dual import DualObjective, DualSettings, usual_method
from brenier.transport.maps import ConditionalMap, TransportMap

FittedMap: TypeAlias = TransportMap | ConditionalMap
RandomState: TypeAlias = int | np.random.Generator | np.random.RandomState | None

WHOLE = ("n_networks", "max_steps", "batch_size", "patience")
REAL = ("max_time", "tol", "learning_rate", "bandwidth")
OPTIONAL = ("n_networks", "max_steps", "batch_size", "max_time", "bandwidth")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameters of `OptimalTransport`, as its docstring tells."""

    potential: str | MakePotential
    n_networks: int | None
    start: str
    cost: object
    mass: object
    scale: object
    method: Method | None
    tol: float
    max_steps: int | None
    max_time: float | None
    batch_size: int | None
    bandwidth: float | None
    learning_rate: float
    optimizer: Callable[..., torch.optim.Optimizer] | None
    patience: int
    warm_start: bool
    checkpoint: str | None
    keep_rows: bool
    random_state: RandomState
    n_jobs: int | None
    device: object
    dtype: object
    verbose: bool
    settings: Mapping[str, object] | None

    def check(self) -> None:
        """Raise a DataError for the first parameter that cannot be used."""
        for name in (*WHOLE, *REAL):
            value = getattr(self, name)
            if value is not None or name not in OPTIONAL:
                whole, zero = name in WHOLE, name == "bandwidth"
                validation.check_positive(name, value, whole=whole, zero=zero)
        starts = ("auto", "affine", "shift", "identity")
        validation.check_choice("start", self.start, starts)
        check_mass(self.mass)
        validation.check_choice(
            "dtype", validation.name_of_dtype(self.dtype), ("float32", "float64")
        )
        if not isinstance(self.keep_rows, bool | np.bool_):
            raise DataError(f"keep_rows: must be True or False, got {self.keep_rows!r}")
        if self.checkpoint is not None:
            validation.check_folder("checkpoint", self.checkpoint)
        if not (self.optimizer is None or callable(self.optimizer)):
            raise DataError(
                f"optimizer: must be a function of the parameters or None, got {self.optimizer!r}"
            )
        if not callable(self.potential):
            validation.check_choice("potential", self.potential, tuple(POTENTIALS))

    def options(
        self,
        source: Population,
        target: Population,
        warm: FittedMap | None,
        clock: Clock | None = None,
        progress: Progress | None = None,
    ) -> Options:
        """Return the parameters as a fit of two populations takes them.

        Args:
            source, target: the populations.
            warm: the map to go on from, or None.
            clock: that began with the fit; a new one by default.
            progress: its bar; by default a hidden one.

        Raises:
            DataError: for parameters that cannot be used.
        """
        self.check()
        overrides = check_settings(self.settings)
        rows = min(source.effective or math.inf, target.effective or math.inf)
        told = asked_cost(self.cost, self.mass, self.start, self.scale, source.dim)
        below = told.bounded_below
        budget = Budget(rows, source.dim, self.max_steps, self.max_time, below)
        budget = overridden(budget, overrides)
        settings = self._chosen(budget).overridden(overrides)
        pace = Pace(
            settings.training.max_time,
            clock or Clock(),
            settings.pace,
            own_batch=self.batch_size is not None or "batch_size" in overrides,
        )
        method = validation.check_method(self.method or usual_method(told.cost))
        check_method_for(told.cost, method)
        check_warm_ground(warm, told.cost, told.mass)
        known = self.potential in ("auto", "free") and not told.costed
        folds = budget.folds(self.n_networks) if known and warm is None else 0
        return Options(
            make_potential=maker_of(self.potential, self.n_networks, budget, warm),
            make_network=network_maker(self.potential, budget),
            start=told.start,
            scale=validation.check_scale(self.scale, source.dim),
            objective=DualObjective(
                method,
                tol=self.tol,
                max_steps=settings.pipeline.max_inner_steps,
                starts=settings.starts,
            ),
            settings=settings,
            seed=validation.draw_seed(self.random_state),
            seed_given=isinstance(self.random_state, numbers.Integral),
            device=self._device(source),
            dtype=getattr(torch, str(validation.name_of_dtype(self.dtype))),
            folder=self.checkpoint,
            progress=progress or Progress(),
            warm=warm,
            keep_rows=bool(self.keep_rows),
            processes=validation.check_jobs(self.n_jobs),
            cost=told.cost,
            mass=told.mass,
            folds=folds,
            entropic=self.potential == "auto"
            and self.n_networks is None
            and self.keep_rows,
            pace=pace,
        )

    def _chosen(self, budget: Budget) -> FitSettings:
        """Return the settings that follow from the parameters, and where they are silent from the budget."""
        training = Settings(
            max_steps=budget.max_steps,
            max_time=self.max_time,
            batch_size=budget.first_batch
            if self.batch_size is None
            else self.batch_size,
            largest_batch=budget.largest_batch if self.batch_size is None else None,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            evaluate_every=budget.evaluate_every,
            patience=self.patience,
        )
        bandwidth = (
            budget.bandwidth(self.start) if self.bandwidth is None else self.bandwidth
        )
        dual = DualSettings(
            bandwidth=bandwidth,
            fresh_rows=budget.fresh_rows,
            max_reuse=budget.max_reuse,
        )
        chosen = FitSettings(training=training, dual=dual)
        if self.max_time is None:
            return chosen
        quick = chosen.pace.quick_coordinates_from
        gaussian = dataclasses.replace(chosen.gaussian, one_decomposition_from=quick)
        return dataclasses.replace(chosen, gaussian=gaussian)

    def _device(self, source: Population) -> torch.device:
        """Return the device asked for, or the one the source samples lie on."""
        if self.device is not None:
            return validation.check_device(self.device)
        if isinstance(source, Rows) and isinstance(source.values, Tensor):
            return source.values.device
        return torch.device("cpu")


def condition_of(
    transport: FittedMap, labels: object = None, covariates: object = None
) -> tuple[Any, ...]:
    """Return the labels or covariates given as a map takes them, or nothing where it takes none.

    Args:
        transport: the map.
        labels, covariates: as given, or None.

    Raises:
        DataError: where the map takes others than are given, or some and none are.
    """
    kind = transport.conditions.kind if isinstance(transport, ConditionalMap) else None
    given = {"labels": labels, "covariates": covariates}
    for name, value in given.items():
        if value is not None and name != kind:
            remedy = "leave them out" if kind is None else f"give {kind}"
            raise DataError(
                f"{name}: the map was fitted without {name}; {remedy}, or fit with {name}"
            )
    if kind is None:
        return ()
    if given[kind] is None:
        raise DataError(
            f"{kind}: the map was fitted with {kind}; give them for every row, or once for all rows"
        )
    return (given[kind],)


def check_warm_map(
    transport: FittedMap, dim: int, kind: tuple[Hashable, ...] | str | None
) -> FittedMap:
    """Return the map to go on from.

    Args:
        transport: the map of an earlier fit.
        dim: features of the samples.
        kind: of the conditions of this fit: their labels, "covariates" or None.

    Raises:
        DataError: where it is of other features or conditions.
    """
    if transport.dim != dim:
        raise DataError(
            f"X: has {dim} features, the map to go on from {transport.dim}; give the same features, or set "
            "warm_start=False"
        )
    fitted: tuple[Hashable, ...] | str | None = None
    if isinstance(transport, ConditionalMap):
        fitted = transport.labels or transport.conditions.kind
    if kind != fitted:
        raise DataError(
            "warm_start: the map to go on from was fitted with other labels or covariates; give the same, or set "
            "warm_start=False"
        )
    return transport
