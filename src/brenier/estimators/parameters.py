"""The estimator's parameters, checked and turned into what a fit is told."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import Population, Rows
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.pipeline import MakePotential, Options
from brenier.estimators.start import fresh, trained
from brenier.potentials import (
    DenseICNN,
    MeanPotential,
    Potential,
    ResidualPotential,
    widths,
)
from brenier.solve import BFGS
from brenier.statistics import reference_bandwidth
from brenier.training.settings import Settings
from brenier.transport.dual import DualObjective
from brenier.transport.maps import ConditionalMap, TransportMap

POTENTIALS: dict[str, MakePotential] = {
    "convex": lambda d, generator: DenseICNN(d, convex=True, generator=generator),
    "free": lambda d, generator: DenseICNN(d, generator=generator),
    "residual": lambda d, generator: ResidualPotential(d, generator=generator),
}
# A fourth layer makes steps a quarter slower and can hold far more: it pays in long runs on many rows. So does a fifth,
# by less, in longer ones, and where layers are narrow a seventh.
LONG_TIME, LONG_STEPS, MANY_ROWS = 180.0, 5000, 100_000
LONGER_TIME, LONGER_STEPS = 600.0, 10_000
LONG_LAYERS, LONGER_LAYERS, NARROW_LAYERS = 4, 5, 7
NARROW = 64  # units of a layer
# The mean of two networks is mostly closer than one in twice the steps where rows are few, or seconds as many.
TWO_TIME = 300.0
# Rows used again make steps cheaper and noisier: in long runs, which noise is what bounds, that costs accuracy.
USES, LONG_USES = Settings.uses, 1
PASSES = 50  # over all rows, after which they may be known by heart
STEPS, FEWEST_STEPS = (
    Settings.max_steps,
    100,
)  # by default, where rows are many, and at least
BANDWIDTH = 0.3  # of the one that is best for a normal density: a map is smoother than the densities it is between
FIRST_BATCH, LARGEST_BATCH = (
    Settings.batch_size,
    8192,
)  # rows of the first batches and of the largest, by default
SHARE = 8  # rows of the smaller side per row of a batch that has grown
WHOLE = ("n_networks", "max_steps", "batch_size", "patience")
OPTIONAL = ("n_networks", "max_steps", "batch_size", "max_time", "bandwidth")


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What `fit` was given of either side, beside its samples."""

    source_labels: Any
    target_labels: Any
    source_covariates: Any
    target_covariates: Any

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
        return "labels" if labels else "covariates" if covariates else None


def options_of(
    ot: Any,
    source: Population,
    target: Population,
    warm: TransportMap | ConditionalMap | None,
) -> Options:
    """Return the parameters of an estimator as a fit takes them.

    Raises:
        DataError: for parameters that cannot be used.
    """
    for name in (*WHOLE, "max_time", "tol", "learning_rate", "bandwidth"):
        if getattr(ot, name) is not None or name not in OPTIONAL:
            validation.check_positive(
                name, getattr(ot, name), whole=name in WHOLE, zero=name == "bandwidth"
            )
    validation.check_choice("start", ot.start, ("affine", "identity"))
    validation.check_choice("dtype", ot.dtype, ("float32", "float64"))
    if ot.checkpoint is not None:
        validation.check_folder("checkpoint", ot.checkpoint)
    if not (ot.optimizer is None or callable(ot.optimizer)):
        raise DataError(
            f"optimizer: must be a function of the parameters or None, got {ot.optimizer!r}"
        )
    make = ot.potential
    if not callable(make):
        validation.check_choice("potential", make, tuple(POTENTIALS))
        make = POTENTIALS[make]
    fewest = min(side.size or math.inf for side in (source, target))
    steps = ot.max_steps or (_steps(fewest) if ot.max_time is None else math.inf)
    goes_on = partial(_goes_on, steps, ot.max_time)
    long, longer = goes_on(LONG_STEPS, LONG_TIME), goes_on(LONGER_STEPS, LONGER_TIME)
    many = ot.potential == "free" and fewest >= MANY_ROWS
    if many and long:
        make = partial(_deep, longer)
    count = _networks(
        ot.n_networks, warm, two=ot.potential == "free" and _pay_two(ot, fewest)
    )
    if count > 1:
        make = partial(_mean, make, count)
    settings = Settings(
        max_steps=steps,
        max_time=ot.max_time,
        batch_size=FIRST_BATCH if ot.batch_size is None else ot.batch_size,
        largest_batch=int(min(LARGEST_BATCH, fewest / SHARE))
        if ot.batch_size is None
        else None,
        uses=LONG_USES if long else USES,
        bandwidth=_bandwidth(fewest, source.dim, ot.start)
        if ot.bandwidth is None
        else ot.bandwidth,
        learning_rate=ot.learning_rate,
        optimizer=ot.optimizer,
        fresh_rows=PASSES * fewest,
        evaluate_every=100 if fewest >= 5000 else 20,
        patience=ot.patience,
    )
    return Options(
        make_potential=make,
        start=ot.start,
        scale=validation.check_scale(ot.scale, source.dim),
        objective=DualObjective(
            validation.check_method(ot.method or BFGS()), tol=ot.tol, max_steps=500
        ),
        settings=settings,
        seed=validation.draw_seed(ot.random_state),
        seed_given=isinstance(ot.random_state, numbers.Integral),
        device=_device_of(source)
        if ot.device is None
        else validation.check_device(ot.device),
        dtype=getattr(torch, ot.dtype),
        folder=ot.checkpoint,
        progress=bool(ot.verbose),
        warm=warm,
        processes=validation.check_jobs(ot.n_jobs),
    )


