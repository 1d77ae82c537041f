"""The scikit-learn estimator: fit two samples, transform new ones, invert, score, save."""

from __future__ import annotations

import json
import numbers
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brenier import validation
from brenier.dual import DualObjective
from brenier.errors import DataError, ModelFileError
from brenier.fitting import MakePotential, Options, fit_map
from brenier.populations import Population, Rows, population
from brenier.potentials import DenseICNN, Potential, ResidualPotential
from brenier.samples import Samples, read
from brenier.solve import BFGS, Method
from brenier.storage import load_map, method_from_json, save_map
from brenier.training import Settings
from brenier.transport import TransportMap

POTENTIALS: dict[str, MakePotential] = {
    "convex": lambda d, generator: DenseICNN(d, convex=True, generator=generator),
    "free": lambda d, generator: DenseICNN(d, generator=generator),
    "residual": lambda d, generator: ResidualPotential(d, generator=generator),
}


class OptimalTransport(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """The optimal transport map between two sets of samples, from one potential network.

    "Fixed-Point Neural Optimal Transport without Implicit Differentiation" (Park et al., 2026), with potentials that
    are coercive by construction and start at the affine map between the Gaussian fits of both samples.

    Args:
        potential: "convex" (a network whose psi is convex by construction: every inverse is unique, the lower bound of
            the distance certain), "free" (signs unconstrained: often closer, no such guarantee), "residual", or a
            function (d, generator) -> `Potential` that starts at the identity.
        start: "affine", the optimal map between the two Gaussian fits, or "identity".
        scale: units of the cost per feature: "common" (the plain squared distance), "feature" (each feature's pooled
            standard deviation), "auto" (common, unless that would drown a feature; then a `DataWarning` says so), or an
            array (d,).
        method: inner solver, `BFGS()` by default.
        tol: bound on the residual of inner problems, in coordinates where the average feature has variance one, at the
            end of training; the inverse is solved to a tenth of it.
        max_steps: training steps at most.
        max_time: training seconds at most, or None. Runs limited by time are not reproducible to the bit.
        batch_size: rows from each side per step.
        learning_rate: rate of the default optimiser (SOAP); decays to zero along a cosine.
        optimizer: a function of the parameters that makes another torch optimiser, for example
            `functools.partial(torch.optim.SGD, lr=0.1)`, or None.
        patience: evaluations on held-out samples (every 100 steps, 20 below 5,000 samples) without improvement after
            which training stops; one that is significantly worse counts threefold. With `max_time` only those count.
        warm_start: whether `fit` goes on from the map of the previous `fit`, in its coordinates.
        checkpoint: a folder where the unfinished run is kept; fitting again with the same samples and settings after an
            interruption resumes it.
        random_state: seed, numpy generator or None, as in scikit-learn. With an int, results are deterministic.
        device: where to train, for example "cuda"; by default where X lies if it is a tensor, else the CPU.
        dtype: precision of the network, "float32" or "float64".
        verbose: whether to show a progress bar.

    Attributes:
        map_: the `TransportMap`.
        history_: the training record, one dictionary per evaluation; `pandas.DataFrame(ot.history_)` is the table.
        diagnostics_: what was selected, why training stopped, and the round trip on held-out rows.
        n_features_in_, feature_names_in_: as in scikit-learn.

    >>> import numpy as np
    >>> from brenier import OptimalTransport
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> ot = OptimalTransport(max_steps=50, random_state=0).fit(X, Y)
    >>> Z = ot.transform(X)
    >>> bool(np.abs(ot.inverse_transform(Z) - X).max() < 0.01)
    True
    """

    def __init__(
        self,
        potential: str | Callable[[int, torch.Generator], Potential] = "free",
        *,
        start: str = "affine",
        scale: Any = "auto",
        method: Method | None = None,
        tol: float = 1e-3,
        max_steps: int = 3000,
        max_time: float | None = None,
        batch_size: int = 1024,
        learning_rate: float = 1e-2,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        patience: int = 12,
        warm_start: bool = False,
        checkpoint: str | None = None,
        random_state: Any = None,
        device: Any = None,
        dtype: str = "float32",
        verbose: bool = False,
    ) -> None:
        self.potential = potential
        self.start = start
        self.scale = scale
        self.method = method
        self.tol = tol
        self.max_steps = max_steps
        self.max_time = max_time
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.patience = patience
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    def fit(self, X: Any, Y: Any) -> OptimalTransport:
        """Learn the map from the distribution of X (n, d) to that of Y (m, d), unpaired.

        Args:
            X, Y: arrays, tensors, frames, memory-mapped arrays (read in batches), or functions
                (n, generator) -> (n, d) for endless streams. The `torch.Generator` must be their only randomness.

        Raises:
            DataError: for samples or parameters that cannot be used.
            ModelFileError: where `checkpoint` holds a damaged run, or one of other samples or settings.
        """
        source, source_samples = population(X, "X")
        target, target_samples = population(Y, "Y")
        if source.dim != target.dim:
            raise DataError(
                f"Y: has {target.dim} features, X has {source.dim}; "
                "both sides must have the same features, in the same order"
            )
        if source_samples is not None and target_samples is not None:
            validation.check_columns(source_samples.columns, target_samples.columns)
        names = None if source_samples is None else validation.feature_names(X, "X")
        fitted = fit_map(source, target, self._options(source))
        self.map_, self.history_, self.diagnostics_ = fitted.map, fitted.history, fitted.diagnostics
        self._remember(source.dim, names)
        return self

    def transform(self, X: Any) -> Any:
        """Return T(X): (n, d) -> (n, d), the same kind as X."""
        return self._apply(self._read(X, "X"), self._fitted())

    def inverse_transform(self, Z: Any) -> Any:
        """Return T^{-1}(Z): (n, d) -> (n, d), the same kind as Z; rows that did not converge are warned about."""
        return self._apply(self._read(Z, "Z"), self._fitted().inverse)

    def score(self, X: Any, Y: Any) -> float:
        """Return the dual value on X and Y, an estimate from below of W2^2/2: higher is better.

        In squared units of the data, or of feature units where those differ. Compare scores on the same samples only.
        """
        transport = self._fitted()
        phi, phi_c, _ = transport.dual_terms(self._read(X, "X"), self._read(Y, "Y"))
        return transport.coordinates.squared_unit() * float(phi.mean() + phi_c.mean())

    def save(self, folder: str | Path) -> None:
        """Write the fitted map and parameters as safetensors and JSON; a failure leaves what was there before.

        Parameters that are functions or objects (optimizer, random_state, a potential of your own) are not saved.
        """
        transport = self._fitted()
        names = getattr(self, "feature_names_in_", None)
        extra = {
            "parameters": {name: value for name, value in self.get_params().items() if _is_json(value)},
            "features": None if names is None else [str(name) for name in names],
            "history": self.history_,
            "diagnostics": self.diagnostics_,
        }
        save_map(folder, transport, extra)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _apply(self, samples: Samples, function: Callable[[Any], Any]) -> Any:
        """Apply a function of samples, keeping the kind unless `set_output` asks for another."""
        moved = function(samples)
        output = getattr(self, "_sklearn_output_config", {}).get("transform", get_config()["transform_output"])
        return moved.cpu().numpy() if output != "default" and isinstance(moved, Tensor) else moved

    def _fitted(self) -> TransportMap:
        check_is_fitted(self, "map_")
        return self.map_

    def _read(self, values: Any, name: str) -> Samples:
        """Return samples, checked against those of fit."""
        self._fitted()
        samples = read(values, name)
        validation.check_seen(self, values, name, samples.shape[1])
        return samples

    def _remember(self, dim: int, names: np.ndarray | None) -> None:
        """Keep what the features were, as scikit-learn does; names of an earlier fit are forgotten."""
        self.n_features_in_ = dim
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _options(self, source: Population) -> Options:
        """Return the parameters, checked."""
        for name in ("max_steps", "batch_size", "patience"):
            validation.check_positive(name, getattr(self, name), whole=True)
        for name in ("tol", "learning_rate") + (() if self.max_time is None else ("max_time",)):
            validation.check_positive(name, getattr(self, name))
        validation.check_choice("start", self.start, ("affine", "identity"))
        validation.check_choice("dtype", self.dtype, ("float32", "float64"))
        if self.checkpoint is not None:
            validation.check_folder("checkpoint", self.checkpoint)
        if not (self.optimizer is None or callable(self.optimizer)):
            raise DataError(f"optimizer: must be a function of the parameters or None, got {self.optimizer!r}")
        make = self.potential
        if not callable(make):
            validation.check_choice("potential", make, tuple(POTENTIALS))
            make = POTENTIALS[make]
        settings = Settings(
            max_steps=self.max_steps,
            max_time=self.max_time,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            evaluate_every=100 if source.size is None or source.size >= 5000 else 20,
            patience=self.patience,
        )
        return Options(
            make_potential=make,
            start=self.start,
            scale=validation.check_scale(self.scale, source.dim),
            objective=DualObjective(validation.check_method(self.method or BFGS()), tol=self.tol, max_steps=500),
            settings=settings,
            seed=validation.draw_seed(self.random_state),
            seed_given=isinstance(self.random_state, numbers.Integral),
            device=_device_of(source) if self.device is None else validation.check_device(self.device),
            dtype=getattr(torch, self.dtype),
            folder=self.checkpoint,
            progress=bool(self.verbose),
            warm=self._warm(source.dim),
        )

    def _warm(self, dim: int) -> TransportMap | None:
        """Return the map to go on from."""
        transport = getattr(self, "map_", None) if self.warm_start else None
        if transport is not None and transport.dim != dim:
            raise DataError(
                f"X: has {dim} features, the map to go on from {transport.dim}; give the same features, or set "
                "warm_start=False"
            )
        return transport


def load(folder: str | Path, device: torch.device | str = "cpu") -> OptimalTransport:
    """Return the estimator saved in a folder.

    Raises:
        ModelFileError: where a file is missing, damaged, altered, or made by a newer version.
    """
    transport, description = load_map(folder, validation.check_device(device))
    try:
        parameters, features = description["parameters"], description["features"]
        known = parameters.keys() & OptimalTransport().get_params().keys()
        ot = OptimalTransport(**{name: parameters[name] for name in known})
        ot.map_, ot.history_, ot.diagnostics_ = transport, description["history"], description["diagnostics"]
    except (KeyError, AttributeError) as error:
        raise ModelFileError(f"{folder}: holds no estimator ({error}); give a folder that its `save` wrote") from error
    ot.method = method_from_json(description["method"])
    ot._remember(transport.dim, None if features is None else np.asarray(features, dtype=object))
    return ot


def _device_of(source: Population) -> torch.device:
    """Return the device the source samples lie on."""
    if isinstance(source, Rows) and isinstance(source.values, Tensor):
        return source.values.device
    return torch.device("cpu")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
