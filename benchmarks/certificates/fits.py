"""Fits to a case in seconds of the processor, and what their certificates claim as numbers of a row."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from benchmarks.certificates.cases import Case
from benchmarks.harness.budgets import in_processor_seconds
from brenier import OptimalTransport
from brenier.estimators import STARTS


class Fit(NamedTuple):
    """A fit, and the seconds of the processor that it took."""

    ot: OptimalTransport
    seconds: float

    @property
    def kept_affine(self) -> bool:
        """Whether the affine map was kept, no network or plan being better."""
        return self.ot.diagnostics_["selected"] in STARTS


class Timed(NamedTuple):
    """A certificate, and the seconds of the processor that it took."""

    certificate: Any
    seconds: float


def fitted(case: Case, seconds: float | None, seed: int) -> Fit:
    """Return a fit to the rows of a case: in so many seconds, or in as many steps as a fit takes by itself."""
    x, y = case.samples(seed)
    # In the units of the data, where the distance of a pair is known.
    ot = OptimalTransport(max_time=seconds, random_state=seed, scale="common")
    began = time.process_time()
    with in_processor_seconds():
        ot.fit(x, y)
    return Fit(ot, time.process_time() - began)


def certified(ot: OptimalTransport, *samples: Any, **arguments: Any) -> Timed:
    """Return a certificate of a fit, of given rows or of its own."""
    began = time.process_time()
    with in_processor_seconds():
        found = ot.certify(*samples, **arguments)
    return Timed(found, time.process_time() - began)


def claims(certificate: Any) -> dict[str, Any]:
    """Return what a certificate claims, in units of the data and their squares; None where it says nothing.

    "forward" and "inverse" are the estimated errors as they are printed, "raw_forward" and "raw_inverse" the same
    before their factors.
    """
    found = certificate.map_error
    numbers = {
        "lower": certificate.lower,
        "upper": certificate.upper,
        "gap_bound": certificate.gap,
        "kind": "nothing" if found is None else found.kind,
    }
    if found is None:
        return numbers
    told = [
        *("forward", "inverse", "twin_forward", "twin_inverse", "twin_gap"),
        *("matching_gap", "matching_gap_error", "least_gap", "underfits", "source"),
    ]
    numbers |= {name: getattr(found, name) for name in told}
    numbers["raw_forward"] = found.forward / found.factors[0]
    numbers["raw_inverse"] = found.inverse / found.factors[1]
    return numbers
