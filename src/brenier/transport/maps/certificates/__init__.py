"""Certificates: bounds and errors that a fitted map can honestly state of itself."""

from brenier.transport.maps.certificates.audit import Audit, audited
from brenier.transport.maps.certificates.bounds import certificate_of
from brenier.transport.maps.certificates.certificate import Certificate
from brenier.transport.maps.certificates.excess import (
    Excess,
    excess_of,
    pooled_excess,
)
from brenier.transport.maps.certificates.figures import (
    Figures,
    figures_of,
    over_covariates,
    pooled_figures,
)
from brenier.transport.maps.certificates.map_error import (
    MapError,
    Twin,
    estimated_error,
)

__all__ = [
    "Audit",
    "Certificate",
    "Excess",
    "Figures",
    "MapError",
    "Twin",
    "audited",
    "certificate_of",
    "estimated_error",
    "excess_of",
    "figures_of",
    "over_covariates",
    "pooled_excess",
    "pooled_figures",
]
