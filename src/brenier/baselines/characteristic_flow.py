"""The estimator of Hamilton-Jacobi characteristic flows: fit two samples, move either way, save."""

from __future__ import annotations

import math
import numbers
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from brenier.baselines.base import Baseline
from brenier.baselines.cost_check import check_differentiable_cost
from brenier.baselines.flow import Flow
from brenier.baselines.flow_files import SavedFlow, load_flow, save_flow
from brenier.baselines.flow_fit import FittedFlow, FlowOptions, fit_flow
from brenier.baselines.flow_loss import RESIDUALS
from brenier.baselines.flow_plan import flow_classes, flow_training, flow_width
from brenier.baselines.flow_task import FlowSettings
from brenier.datasets import (
    LabelsLike,
    Population,
    Rows,
    Sampler,
    TableLike,
)
from brenier.errors import DataError
from brenier.estimators import (
    GivenConditions,
    PopulationPair,
    RandomState,
    fit_both,
    follows,
    validation,
)
from brenier.potentials import UsualType, usual_modes
from brenier.training import Clock, Progress
from brenier.transport.costs import Cost, SquaredEuclidean

DEFAULT_COST = SquaredEuclidean()


class FlowPair(NamedTuple):
    """What a fit gives, the classes of its samples, how many features they have, and the names of these."""

    fitted: FittedFlow
    labels: tuple[Hashable, ...] | None
    dim: int
    names: np.ndarray | None

    def told(self) -> FlowPair:
        """Return what the first of several processes tells the others: all but the file of the run."""
        return self._replace(fitted=self.fitted._replace(run_file=None))


