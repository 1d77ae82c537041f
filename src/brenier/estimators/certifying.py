"""How the certificate of a fit comes about: part by part, then all parts together, then the error of the map."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from brenier.errors import DataError
from brenier.estimators import validation
from brenier.estimators.by_covariate import CovariatePlan
from brenier.estimators.certified_parts import (
    Part,
    audited_values,
    parts_of,
    target_spread,
)
from brenier.estimators.plan import Plan
from brenier.estimators.twin import NO_TWIN, TwinErrors, fitted_twin
from brenier.potentials import usual_modes
from brenier.training import Progress
from brenier.transport.maps import (
    Audit,
    Certificate,
    ConditionalMap,
    Figures,
    certificate_of,
    estimated_error,
    excess_of,
    figures_of,
    over_covariates,
    pooled_excess,
    pooled_figures,
)

if TYPE_CHECKING:
    from brenier.estimators.optimal_transport import OptimalTransport


GIVEN = (
    "The rows given are taken to be new to the fit: from rows that it was trained on the lower bound is too high, and "
    "the gap too small."
)
UNCALIBRATED = "The error of the map says nothing here: its factors were calibrated for the squared distance alone."
UNKNOWN_ERROR = (
    "The error of the map says nothing here: there are too few rows, or an affine map was kept and no rows can be "
    "matched."
)
# Maps that training starts from, as diagnostics name them.
STARTS = ("affine", "identity", "shift")


@dataclasses.dataclass(frozen=True)
class CertifyOptions:
    """What `certify` is told beside samples, as its arguments say."""

    confidence: float
    map_error: bool
    seed: int
    checkpoint: str | None
    verbose: bool | None

    def check(self) -> None:
        """Raise where an argument cannot be.

        Raises:
            DataError: as told.
        """
        validation.check_positive("confidence", self.confidence)
        if not 0.5 <= self.confidence < 1:
            raise DataError(
                f"confidence: must be from 0.5 to below 1, got {self.confidence!r}; 0.95 is usual"
            )
        validation.check_positive("seed", self.seed, whole=True, zero=True)
        if self.checkpoint is not None:
            validation.check_folder("checkpoint", self.checkpoint)


@usual_modes(gradients=False)
def certificate_of_fit(
    ot: OptimalTransport, plan: Plan, new: bool, options: CertifyOptions
) -> Certificate:
    """Return the certificate of a fitted estimator.

    Args:
        ot: the estimator.
        plan: its samples, or new ones.
        new: whether they are new.
        options: what `certify` was told.

    Raises:
        DataError: for unbalanced mass.
    """
    if ot.mass != "balanced":
        raise DataError(
            "mass: certificates know balanced mass only, since the dual value of unbalanced mass bounds no distance; "
            "`distance()` says what was measured"
        )
    shown = bool(ot.verbose if options.verbose is None else options.verbose)
    generator = torch.Generator().manual_seed(options.seed)
    with Progress(shown) as progress:
        progress.phase("certifying: bounds")
        parts = parts_of(ot.map_, plan, new, generator)
        figures = [
            figures_of(part.transport, part.distance, part.x, part.z, generator, new)
            for part in parts
        ]
        audit = None
        if isinstance(plan, CovariatePlan) and not parts:
            audit = audited_values(ot.map_, plan, generator)
        certificate = _of_parts(ot, parts, figures, audit, options)
        if new:
            certificate = _remarked(certificate, GIVEN)
        if not options.map_error:
            return certificate
        told = ot.history_[-1]["seconds"] if ot.history_ else 0.0
        progress.phase(f"certifying: the map's error (the fit took {told:.0f} s)")
    if certificate.measure != "W2":
        return _remarked(certificate, UNCALIBRATED)
    affine = ot.diagnostics_["selected"] in STARTS
    twin = NO_TWIN  # that of an affine map says nothing
    if not affine:
        twin = fitted_twin(ot, plan, options.seed, options.checkpoint, shown)
    spread = target_spread(ot.map_, parts, plan)
    return _with_errors(certificate, parts, figures, twin, affine, spread, generator)


def _of_parts(
    ot: OptimalTransport,
    parts: Sequence[Part],
    figures: Sequence[Figures],
    audit: Audit | None,
    options: CertifyOptions,
) -> Certificate:
    """Return the certificate of all parts together, those of the parts in it, without an error of the map."""
    transport, confidence = ot.map_, options.confidence
    own = [certificate_of(found, confidence) for found in figures]
    if not isinstance(transport, ConditionalMap):
        return own[0]
    pooled, estimate = _parts_together(parts, figures)
    known = transport.pooled_distance
    if known is not None and not (figures and all(each.held_out for each in figures)):
        pooled, estimate = over_covariates(transport, pooled, known, audit), known.w2
    if pooled is None:
        raise DataError(
            "X, Y: covariates take too many values, or too few rows share one, and this model holds no distance over "
            "all values; fit again"
        )
    together = certificate_of(pooled, confidence, estimate)
    named = zip((part.condition for part in parts), own, strict=True)
    return dataclasses.replace(together, parts=tuple(named))


def _parts_together(
    parts: Sequence[Part], figures: Sequence[Figures]
) -> tuple[Figures | None, float]:
    """Return the figures of all parts together and their distance; those with too few rows are left out, and named."""
    pairs = list(zip(parts, figures, strict=True))
    known = [pair for pair in pairs if pair[1].above is not None]
    known = [pair for pair in known if pair[1].held_out] or known or pairs
    if not known:
        return None, math.nan
    total = math.fsum(part.share for part, _ in known)
    shares = [part.share / total for part, _ in known]
    found = pooled_figures([each for _, each in known], shares)
    squares = [float(part.distance) ** 2 for part, _ in known]
    estimate = math.sqrt(
        math.fsum(share * square for share, square in zip(shares, squares, strict=True))
    )
    names = [part.condition for part, _ in known]
    out = [repr(part.condition) for part in parts if part.condition not in names]
    if out:
        remark = f"These figures leave out {', '.join(out)}: too few rows to say anything of."
        found = dataclasses.replace(found, remarks=(*found.remarks, remark))
    return found, estimate


def _with_errors(
    certificate: Certificate,
    parts: Sequence[Part],
    figures: Sequence[Figures],
    twin: TwinErrors,
    affine: bool,
    spread: float,
    generator: torch.Generator,
) -> Certificate:
    """Return a certificate with the estimated error of the map, of all parts together and of each."""
    excesses = [
        excess_of(part.transport, found, part.x, part.z, generator, affine)
        for part, found in zip(parts, figures, strict=True)
    ]
    own = []
    for (condition, part), excess in zip(certificate.parts, excesses, strict=False):
        known = twin.parts.get(condition)
        error = estimated_error(known, excess, affine, spread)
        own.append((condition, dataclasses.replace(part, map_error=error)))
    together = pooled_excess(excesses, [part.share for part in parts])
    error = estimated_error(twin.together, together, affine, spread)
    silent = () if error is not None else (UNKNOWN_ERROR,)
    found = dataclasses.replace(certificate, map_error=error, parts=tuple(own))
    return _remarked(found, *twin.remarks, *silent)


def _remarked(certificate: Certificate, *remarks: str) -> Certificate:
    """Return a certificate with more to remark."""
    return dataclasses.replace(certificate, remarks=(*certificate.remarks, *remarks))
