"""The estimator's parameters, checked and turned into what a fit is told."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from brenier import validation
from brenier.conditional import ConditionalMap
from brenier.dual import DualObjective
from brenier.errors import DataError
from brenier.learning import MakePotential, Options
from brenier.populations import Population, Rows
from brenier.potentials import DenseICNN, ResidualPotential
from brenier.solve import BFGS
from brenier.training import Settings
from brenier.transport import TransportMap

POTENTIALS: dict[str, MakePotential] = {
    "convex": lambda d, generator: DenseICNN(d, convex=True, generator=generator),
    "free": lambda d, generator: DenseICNN(d, generator=generator),
    "residual": lambda d, generator: ResidualPotential(d, generator=generator),
}


def options_of(ot: Any, source: Population, warm: TransportMap | ConditionalMap | None) -> Options:
    """Return the parameters of an estimator as a fit takes them.

    Raises:
        DataError: for parameters that cannot be used.
    """
    for name in ("max_steps", "batch_size", "patience"):
        validation.check_positive(name, getattr(ot, name), whole=True)
    for name in ("tol", "learning_rate") + (() if ot.max_time is None else ("max_time",)):
        validation.check_positive(name, getattr(ot, name))
    validation.check_choice("start", ot.start, ("affine", "identity"))
    validation.check_choice("dtype", ot.dtype, ("float32", "float64"))
    if ot.checkpoint is not None:
        validation.check_folder("checkpoint", ot.checkpoint)
    if not (ot.optimizer is None or callable(ot.optimizer)):
        raise DataError(f"optimizer: must be a function of the parameters or None, got {ot.optimizer!r}")
    make = ot.potential
    if not callable(make):
        validation.check_choice("potential", make, tuple(POTENTIALS))
        make = POTENTIALS[make]
    settings = Settings(
        max_steps=ot.max_steps,
        max_time=ot.max_time,
        batch_size=ot.batch_size,
        learning_rate=ot.learning_rate,
        optimizer=ot.optimizer,
        evaluate_every=100 if source.size is None or source.size >= 5000 else 20,
        patience=ot.patience,
    )
    return Options(
        make_potential=make,
        start=ot.start,
        scale=validation.check_scale(ot.scale, source.dim),
        objective=DualObjective(validation.check_method(ot.method or BFGS()), tol=ot.tol, max_steps=500),
        settings=settings,
        seed=validation.draw_seed(ot.random_state),
        seed_given=isinstance(ot.random_state, numbers.Integral),
        device=_device_of(source) if ot.device is None else validation.check_device(ot.device),
        dtype=getattr(torch, ot.dtype),
        folder=ot.checkpoint,
        progress=bool(ot.verbose),
        warm=warm,
    )


def _device_of(source: Population) -> torch.device:
    """Return the device the source samples lie on."""
    if isinstance(source, Rows) and isinstance(source.values, Tensor):
        return source.values.device
    return torch.device("cpu")