class CharacteristicFlow(Baseline):
    """Maps both ways from one network u(x, t), each by one gradient: Hamilton-Jacobi characteristics.

    "Neural Hamilton-Jacobi Characteristic Flows for Optimal Transport" (Park, Liu, Zhou and Osher, 2025). The moved
    source is brought to the target by the energy distance, and both maps to each other by the Hamilton-Jacobi formula
    (see `docs/characteristic-flows.md`). There is no inner problem and no inverse to solve for; there is no bound on
    the distance either, and where training ends early the two maps are not the inverse of each other.

    Args:
        cost: h of c(x, z) = h(z - x), one of the library's or your own (`brenier.Cost`), which torch can differentiate.
        width: units per layer; by default twice the features, 64 at least and 512 at most.
        layers: hidden layers.
        quadratic_head: whether u has a free quadratic part, which alone represents the map between two Gaussians.
        energy_weight: of the energy distance beside the mean squared residual of the formula.
        batch_size: rows of either side per step, as many of every class.
        learning_rate: of the default optimiser (SOAP); decays to zero along a cosine.
        max_steps: training steps at most, over which the rate falls; by default 5,000, or with `max_time` as many as
            it allows.
        max_time: seconds of wall time that the whole fit may take, or None. Such runs are not reproducible to the bit.
        residual: "characteristics"; "equation", u_t + h*(grad u) in its place, as physics-informed networks have it; or
            "none", the energy distance alone. The last two are there to compare with.
        checkpoint: a folder where the run is kept until `save` has written the model or this estimator is fitted again;
            after an interruption, another estimator with the same samples and settings goes on from it.
        random_state: seed, numpy generator or None, as in scikit-learn. With an int, results are deterministic.
        device: where to train, for example "cuda"; by default where X lies if it is a tensor, else the CPU.
        dtype: precision of the network, "float32" or "float64", or that type of torch or numpy.
        verbose: whether to show a progress bar.

    Attributes:
        map_: the fitted `Flow`.
        labels_: the classes of `fit`, or None.
        history_: the training record, one dictionary per evaluation. "value" is the loss on held-out rows, with its
            standard error; "energy" and "residual" are its parts, in coordinates where features have variance one.
        diagnostics_: why training stopped, and on held-out rows, in the same coordinates: the root mean square of the
            "residual" of the formula, the "least_eigenvalue" of the map's derivative (where it is not positive
            characteristics cross), the root mean square of the "round_trip" relative to the spread of X, and the
            "energy" distance of moved rows beside "energy_by_chance", its deviation were both laws equal.
        n_features_in_, feature_names_in_: as in scikit-learn.

    >>> import numpy as np
    >>> from brenier.baselines import CharacteristicFlow
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> flow = CharacteristicFlow(max_steps=150, random_state=0).fit(X, Y)
    >>> Z = flow.transform(X)
    >>> bool(np.abs(flow.inverse_transform(Z) - X).mean() < 0.2)
    True
    """

    map_: Flow

    def __init__(
        self,
        cost: Cost = DEFAULT_COST,
        *,
        width: int | None = None,
        layers: int = 3,
        quadratic_head: bool = False,
        energy_weight: float = 10.0,
        batch_size: int = 512,
        learning_rate: float = 3e-3,
        max_steps: int | None = None,
        max_time: float | None = None,
        residual: str = "characteristics",
        checkpoint: str | None = None,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        verbose: bool = False,
    ) -> None:
        self.cost = cost
        self.width = width
        self.layers = layers
        self.quadratic_head = quadratic_head
        self.energy_weight = energy_weight
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.max_time = max_time
        self.residual = residual
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    @validation.names_both_sides
    def fit(
        self,
        X: TableLike | Sampler,
        Y: TableLike | Sampler,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
    ) -> CharacteristicFlow:
        """Learn the maps between the distributions of X (n, d) and of Y (m, d), unpaired.

        Args:
            X, Y: arrays, tensors, frames, memory-mapped arrays (read in batches), or functions
                (n, generator) -> (n, d) for endless streams. The `torch.Generator` must be their only randomness.
            source_labels, target_labels: one label per row, of any hashable kind, on both sides or on none. There is
                still one map, of all classes, which needs no labels; each class is brought to its own target. Rows of
                a class that only one side has are left out, with a `DataWarning`.

        Raises:
            DataError: for samples, labels or parameters that cannot be used.
            ModelFileError: where `checkpoint` holds a damaged run, or one of other samples or settings.
        """
        clock = Clock()
        self._check()
        self._forget_run()
        given = GivenConditions(source_labels, target_labels)
        with Progress(bool(self.verbose) and not follows()) as progress:
            progress.phase("reading")

            def fit(pair: PopulationPair, own: GivenConditions) -> FlowPair:
                cost = check_differentiable_cost(self.cost, pair.source.dim)
                pairs, labels = flow_classes(
                    pair.source, pair.target, own.source_labels, own.target_labels
                )
                with UsualType(), usual_modes(gradients=True):
                    options = self._options(cost, pair.source, clock, progress)
                    fitted = fit_flow(pairs, options)
                return FlowPair(fitted, labels, pair.source.dim, pair.names)

            fitted, labels, dim, names = fit_both(X, Y, given, fit, FlowPair.told)
        self.map_, self._run_file, self.labels_ = fitted.flow, fitted.run_file, labels
        self.history_, self.diagnostics_ = fitted.history, fitted.diagnostics
        validation.remember_features(self, dim, names)
        return self

    def interpolate(self, X: TableLike, t: float) -> Any:
        """Return where X is at time t: (n, d) -> (n, d), the same kind as X; t = 0 gives X and t = 1 T(X).

        Raises:
            DataError: for samples that do not fit those of `fit`, or a t outside [0, 1].
        """
        time = self._time(t)
        return self._applied(X, "X", lambda rows: self.map_.between(rows, time))

    def potential(self, X: TableLike, t: float) -> Any:
        """Return u(x, t) up to a constant, in units of the cost, so that T(x) = x + grad h*(grad u(x, 0)): (n,).

        Args:
            X: (n, d), where mass is at time t.
            t: from 0 to 1.

        Raises:
            DataError: for samples that do not fit those of `fit`, or a t outside [0, 1].
        """
        time = self._time(t)
        return self._applied(X, "X", lambda rows: self.map_.potential(rows, time))

    @classmethod
    def load(
        cls, folder: str | Path, device: torch.device | str = "cpu"
    ) -> CharacteristicFlow:
        """Return the estimator saved in a folder.

        Raises:
            DataError: where the folder is no path, or the device cannot be used.
            ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
        """
        place = validation.check_device(device)
        saved = load_flow(folder, place, _check_parameters)
        flow = cls(saved.flow.cost).set_params(**saved.parameters)
        flow.map_, flow.labels_ = saved.flow, saved.labels
        flow.history_, flow.diagnostics_ = saved.history, saved.diagnostics
        flow.n_features_in_ = saved.flow.dim
        if saved.features is not None:
            flow.feature_names_in_ = np.asarray(saved.features, dtype=object)
        return flow

    def _write(self, folder: str | Path) -> None:
        told = validation.described(self)
        told["parameters"].pop("cost", None)  # it is described by itself
        saved = SavedFlow(
            self.map_,
            self.labels_,
            told["parameters"],
            told["features"],
            self.history_,
            self.diagnostics_,
        )
        save_flow(folder, saved)

    def _check(self) -> None:
        """Raise a DataError for the first parameter that cannot be used."""
        for name in ("width", "layers", "batch_size", "max_steps"):
            value = getattr(self, name)
            if value is not None or name not in ("width", "max_steps"):
                validation.check_positive(name, value, whole=True)
        for name in ("energy_weight", "learning_rate", "max_time"):
            value = getattr(self, name)
            if value is not None or name != "max_time":
                validation.check_positive(name, value)
        validation.check_choice("residual", self.residual, RESIDUALS)
        dtype = validation.name_of_dtype(self.dtype)
        validation.check_choice("dtype", dtype, ("float32", "float64"))
        if not isinstance(self.quadratic_head, bool | np.bool_):
            raise DataError(
                f"quadratic_head: must be True or False, got {self.quadratic_head!r}",
                argument="quadratic_head",
            )
        if self.checkpoint is not None:
            validation.check_folder("checkpoint", self.checkpoint)

    def _options(
        self, cost: Cost, source: Population, clock: Clock, progress: Progress
    ) -> FlowOptions:
        """Return the parameters as a fit takes them."""
        device = torch.device("cpu")
        if self.device is not None:
            device = validation.check_device(self.device)
        elif isinstance(source, Rows) and isinstance(source.values, torch.Tensor):
            device = source.values.device
        name = validation.name_of_dtype(self.dtype)
        return FlowOptions(
            cost=cost,
            width=flow_width(self.width, source.dim),
            layers=int(self.layers),
            quadratic_head=bool(self.quadratic_head),
            loss=FlowSettings(self.energy_weight, self.residual),
            training=flow_training(
                self.max_steps, self.max_time, self.batch_size, self.learning_rate
            ),
            seed=validation.draw_seed(self.random_state),
            seed_given=isinstance(self.random_state, numbers.Integral),
            device=device,
            dtype=getattr(torch, str(name)),
            folder=self.checkpoint,
            clock=clock,
            progress=progress,
        )

    def _time(self, t: object) -> float:
        """Return a time of a fitted flow."""
        check_is_fitted(self, "map_")
        known = isinstance(t, numbers.Real) and not isinstance(t, bool)
        time = float(cast(float, t)) if known else math.nan
        if not 0 <= time <= 1:
            raise DataError(f"t: must be a number from 0 to 1, got {t!r}", argument="t")
        return time


def _check_parameters(told: Mapping[str, object]) -> None:
    """Raise where no fit would take these parameters."""
    CharacteristicFlow().set_params(**told)._check()