def condition_of(transport: Any, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the labels or covariates given as a map takes them, or nothing where it takes none.

    Raises:
        DataError: where the map takes others than are given, or some and none are.
    """
    conditions = getattr(transport, "conditions", None)
    word = None if conditions is None else conditions.word
    for name, value in given.items():
        if value is not None and name != word:
            remedy = "leave them out" if word is None else f"give {word}"
            raise DataError(
                f"{name}: the map was fitted without {name}; {remedy}, or fit with {name}"
            )
    if word is not None and given[word] is None:
        raise DataError(
            f"{word}: the map was fitted with {word}; give them for every row, or once for all rows"
        )
    return () if word is None else (given[word],)


def warm_map(ot: Any, dim: int, kind: Any) -> TransportMap | ConditionalMap | None:
    """Return the map to go on from; the kind of its conditions is their labels, "covariates" or None."""
    transport: Any = getattr(ot, "map_", None) if ot.warm_start else None
    if transport is None:
        return None
    if transport.dim != dim:
        raise DataError(
            f"X: has {dim} features, the map to go on from {transport.dim}; give the same features, or set "
            "warm_start=False"
        )
    if kind != (
        ot.labels_ or getattr(getattr(transport, "conditions", None), "word", None)
    ):
        raise DataError(
            "warm_start: the map to go on from was fitted with other labels or covariates; give the same, or set "
            "warm_start=False"
        )
    return transport


def _steps(rows: float) -> int:
    """Return how many steps are worth taking: fewer where rows are few, since those are soon known by heart."""
    return max(FEWEST_STEPS, round(STEPS * math.sqrt(min(1.0, rows / MANY_ROWS))))


def _bandwidth(rows: float, dim: int, start: str) -> float:
    """Return the width of kernels for so many rows; zero outside Gaussian coordinates, where spreads may say little."""
    return BANDWIDTH * reference_bandwidth(rows, dim) if start == "affine" else 0.0


def _goes_on(steps: float, seconds: float | None, many: float, long: float) -> bool:
    """Say whether training may go on for long, by the seconds where they are limited, else for many steps."""
    return steps >= many if seconds is None else seconds >= long


def _pay_two(ot: Any, rows: float) -> bool:
    """Say whether the seconds given are enough for two networks, or where no limit is given the rows few enough."""
    if ot.max_time is not None:
        return bool(ot.max_time >= TWO_TIME)
    return ot.max_steps is None and rows < MANY_ROWS


def _deep(longer: bool, dim: int, generator: torch.Generator) -> Potential:
    """Return the free potential of long runs, or of longer ones."""
    narrow = widths(dim)[0] <= NARROW
    layers = (NARROW_LAYERS if narrow else LONGER_LAYERS) if longer else LONG_LAYERS
    return DenseICNN(dim, widths(dim, layers), generator=generator)


def _networks(
    n: int | None, warm: TransportMap | ConditionalMap | None, two: bool
) -> int:
    """Return of how many networks the potential is: as told, or those of the map to go on from, or by default.

    Raises:
        DataError: where told otherwise than the map to go on from.
    """
    potential = trained(warm)
    if potential is None:
        return (2 if two else 1) if n is None else n
    found = len(potential.members())
    if n not in (None, found):
        raise DataError(
            f"n_networks: is {n}, the map to go on from is of {found}; give the same, or set warm_start=False"
        )
    return found


def _mean(
    make: MakePotential, n: int, dim: int, generator: torch.Generator
) -> Potential:
    """Return the mean of n new potentials."""
    return MeanPotential([fresh(make, dim, generator) for _ in range(n)])


def _device_of(source: Population) -> torch.device:
    """Return the device the source samples lie on."""
    if isinstance(source, Rows) and isinstance(source.values, Tensor):
        return source.values.device
    return torch.device("cpu")
