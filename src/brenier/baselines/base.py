"""What every baseline shares: scikit-learn's contract, samples of any kind in and out, files, and the tags.

A baseline is an estimator of maps both ways that is not `OptimalTransport`: it stands beside it in benchmarks, and for
those who want that method. A subclass writes `fit`, which sets `map_`, and what a saved model holds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from brenier.datasets import TableLike, read
from brenier.errors import NoInverseError
from brenier.estimators import validation
from brenier.training import remove_finished
from brenier.transport.maps import in_batches


class BaselineMap(Protocol):
    """A fitted map of rows in the units of the data."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which precision."""
        ...

    def forward(self, x: Tensor) -> Tensor:
        """Return T(x): (n, d) -> (n, d), float64."""
        ...

    def backward(self, z: Tensor) -> Tensor:
        """Return T^{-1}(z): (n, d) -> (n, d), float64."""
        ...


class Baseline(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """An estimator of a map and its inverse, fitted to two samples.

    Attributes:
        map_: the fitted map.
        has_inverse: whether there is an inverse map.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    map_: BaselineMap
    rows_at_once = 8192
    has_inverse = True

    def transform(self, X: TableLike) -> Any:
        """Return T(X): (n, d) -> (n, d), the same kind as X.

        Raises:
            DataError: for samples that do not fit those of `fit`.
        """
        check_is_fitted(self, "map_")
        return self._applied(X, "X", self.map_.forward)

    def inverse_transform(self, Z: TableLike) -> Any:
        """Return T^{-1}(Z): (n, d) -> (n, d), the same kind as Z.

        Raises:
            DataError: for samples that do not fit those of `fit`.
            NoInverseError: where the method has none.
        """
        check_is_fitted(self, "map_")
        if not self.has_inverse:
            raise NoInverseError(
                f"inverse_transform: {type(self).__name__} learns no inverse map; fit another one from Y to X, or take "
                "a method that has one, such as brenier.OptimalTransport"
            )
        return self._applied(Z, "Z", self.map_.backward)

    def save(self, folder: str | Path) -> None:
        """Write what was fitted as safetensors and JSON; a failure leaves what was there before.

        Raises:
            DataError: where it holds what JSON cannot.
            OSError: where the folder cannot be written.
        """
        check_is_fitted(self, "map_")
        self._write(folder)
        self._forget_run()

    def __sklearn_tags__(self) -> Tags:
        return validation.with_required_target(super().__sklearn_tags__())

    def _write(self, folder: str | Path) -> None:
        """Write what was fitted."""
        raise NotImplementedError

    def _forget_run(self) -> None:
        """Remove a finished run, since its result is saved, or another fit takes its place."""
        remove_finished(getattr(self, "_run_file", None))

    def _applied(
        self, values: TableLike, name: str, function: Callable[[Tensor], Tensor]
    ) -> Any:
        """Return a function of rows, batch by batch, as the kind given unless `set_output` asks for another.

        Args:
            values: (n, d), checked against those of fit.
            name: the argument's name, for messages.
            function: (b, d), float64 on the device of the map -> (b, ...).

        Raises:
            DataError: for samples that do not fit those of `fit`, or lie so far away that a result is not finite.
        """
        samples = read(values, name)
        validation.check_seen(self, values, name, samples.shape[1])
        found = in_batches(
            lambda rows, _: function(rows),
            samples,
            self.rows_at_once,
            self.map_.device,
            self.map_.dtype,
            samples.dtype,
            keep_graph=True,
        )
        return validation.as_configured(self, samples.restore(found))
