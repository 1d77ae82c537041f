"""What the estimator says of distances, and how far it is to be trusted."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from brenier.datasets import LabelsLike, Sampler, TableLike, WeightsLike
from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.certifying import CertifyOptions, certificate_of_fit
from brenier.estimators.conditions import GivenConditions
from brenier.estimators.density import EstimatedDensity
from brenier.estimators.exported import ExportedTransport
from brenier.estimators.parameters import condition_of
from brenier.estimators.plan import Plan
from brenier.estimators.samples import plan_of
from brenier.transport.maps import Certificate

if TYPE_CHECKING:
    from brenier.estimators.optimal_transport import OptimalTransport


class CertifiedTransport(ExportedTransport, EstimatedDensity):
    """A map of samples, what it says of their distance, and how far it is to be trusted."""

    certificate_: Certificate | None
    _plan: Plan | None

    def distance(self, label: Hashable = None) -> Any:
        """Return W2 with its bounds (for another cost or mass OT_c), as measured on held-out samples at fit time.

        With labels that of one class. After a fit with covariates the distance over all their values,
        (E over c of W2(mu_c, nu_c)^2)^(1/2); at one value, `map_.distance(c, x, z)` measures it on samples of it.

        Raises:
            DataError: where a label is needed and not given, given and not needed, or unknown; and where a model with
                covariates was saved by 0.1, which did not measure the distance over them.
        """
        own = cast("OptimalTransport", self)
        transport = own._fitted()
        if own.labels_ is None:
            validation.check_no_label(label, hasattr(transport, "conditions"))
            return transport.distance()
        return transport.distance(*condition_of(transport, labels=label))

    def certify(
        self,
        X: TableLike | Sampler | None = None,
        Y: TableLike | Sampler | None = None,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
        source_covariates: TableLike | None = None,
        target_covariates: TableLike | None = None,
        source_weight: WeightsLike | None = None,
        target_weight: WeightsLike | None = None,
        confidence: float = 0.95,
        map_error: bool = True,
        seed: int = 0,
        checkpoint: str | None = None,
        verbose: bool | None = None,
    ) -> Certificate:
        """Return what may be claimed of the fitted map: bounds of W2, of what the map misses, its estimated error.

        With `map_error` it costs about one more fit (by the same recipe, to half of the source rows and the images of
        the others, whose true map is known); without, seconds. It is kept as `certificate_`, and saved with the model.
        How each figure is found, and what cannot be claimed at all, is told in docs/trust.md.

        Args:
            X, Y: (n, d), (m, d), samples that the fit has not seen. By default those of the fit, of which it held some
                out; a loaded estimator does not have them.
            source_labels, target_labels, source_covariates, target_covariates: as in `fit`, beside X and Y.
            source_weight, target_weight: as in `fit`, beside X and Y.
            confidence: of every bound, each by itself.
            map_error: whether the error of the map is estimated.
            seed: of everything drawn here: with one seed certificates are equal.
            checkpoint: a folder where the second fit is kept; after an interruption the same call goes on from it.
            verbose: whether to show progress; by default as in `fit`.

        Raises:
            DataError: for samples or arguments that cannot be used; where X and Y are left out and not at hand; for
                unbalanced mass, whose dual value bounds no distance.

        >>> import numpy as np
        >>> from brenier import OptimalTransport
        >>> rng = np.random.default_rng(0)
        >>> X, Y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + 1
        >>> ot = OptimalTransport(max_steps=20, random_state=0).fit(X, Y)
        >>> certificate = ot.certify(map_error=False)
        >>> certificate.lower < 2**0.5 < certificate.upper
        True
        """
        own = cast("OptimalTransport", self)
        transport = own._fitted()
        options = CertifyOptions(confidence, map_error, seed, checkpoint, verbose)
        options.check()
        given = GivenConditions(
            *(source_labels, target_labels, source_covariates, target_covariates),
            *(source_weight, target_weight),
        )
        plan = getattr(self, "_plan", None)
        if X is not None and Y is not None:
            plan = plan_of(X, Y, given, transport)
        elif not (X is None and Y is None and given.nothing()):
            raise DataError("X, Y: give both, or neither, and what belongs to them")
        elif plan is None:
            raise DataError(
                "X, Y: the samples of the fit are not at hand in an estimator that was loaded or copied; give samples "
                "of both sides, best such as the fit has not seen"
            )
        self.certificate_ = certificate_of_fit(own, plan, X is not None, options)
        return self.certificate_

    def _certified(self) -> dict[str, Any]:
        """Return the certificate as a saved model holds it; nothing where there is none."""
        found = getattr(self, "certificate_", None)
        return {} if found is None else {"certificate": found.to_json()}

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: everything but the samples of the fit."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_plan": None} if state.get("_plan") is not None else state
