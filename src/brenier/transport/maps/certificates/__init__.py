"""Certificates: bounds and errors that a fitted map can honestly state of itself."""

from brenier.transport.maps.certificates.audit import Audit, audited
from brenier.transport.maps.certificates.bounds import (
    Figures,
    certificate_of,
    excess_of,
    figures_of,
    over_covariates,
    pooled_figures,
)
from brenier.transport.maps.certificates.certificate import Certificate
from brenier.transport.maps.certificates.map_error import (
    Excess,
    MapError,
    Twin,
    estimated_error,
    pooled_excess,
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
