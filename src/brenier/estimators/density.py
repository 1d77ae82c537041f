"""What the estimator says of densities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from brenier.datasets import LabelsLike, TableLike
from brenier.transport.maps import SourceLogDensity

if TYPE_CHECKING:
    from brenier.estimators.optimal_transport import OptimalTransport


class EstimatedDensity(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """A map of samples, and what it says of densities; the base of `OptimalTransport`."""

    def log_density(
        self,
        Z: TableLike,
        labels: LabelsLike | None = None,
        covariates: TableLike | None = None,
        source_log_density: SourceLogDensity | None = None,
    ) -> Any:
        """Return the log-density of T#p at rows of the target: (m, d) -> (m,), exact, in the units of the data.

        Where X is N(0, I) and Y are data, its mean over held-out rows is their log-likelihood under the map.
        Rows whose inverse did not converge, and those that have no density, are warned about, and the latter are -inf
        (see `TransportMap.log_density`). It costs an inverse and d Hessian products a row.

        Args:
            Z: (m, d).
            labels, covariates: as in `transform`.
            source_log_density: log p: float64 points (m, d) -> (m,); by default that of N(0, I).

        Raises:
            DataError: for samples, labels or covariates that do not fit those of `fit`; where there is no density.
        """
        own = cast("OptimalTransport", self)
        condition = own._condition(labels, covariates)
        samples = own._read(Z, "Z")
        return own._fitted().log_density(
            samples, *condition, source_log_density=source_log_density
        )
