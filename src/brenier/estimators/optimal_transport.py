"""The scikit-learn estimator: fit two samples, transform new ones, invert, score, save."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brenier.datasets import (
    CheckedSamples,
    LabelsLike,
    Sampler,
    TableLike,
    WeightsLike,
    is_dask,
    read,
)
from brenier.estimators import validation
from brenier.estimators.certified import CertifiedTransport
from brenier.estimators.conditions import GivenConditions
from brenier.estimators.lazily import lazily
from brenier.estimators.outside import warn_of_rows_outside
from brenier.estimators.parameters import Parameters, RandomState, condition_of
from brenier.estimators.pipeline import forget_run
from brenier.estimators.samples import fit_samples, value_of
from brenier.estimators.scanned import FitSide
from brenier.potentials import Potential
from brenier.solve import Method
from brenier.transport.costs import Cost
from brenier.transport.dual import UnbalancedMass
from brenier.transport.maps import save_map


class OptimalTransport(CertifiedTransport):
    """The optimal transport map between two sets of samples, from one potential network.

    "Fixed-Point Neural Optimal Transport without Implicit Differentiation" (Park et al., 2026), with potentials that
    are coercive by construction and start at the affine map between the Gaussian fits of both samples.

    Args:
        potential: "auto" ("free"; from d = 24 on a free one of softplus, from d = 96 on "residual"), "convex" (psi is
            convex by construction: every inverse is unique, the lower bound of the distance certain), "free" (signs
            unconstrained: often closer, no such guarantee; more layers in long runs), "residual" (whose steps are
            cheaper in high dimensions), or a function (d, generator) -> `Potential` that starts at the identity. With
            labels or covariates d counts their code as well.
        n_networks: networks whose mean is the potential; more take longer and are closer where samples are few. With
            "auto" or "free", fewer than 5,000 rows on a side and no `max_steps`, labels or covariates, each of several
            leaves out a fold of the rows, by default three a third each; and with "auto" the entropic plan of the rows
            is by default a rival. The best on rows left out is taken: networks, plan, their mean or the start. Else two
            in long runs (`two_networks_seconds`) and, with no limit, below 100,000 rows; else one.
        start: "affine", the optimal map between the two Gaussian fits (for other costs "shift"), or "identity".
        cost: "squared_euclidean" (|x - z|^2/2), `Mahalanobis(matrix)`, `Power(p)`, `SeparablePower(p)`,
            `Elastic(sparsity)`, `LogCosh(scale)`, or your own (see `brenier.Cost`).
        mass: "balanced", or `UnbalancedMass(source, target)`, whose rows need not all be transported or explained.
        scale: units of the cost per feature: "common" (those of the data), "feature" (pooled standard deviations),
            "auto" (common, unless that would drown a feature in the squared distance; a `DataWarning` then says so), or
            an array (d,); the cost is that of displacements in these units.
        method: inner solver, `BFGS()` by default (`solve.OrthantBFGS()` for `Elastic`).
        tol: bound on the residual of inner problems at the end of training, in coordinates where the average feature
            has variance one; the inverse is solved to a tenth of it.
        max_steps: training steps at most, over which the learning rate falls; by default 3,000 (or fewer: 300 for 1,000
            rows), or where `max_time` is given as many as it allows.
        max_time: seconds of wall time that the whole fit may take, or None; from 30 s on kept to within a tenth, with
            hundreds of features less closely. Where it is short fewer rows are measured, and a `ConvergenceWarning`
            says if under 100 steps fit. Such runs are not reproducible to the bit.
        batch_size: rows from each side per step; by default from 1,024 up to 8,192 or an eighth of the smaller side.
        bandwidth: standard deviations by which rows are jittered whenever they are drawn, so that few rows are not
            overfitted; it falls with the rate. By default less for more rows, 0 for streams and start="identity".
        learning_rate: rate of the default optimiser (SOAP); decays to zero along a cosine.
        optimizer: makes another torch optimiser of parameters (`functools.partial(torch.optim.SGD, lr=0.1)`).
        patience: evaluations on held-out samples without gain after which training stops; one significantly worse
            counts threefold, and with `max_time` only such do.
        warm_start: whether `fit` goes on from the map of the previous `fit`, in its coordinates.
        checkpoint: a folder where the run is kept until `save`, or the next fit. After an interruption, another
            estimator with the same samples and settings goes on from it.
        keep_rows: whether the map keeps, and a saved model shows, up to 1,024 source rows for inverses to start at, and
            of an entropic plan up to 1,500 rows of both sides; if False no such plan is tried.
        random_state: seed, numpy generator or None, as in scikit-learn. An int makes results deterministic.
        n_jobs: processes, at most, that share the work of training on a CPU, -1 for one per core; by default as many as
            torch has threads if the fit is long. Steps too small to gain by it are taken by one.
        device: where to train, for example "cuda"; by default where X lies if it is a tensor, else the CPU.
        dtype: precision of the network, "float32" or "float64".
        verbose: whether to show a progress bar, which names the phase of the fit.
        settings: other values for any field of `brenier.FitSettings` and `brenier.Budget`, by name, for example
            `{"ema_decay": 0.99}`: everything that a fit chooses or takes for given.

    Attributes:
        map_: the `TransportMap`; with labels the `ConditionalMap`, whose `at(label)` is that of a class.
        labels_: the classes, or None.
        history_: the training record, one dictionary per evaluation; `pandas.DataFrame(ot.history_)` is the table.
        certificate_: what `certify` found, or None.
        diagnostics_: what was selected, why training stopped, the round trip on held-out rows and which share of them
            does not come back ("round_trip_missed"), threads and processes; with `max_time` seconds, and what was
            shortened.
        n_features_in_, feature_names_in_: as in scikit-learn.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> ot = OptimalTransport(max_steps=50, random_state=0).fit(X, Y)
    >>> Z = ot.transform(X)
    >>> bool(np.abs(ot.inverse_transform(Z) - X).max() < 0.01)
    True
    """

    map_: Any  # one of two classes that take other arguments: which, the labels of `fit` decide

    def __init__(
        self,
        potential: str | Callable[[int, torch.Generator], Potential] = "auto",
        *,
        n_networks: int | None = None,
        start: str = "auto",
        cost: str | Cost = "squared_euclidean",
        mass: str | UnbalancedMass = "balanced",
        scale: str | Sequence[float] | np.ndarray | Tensor = "auto",
        method: Method | None = None,
        tol: float = 1e-3,
        max_steps: int | None = None,
        max_time: float | None = None,
        batch_size: int | None = None,
        bandwidth: float | None = None,
        learning_rate: float = 1e-2,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        patience: int = 12,
        warm_start: bool = False,
        checkpoint: str | None = None,
        keep_rows: bool = True,
        random_state: RandomState = None,
        n_jobs: int | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        verbose: bool = False,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.potential = potential
        self.n_networks = n_networks
        self.start = start
        self.cost = cost
        self.mass = mass
        self.scale = scale
        self.method = method
        self.tol = tol
        self.max_steps = max_steps
        self.max_time = max_time
        self.batch_size = batch_size
        self.bandwidth = bandwidth
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.patience = patience
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.keep_rows = keep_rows
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.settings = settings

    @validation.names_both_sides
    def fit(
        self,
        X: FitSide,
        Y: FitSide,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
        source_covariates: TableLike | None = None,
        target_covariates: TableLike | None = None,
        source_weight: WeightsLike | None = None,
        target_weight: WeightsLike | None = None,
    ) -> OptimalTransport:
        """Learn the map from the distribution of X (n, d) to that of Y (m, d), unpaired.

        Args:
            X, Y: arrays, tensors, frames, memory-mapped arrays (read in batches), what `brenier.datasets.scan` returns,
                datasets and loaders of `torch.utils.data`, or functions (n, generator) -> (n, d) for endless streams,
                whose only randomness must be the `torch.Generator`.
            source_labels, target_labels: one label per row, of any hashable kind. Transport then stays within a class:
                one map per label, from one network. Classes that only one side has are left out, with a `DataWarning`.
            source_covariates, target_covariates: numbers per row, (n, p) or (n,), such as a dose or a time. There is
                then a map at every value of them, unseen ones included. Both sides are samples in memory.
            source_weight, target_weight: how much each row counts, (n,) and (m,), with labels within its class.
                `set_fit_request(source_weight="sample_weight")` routes scikit-learn's name to the first.

        With labels or covariates of one side None, all rows of that side belong to every class, or value.

        Raises:
            DataError: for samples, labels, covariates, weights or parameters that cannot be used.
            ModelFileError: where `checkpoint` holds a damaged run, or one of other samples or settings.
        """
        parameters = Parameters(**self.get_params(deep=False))
        parameters.check()
        forget_run(self)
        given = GivenConditions(
            *(source_labels, target_labels, source_covariates, target_covariates),
            *(source_weight, target_weight),
        )
        previous = getattr(self, "map_", None) if self.warm_start else None
        fitted, dim, names = fit_samples(X, Y, given, parameters, previous)
        self.map_, self._run_file = fitted.map, fitted.run_file
        self.history_, self.diagnostics_ = fitted.history, fitted.diagnostics
        self._plan, self.certificate_ = fitted.plan, None
        validation.remember_features(self, dim, names)
        return self

    def transform(
        self,
        X: TableLike,
        labels: LabelsLike | None = None,
        covariates: TableLike | None = None,
    ) -> Any:
        """Return T(X): (n, d) -> (n, d), the same kind as X; a `DataWarning` says where rows lie outside of the fit's.

        Args:
            X: (n, d).
            labels: where `fit` had labels: one per row, or one for all rows.
            covariates: where `fit` had covariates: (n, p) or (n,), or those of one row for all rows.

        Raises:
            DataError: for samples, labels or covariates that do not fit those of `fit`.
        """
        condition = self._condition(labels, covariates)
        if is_dask(X):
            given = {"labels": labels, "covariates": covariates}
            return lazily(self, self.transform, X, "X", **given)
        samples = self._read(X, "X")
        moved = self._apply(samples, self._fitted(), condition)
        warn_of_rows_outside(self._fitted(), samples, condition)
        return moved

    def fit_transform(
        self,
        X: TableLike | Sampler,
        y: TableLike | Sampler | None = None,
        **conditions: Any,
    ) -> Any:
        """Fit X to y, and return T(X): (n, d) -> (n, d). Labels or covariates are those of `fit`."""
        fitted = self.fit(X, *([] if y is None else [y]), **conditions)
        own = {
            kind: conditions.get(f"source_{kind}") for kind in ("labels", "covariates")
        }
        return fitted.transform(X, **own)  # type: ignore[arg-type]

    def inverse_transform(
        self,
        Z: TableLike,
        labels: LabelsLike | None = None,
        covariates: TableLike | None = None,
    ) -> Any:
        """Return T^{-1}(Z): (n, d) -> (n, d), the same kind as Z; rows that did not converge are warned about.

        Args:
            Z: (m, d).
            labels, covariates: as in `transform`.

        Raises:
            DataError: for samples, labels or covariates that do not fit those of `fit`.
        """
        condition = self._condition(labels, covariates)
        if is_dask(Z):
            given = {"labels": labels, "covariates": covariates}
            return lazily(self, self.inverse_transform, Z, "Z", **given)
        return self._apply(self._read(Z, "Z"), self._fitted().inverse, condition)

    def score(
        self,
        X: TableLike,
        Y: TableLike,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
        source_covariates: TableLike | None = None,
        target_covariates: TableLike | None = None,
        source_weight: WeightsLike | None = None,
        target_weight: WeightsLike | None = None,
    ) -> float:
        """Return the dual value on X and Y, an estimate from below of W2^2/2 (or OT_c): higher is better.

        In squared units of the data, or of feature units where those differ. Compare scores on the same samples only.
        With labels or covariates it is a mean over them, and both sides should hold them alike.

        Args:
            X, Y: (n, d), (m, d).
            others: as in `transform`, of either side; weights as in `fit`.

        Raises:
            DataError: for samples, labels or covariates that do not fit those of `fit`.
        """
        transport = self._fitted()
        of_x = self._condition(source_labels, source_covariates)
        of_y = self._condition(target_labels, target_covariates)
        source, target = self._read(X, "X"), self._read(Y, "Y")
        terms = transport.dual_terms(source, target, *of_x, *of_y)
        return value_of(transport, terms, source_weight, target_weight)

    @property
    def labels_(self) -> tuple[Hashable, ...] | None:
        """The classes the map was fitted on, None where there were no labels."""
        return getattr(self._fitted(), "labels", None) or None

    def save(self, folder: str | Path) -> None:
        """Write the fitted map and parameters as safetensors and JSON; a failure leaves what was there before.

        Anyone can read the rows in it (see `keep_rows`). Functions and objects of yours are left out.

        Raises:
            DataError: where the potential or the cost is your own, or labels are of a kind JSON cannot hold.
            OSError: where the folder cannot be written.
        """
        transport = self._fitted()
        known = {"history": self.history_, "diagnostics": self.diagnostics_}
        told = {**validation.described(self), **known, **self._certified()}
        save_map(folder, transport, told)
        forget_run(self)

    def __sklearn_tags__(self) -> Tags:
        return validation.with_required_target(super().__sklearn_tags__())

    def _apply(
        self,
        samples: CheckedSamples,
        function: Callable[..., Any],
        condition: tuple[Any, ...],
    ) -> Any:
        """Apply a function of samples, keeping the kind unless told otherwise."""
        return validation.as_configured(self, function(samples, *condition))

    def _condition(
        self, labels: LabelsLike | None, covariates: TableLike | None
    ) -> tuple[Any, ...]:
        """Return labels or covariates as the map takes them, or nothing where it takes none."""
        return condition_of(self._fitted(), labels=labels, covariates=covariates)

    def _fitted(self) -> Any:
        check_is_fitted(self, "map_")
        return self.map_

    def _read(self, values: TableLike, name: str) -> CheckedSamples:
        """Return samples, checked against those of fit."""
        self._fitted()
        samples = read(values, name)
        validation.check_seen(self, values, name, samples.shape[1])
        return samples
